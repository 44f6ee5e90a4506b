//! Reading the planes that [`super::repack`] writes: the CPU twin of the shaders' decoders, for the references of
//! kernels. It equals [`super::quant::decode_row`] on the file's blocks bit for bit.
//!
//! The planes were sized by [`super::repack`], not by a file; a block outside them is a fault of the caller, and
//! panics.

use super::Format;
use super::packed::{self, Packed};
use super::quant::{
    DOUBLED_E2M1, UNEVEN, e4m3, half_power, half_scale, power, unpack_iq4_xs_scale, unpack_q3_k_scale, unpack_scale_min,
};
use super::repack::BLOCK_LEN;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// The values of one block of 32.
type Block = [f32; BLOCK_LEN];

/// Decodes the block of 32 elements at `block_index` = row · blocks per row + block.
#[must_use]
pub fn decode_block(format: Format, quants: &[u32], scales: &[u32], block_index: usize) -> Block {
    let mut values = [0.0; BLOCK_LEN];
    decoder(format).decode(quants, scales, block_index, &mut values);
    values
}

/// Decodes `values.len()` elements in a sequence from `first_block` on, such as a row or several. The last block
/// may be taken in part.
pub fn decode_plane_row(format: Format, quants: &[u32], scales: &[u32], first_block: usize, values: &mut [f32]) {
    let decoder = decoder(format);
    let (blocks, rest) = values.as_chunks_mut();
    let n_blocks = blocks.len();
    for (index, block) in blocks.iter_mut().enumerate() {
        decoder.decode(quants, scales, first_block + index, block);
    }
    if !rest.is_empty() {
        let mut block = [0.0; BLOCK_LEN];
        decoder.decode(quants, scales, first_block + n_blocks, &mut block);
        rest.copy_from_slice(&block[..rest.len()]);
    }
}

/// What decodes a block.
enum Decoder {
    Unpacked(fn(&[u32], &[u32], usize, &mut Block)),
    Packed(&'static Packed),
}

impl Decoder {
    fn decode(&self, quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
        match self {
            Self::Unpacked(decode) => decode(quants, scales, block, values),
            Self::Packed(packed) => packed.decode_block(quants, scales, block, values),
        }
    }
}

fn decoder(format: Format) -> Decoder {
    let decode: fn(&[u32], &[u32], usize, &mut Block) = match format {
        Format::F32 => decode_f32,
        Format::F16 => decode_f16,
        Format::BF16 => decode_bf16,
        Format::Q8_0 => decode_q8_0,
        Format::Q4_0 => decode_q4_0,
        Format::Q4_1 => decode_q4_1,
        Format::Q5_0 => decode_q5_0,
        Format::Q5_1 => decode_q5_1,
        Format::Q2_K => decode_q2_k,
        Format::Q3_K => decode_q3_k,
        Format::Q4_K => decode_q4_k,
        Format::Q5_K => decode_q5_k,
        Format::Q6_K => decode_q6_k,
        Format::IQ4_NL => decode_iq4_nl,
        Format::IQ4_XS => decode_iq4_xs,
        Format::MXFP4 => decode_mxfp4,
        Format::NVFP4 => decode_nvfp4,
        Format::FP8 => decode_fp8,
        Format::FP8_F32 => decode_fp8_f32,
        other => return Decoder::Packed(packed::of(other).expect("a table of integers has no planes")),
    };
    Decoder::Unpacked(decode)
}

fn decode_f32(quants: &[u32], _: &[u32], block: usize, values: &mut Block) {
    for (value, &word) in values.iter_mut().zip(&quants[block * 32..][..32]) {
        *value = f32::from_bits(word);
    }
}

fn decode_f16(quants: &[u32], _: &[u32], block: usize, values: &mut Block) {
    let mut halves = [f16::ZERO; BLOCK_LEN];
    for (pair, &word) in halves.as_chunks_mut::<2>().0.iter_mut().zip(&quants[block * 16..][..16]) {
        *pair = [f16::from_bits(word as u16), f16::from_bits((word >> 16) as u16)];
    }
    halves.convert_to_f32_slice(values);
}

fn decode_bf16(quants: &[u32], _: &[u32], block: usize, values: &mut Block) {
    for (pair, &word) in values.as_chunks_mut::<2>().0.iter_mut().zip(&quants[block * 16..][..16]) {
        *pair = [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)];
    }
}

fn decode_q8_0(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let d = half_of(scales, block);
    for (four, &word) in values.as_chunks_mut::<4>().0.iter_mut().zip(&quants[block * 8..][..8]) {
        *four = word.to_le_bytes().map(|byte| f32::from(byte as i8) * d);
    }
}

fn decode_fp8(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let scale = power(scales[block / 4].to_le_bytes()[block % 4]);
    e4m3_bytes(quants, block, scale, values);
}

fn decode_fp8_f32(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    e4m3_bytes(quants, block, f32::from_bits(scales[block]), values);
}

fn decode_q4_0(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let d = half_of(scales, block);
    nibbles(quants, block * 4, values, |q| (q as f32 - 8.0) * d);
}

fn decode_q4_1(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let (d, m) = (half_of(scales, 2 * block), half_of(scales, 2 * block + 1));
    nibbles(quants, block * 4, values, |q| q as f32 * d + m);
}

fn decode_q5_0(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let unit = &scales[block / 2 * 3..][..3];
    let d = half_of(unit, block % 2);
    nibbles(quants, block * 4, values, |q| q as f32);
    add_bits(unit[1 + block % 2], 16.0, values);
    values.iter_mut().for_each(|value| *value = (*value - 16.0) * d);
}

fn decode_q5_1(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let (d, m) = (half_of(scales, 4 * block), half_of(scales, 4 * block + 1));
    nibbles(quants, block * 4, values, |q| q as f32);
    add_bits(scales[2 * block + 1], 16.0, values);
    values.iter_mut().for_each(|value| *value = *value * d + m);
}

fn decode_iq4_nl(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let d = half_of(scales, block);
    nibbles(quants, block * 4, values, |q| f32::from(UNEVEN[q as usize]) * d);
}

fn decode_iq4_xs(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let head = &scales[block / 8 * 2..][..2];
    let scale = half_of(head, 0) * f32::from(unpack_iq4_xs_scale((head[0] >> 16) as u16, head[1], block % 8));
    nibbles(quants, block * 4, values, |q| scale * f32::from(UNEVEN[q as usize]));
}

fn decode_nvfp4(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    nibbles(quants, block * 4, values, |q| DOUBLED_E2M1[q as usize]);
    for (half, sixteen) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let d = half_scale(scales[block / 2].to_le_bytes()[block % 2 * 2 + half]);
        sixteen.iter_mut().for_each(|value| *value *= d);
    }
}

fn decode_q2_k(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let head = &scales[block / 8 * 5..][..5];
    let (d, dmin) = (half_of(head, 8), half_of(head, 9));
    let pairs = head[block % 8 / 2].to_le_bytes();
    two_bits(&quants[block * 2..][..2], values);
    for (half, sixteen) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let pair = pairs[block % 2 * 2 + half];
        let (scale, min) = (d * f32::from(pair & 15), dmin * f32::from(pair >> 4));
        sixteen.iter_mut().for_each(|value| *value = scale * *value - min);
    }
}

fn decode_q3_k(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let head = &scales[block / 8 * 12..][..12];
    let d = half_of(head, 6);
    let packed = packed_scales(head);
    two_bits(&quants[block * 2..][..2], values);
    add_bits(head[4 + block % 8], 4.0, values);
    for (half, sixteen) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * f32::from(unpack_q3_k_scale(&packed, block % 8 * 2 + half));
        sixteen.iter_mut().for_each(|value| *value = scale * (*value - 4.0));
    }
}

fn decode_q5_k(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let head = &scales[block / 8 * 12..][..12];
    let (scale, min) = scale_and_min(head, block % 8);
    nibbles(quants, block * 4, values, |q| q as f32);
    add_bits(head[4 + block % 8], 16.0, values);
    values.iter_mut().for_each(|value| *value = scale * *value - min);
}

fn decode_mxfp4(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let d = half_power(scales[block / 4].to_le_bytes()[block % 4]);
    nibbles(quants, block * 4, values, |q| DOUBLED_E2M1[q as usize] * d);
}

fn decode_q4_k(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let (scale, min) = scale_and_min(&scales[block / 8 * 4..], block % 8);
    nibbles(quants, block * 4, values, |q| scale * q as f32 - min);
}

fn decode_q6_k(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let (super_block, sub_block) = (block / 8, block % 8);
    let head = &scales[super_block * 5..][..5];
    let d = half_of(head, 8);
    let scale_bytes = head[sub_block / 2].to_le_bytes();
    nibbles(quants, super_block * 48 + sub_block * 4, values, |q| q as f32);
    let high_words = &quants[super_block * 48 + 32 + sub_block * 2..][..2];
    for (half, sixteen) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * f32::from(scale_bytes[sub_block % 2 * 2 + half] as i8);
        for (i, value) in sixteen.iter_mut().enumerate() {
            let high = high_words[half] >> (2 * i) & 3;
            *value = scale * (*value + (high << 4) as f32 - 32.0);
        }
    }
}

/// The E4M3 bytes of a block, times its scale.
fn e4m3_bytes(quants: &[u32], block: usize, scale: f32, values: &mut Block) {
    for (four, &word) in values.as_chunks_mut::<4>().0.iter_mut().zip(&quants[block * 8..][..8]) {
        *four = word.to_le_bytes().map(|byte| e4m3(byte) * scale);
    }
}

/// The scale and minimum of a sub-block of Q4_K or Q5_K, from the words of its super-block.
fn scale_and_min(head: &[u32], sub_block: usize) -> (f32, f32) {
    let (scale, min) = unpack_scale_min(&packed_scales(&head[1..]), sub_block);
    (half_of(head, 0) * f32::from(scale), half_of(head, 1) * f32::from(min))
}

/// The 12 bytes of packed scales in three words.
fn packed_scales(words: &[u32]) -> [u8; 12] {
    let mut packed = [0; 12];
    for (four, word) in packed.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *four = word.to_le_bytes();
    }
    packed
}

/// The 32 two-bit numbers of two words.
fn two_bits(words: &[u32], values: &mut Block) {
    for (i, value) in values.iter_mut().enumerate() {
        *value = (words[i / 16] >> (2 * (i % 16)) & 3) as f32;
    }
}

/// Adds `weight` to the values whose bit of the word is set.
fn add_bits(word: u32, weight: f32, values: &mut Block) {
    for (i, value) in values.iter_mut().enumerate() {
        *value += weight * (word >> i & 1) as f32;
    }
}

/// The f16 at `index`, two to a word.
fn half_of(scales: &[u32], index: usize) -> f32 {
    f16::from_bits((scales[index / 2] >> (16 * (index % 2))) as u16).to_f32()
}

/// The 32 nibbles of the four words from `first_word` on, in the order of Q4_0, through `value_of`.
fn nibbles(quants: &[u32], first_word: usize, values: &mut Block, value_of: impl Fn(u32) -> f32) {
    let (front, back) = values.split_at_mut(16);
    for (i, &word) in quants[first_word..][..4].iter().enumerate() {
        for byte in 0..4 {
            let pair = word >> (8 * byte) & 255;
            front[4 * i + byte] = value_of(pair & 15);
            back[4 * i + byte] = value_of(pair >> 4);
        }
    }
}
