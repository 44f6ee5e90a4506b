//! From the blocks of a file to the planes that the GPU reads. Blocks of 17, 18, 34 or 210 bytes lie across words;
//! here every matrix becomes two arrays of whole words, loss-free and never expanded:
//!
//! a **quants plane** of `vec4<u32>` and a **scales plane** of `u32`, both row-major over blocks of 32 elements,
//! `ceil(n_in / 32)` blocks to a row.
//!
//! | format | quants of a block | scales |
//! |---|---|---|
//! | F32 | 8 vec4: 32 floats | none |
//! | F16, BF16 | 4 vec4: element 2i in the low half of word i | none |
//! | Q8_0 | 2 vec4: 32 signed bytes in order | f16 per block, two to a word |
//! | Q4_0, IQ4_NL | 1 vec4: low nibble of byte i is element i, high nibble element i + 16 | f16 per block, two to a word |
//! | Q4_1 | 1 vec4, as Q4_0 | 1 word per block: `d` and `m << 16` |
//! | Q5_0 | 1 vec4 of low bits, as Q4_0 | 3 words for 2 blocks: `d` of both, then for each a word of fifth bits |
//! | Q5_1 | 1 vec4 of low bits, as Q4_0 | 2 words per block: `d` and `m << 16`, then the fifth bits |
//! | MXFP4 | 1 vec4, as Q4_0 | E8M0 byte per block, four to a word |
//! | NVFP4 | 1 vec4, as Q4_0 | E4M3 byte per 16 elements, four to a word |
//! | FP8 | 2 vec4: 32 E4M3 bytes in order | E8M0 byte per block, four to a word |
//! | FP8_F32 | 2 vec4, as FP8 | F32 per block |
//! | Q2_K | 2 words for each sub-block of 32: element i has bits 2(i mod 16) of word i / 16 | 5 words for 256: 16 bytes of scale and minimum, then `d` and `dmin << 16` |
//! | Q3_K | 2 words of low bits, as Q2_K | 12 words for 256: the 12 packed bytes, `d`, then a word of third bits for each sub-block of 32 |
//! | Q4_K | 1 vec4 for each sub-block of 32, as Q4_0 | 4 words for 256: `d` and `dmin << 16`, then the 12 packed bytes |
//! | Q5_K | 1 vec4 of low bits, as Q4_K | 12 words for 256: as Q4_K, then a word of fifth bits for each sub-block |
//! | IQ4_XS | 1 vec4 for each sub-block of 32, as Q4_0 | 2 words for 256: `d` and the high bits of the scales `<< 16`, then their low bits |
//! | IQ1, IQ2, IQ3, TQ1_0, TQ2_0 | codes and some signs in the order of the file ([`super::packed`]) | first the [table](grid_of) of the format; then for 256 what is left of the block, `d` last |
//! | Q6_K | 12 vec4 for 256: 8 sub-blocks of low bits as Q4_0, then 2 words of high bits for each sub-block | 5 words for 256: 16 signed bytes, then `d` |
//!
//! Scales of two or four to a word run on over the whole matrix, from row to row without a gap. Of the high bits
//! of Q6_K, element i of a sub-block has bits 2(i mod 16) of its word i / 16. Element i has bit i of a word of third or
//! fifth bits. Rows of F32, F16 and BF16 that end
//! inside a block are filled up with zeros.

use super::quant::not_a_weight;
use super::{Format, packed};
use crate::error::{Error, Result};

/// The elements of a block in the planes, whatever the file's block is.
pub const BLOCK_LEN: usize = 32;

/// The blocks of 32 that a row of `n_in` elements takes.
#[must_use]
pub const fn blocks_per_row(n_in: u64) -> u64 {
    n_in.div_ceil(BLOCK_LEN as u64)
}

/// The words of the quants plane of a matrix `[n_rows, n_in]`, four for each `vec4`. None for tables of integers.
#[must_use]
pub const fn quant_words(format: Format, n_rows: u64, n_in: u64) -> u64 {
    let blocks = n_rows.saturating_mul(blocks_per_row(n_in));
    let words_per_block = match format {
        Format::F32 => 32,
        Format::F16 | Format::BF16 => 16,
        Format::Q8_0 | Format::FP8 | Format::FP8_F32 => 8,
        Format::Q6_K => 6,
        Format::Q4_0
        | Format::Q4_1
        | Format::Q5_0
        | Format::Q5_1
        | Format::Q4_K
        | Format::Q5_K
        | Format::IQ4_NL
        | Format::IQ4_XS
        | Format::MXFP4
        | Format::NVFP4 => 4,
        Format::Q2_K | Format::Q3_K => 2,
        other => match packed::of(other) {
            Some(packed) => return (blocks / 8).saturating_mul(packed.quant_words() as u64),
            None => 0,
        },
    };
    blocks.saturating_mul(words_per_block)
}

/// The table that the scales plane of a matrix begins with, before what [`repack_rows`] appends; empty for most formats.
#[must_use]
pub const fn grid_of(format: Format) -> &'static [u32] {
    match packed::of(format) {
        Some(packed) => packed.grid,
        None => &[],
    }
}

/// The words of the scales plane of a matrix `[n_rows, n_in]`, the table at its beginning included; the last one may be
/// filled in part.
#[must_use]
pub const fn scale_words(format: Format, n_rows: u64, n_in: u64) -> u64 {
    let blocks = n_rows.saturating_mul(blocks_per_row(n_in));
    match format {
        Format::F32 | Format::F16 | Format::BF16 => 0,
        Format::Q8_0 | Format::Q4_0 | Format::IQ4_NL | Format::NVFP4 => blocks.div_ceil(2),
        Format::Q5_0 => blocks.div_ceil(2).saturating_mul(3),
        Format::Q4_1 | Format::FP8_F32 => blocks,
        Format::Q5_1 => blocks.saturating_mul(2),
        Format::MXFP4 | Format::FP8 => blocks.div_ceil(4),
        Format::IQ4_XS => (blocks / 8).saturating_mul(2),
        Format::Q4_K => (blocks / 8).saturating_mul(4),
        Format::Q2_K | Format::Q6_K => (blocks / 8).saturating_mul(5),
        Format::Q3_K | Format::Q5_K => (blocks / 8).saturating_mul(12),
        other => match packed::of(other) {
            Some(packed) => {
                (blocks / 8).saturating_mul(packed.scale_words() as u64).saturating_add(packed.grid.len() as u64)
            }
            None => 0,
        },
    }
}

/// After how many rows both planes stand at a whole word: 1, 2 or 4. A matrix that is repacked in
/// pieces is cut at multiples of this.
#[must_use]
pub const fn row_quantum(format: Format, n_in: u64) -> u64 {
    let blocks_per_unit: u64 = match format {
        Format::Q8_0 | Format::Q4_0 | Format::IQ4_NL | Format::Q5_0 => 2,
        Format::MXFP4 | Format::FP8 => 4,
        _ => 1,
    };
    match blocks_per_row(n_in) % 4 {
        0 => 1,
        2 => blocks_per_unit.div_ceil(2),
        _ => blocks_per_unit,
    }
}

/// Repacks `n_rows` whole rows of `n_in` elements and appends them to the planes, of which the scales begin with the
/// [table](grid_of) of the format.
///
/// `bytes` holds exactly those rows as in the file. All pieces of a matrix but the last have a multiple of
/// [`row_quantum`] rows. Fails where the bytes do not fit the shape, and for the tables of integers.
pub fn repack_rows(
    format: Format,
    bytes: &[u8],
    n_rows: u64,
    n_in: u64,
    quants: &mut Vec<u32>,
    scales: &mut Vec<u32>,
) -> Result<()> {
    let row_bytes = format.row_bytes(n_in);
    if n_in == 0
        || !n_in.is_multiple_of(format.block_len() as u64)
        || n_rows.checked_mul(row_bytes) != Some(bytes.len() as u64)
    {
        return Err(Error::usage(
            format!("rows of {format} to repack"),
            format!("{} bytes for {n_rows} rows of {n_in}", bytes.len()),
        )
        .expected(format!("{row_bytes} bytes a row, in blocks of {} elements", format.block_len())));
    }
    match format {
        // The rows are inside a slice, so their length fits in a usize.
        Format::F32 => repack_plain(bytes, row_bytes as usize, 128, quants),
        Format::F16 | Format::BF16 => repack_plain(bytes, row_bytes as usize, 64, quants),
        Format::Q8_0 => repack_q8_0(bytes, quants, scales),
        Format::Q4_0 | Format::IQ4_NL => repack_q4_0(bytes, quants, scales),
        Format::FP8 => repack_fp8(bytes, quants, scales),
        Format::FP8_F32 => repack_fp8_f32(bytes, quants, scales),
        Format::Q4_1 => repack_q4_1(bytes, quants, scales),
        Format::Q5_0 => repack_q5_0(bytes, quants, scales),
        Format::Q5_1 => repack_q5_1(bytes, quants, scales),
        Format::MXFP4 => repack_mxfp4(bytes, quants, scales),
        Format::NVFP4 => repack_nvfp4(bytes, quants, scales),
        Format::Q2_K => repack_q2_k(bytes, quants, scales),
        Format::Q3_K => repack_q3_k(bytes, quants, scales),
        Format::Q4_K => repack_q4_k(bytes, quants, scales),
        Format::Q5_K => repack_q5_k(bytes, quants, scales),
        Format::IQ4_XS => repack_iq4_xs(bytes, quants, scales),
        Format::Q6_K => repack_q6_k(bytes, quants, scales),
        other => {
            let packed = packed::of(other).ok_or_else(|| not_a_weight(other))?;
            packed.repack(bytes, other.block_bytes(), quants, scales);
        }
    }
    Ok(())
}

/// Words as they are, each row filled up to whole blocks of `block_bytes`.
fn repack_plain(bytes: &[u8], row_bytes: usize, block_bytes: usize, quants: &mut Vec<u32>) {
    for row in bytes.chunks_exact(row_bytes) {
        let begin = quants.len();
        let (words, rest) = row.as_chunks();
        quants.extend(words.iter().map(|&word| u32::from_le_bytes(word)));
        if let &[low, high] = rest {
            quants.push(u32::from_le_bytes([low, high, 0, 0]));
        }
        quants.resize(begin + row_bytes.div_ceil(block_bytes) * block_bytes / 4, 0);
    }
}

fn repack_q8_0(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    let blocks = bytes.as_chunks::<34>().0;
    extend_scales(scales, 2, blocks.iter().map(|block| u32::from(u16::from_le_bytes([block[0], block[1]]))));
    quants.extend(blocks.iter().flat_map(|block| words(&block[2..])));
}

fn repack_q4_0(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    let blocks = bytes.as_chunks::<18>().0;
    extend_scales(scales, 2, blocks.iter().map(|block| u32::from(u16::from_le_bytes([block[0], block[1]]))));
    quants.extend(blocks.iter().flat_map(|block| words(&block[2..])));
}

fn repack_q4_1(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<20>().0 {
        scales.extend(words(&block[..4]));
        quants.extend(words(&block[4..]));
    }
}

fn repack_q5_0(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for pair in bytes.chunks(2 * 22) {
        let halves = pair.chunks_exact(22).map(|block| u16::from_le_bytes([block[0], block[1]]));
        let begin = scales.len();
        scales.push(halves.rev().fold(0, |word, half| word << 16 | u32::from(half)));
        for block in pair.as_chunks::<22>().0 {
            scales.extend(words(&block[2..6]));
            quants.extend(words(&block[6..]));
        }
        scales.resize(begin + 3, 0);
    }
}

fn repack_q5_1(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<24>().0 {
        scales.extend(words(&block[..8]));
        quants.extend(words(&block[8..]));
    }
}

fn repack_fp8(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    let blocks = bytes.as_chunks::<33>().0;
    extend_scales(scales, 4, blocks.iter().map(|block| u32::from(block[0])));
    quants.extend(blocks.iter().flat_map(|block| words(&block[1..])));
}

fn repack_fp8_f32(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<36>().0 {
        scales.extend(words(&block[..4]));
        quants.extend(words(&block[4..]));
    }
}

fn repack_nvfp4(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<36>().0 {
        scales.extend(words(&block[..4]));
        // Two groups of 16 elements, 8 bytes each, become one block of 32.
        for groups in block[4..].as_chunks::<16>().0 {
            let codes = |i: usize| {
                let pair = groups[i / 16 * 8 + i % 8];
                if i % 16 < 8 { pair & 15 } else { pair >> 4 }
            };
            let packed: [u8; 16] = std::array::from_fn(|i| codes(i) | codes(i + 16) << 4);
            quants.extend(words(&packed));
        }
    }
}

fn repack_q2_k(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<84>().0 {
        scales.extend(words(&block[..16]));
        scales.extend(words(&block[80..]));
        quants.extend(two_bit_words(&block[16..80]));
    }
}

fn repack_q3_k(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<110>().0 {
        scales.extend(words(&block[96..108]));
        scales.push(u32::from(u16::from_le_bytes([block[108], block[109]])));
        scales.extend((0..8).map(|sub_block| bit_column(&block[..32], sub_block)));
        quants.extend(two_bit_words(&block[32..96]));
    }
}

fn repack_q5_k(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<176>().0 {
        scales.extend(words(&block[..16]));
        scales.extend((0..8).map(|sub_block| bit_column(&block[16..48], sub_block)));
        for chunk in block[48..].as_chunks::<32>().0 {
            quants.extend(low_nibbles(chunk));
            quants.extend(high_nibbles(chunk));
        }
    }
}

fn repack_iq4_xs(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<136>().0 {
        scales.extend(words(&block[..8]));
        quants.extend(words(&block[8..]));
    }
}

fn repack_mxfp4(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    let blocks = bytes.as_chunks::<17>().0;
    extend_scales(scales, 4, blocks.iter().map(|block| u32::from(block[0])));
    quants.extend(blocks.iter().flat_map(|block| words(&block[1..])));
}

fn repack_q4_k(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<144>().0 {
        scales.extend(words(&block[..16]));
        for chunk in block[16..].as_chunks::<32>().0 {
            quants.extend(low_nibbles(chunk));
            quants.extend(high_nibbles(chunk));
        }
    }
}

fn repack_q6_k(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<210>().0 {
        for half in block[..128].as_chunks::<64>().0 {
            let chunks = half.as_chunks::<32>().0;
            quants.extend(chunks.iter().flat_map(low_nibbles));
            quants.extend(chunks.iter().flat_map(high_nibbles));
        }
        quants.extend(two_bit_words(&block[128..192]));
        scales.extend(words(&block[192..208]));
        scales.push(u32::from(u16::from_le_bytes([block[208], block[209]])));
    }
}

/// Little-endian words of bytes that are a multiple of four.
fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word))
}

/// Appends scales, `per_word` of them to a word from the low bits up.
fn extend_scales(scales: &mut Vec<u32>, per_word: usize, values: impl Iterator<Item = u32>) {
    for (index, value) in values.enumerate() {
        let place = index % per_word;
        match scales.last_mut() {
            Some(word) if place > 0 => *word |= value << (32 / per_word * place),
            _ => scales.push(value),
        }
    }
}

/// The low nibbles of 32 bytes in the order of Q4_0: byte i takes element i and element i + 16.
fn low_nibbles(chunk: &[u8; 32]) -> [u32; 4] {
    nibbles(chunk, |front, back| front & 0x0f0f_0f0f | (back & 0x0f0f_0f0f) << 4)
}

/// The high nibbles of 32 bytes in the order of Q4_0.
fn high_nibbles(chunk: &[u8; 32]) -> [u32; 4] {
    nibbles(chunk, |front, back| front >> 4 & 0x0f0f_0f0f | back & 0xf0f0_f0f0)
}

fn nibbles(chunk: &[u8; 32], join: impl Fn(u32, u32) -> u32) -> [u32; 4] {
    let bytes = chunk.as_chunks().0;
    [0, 1, 2, 3].map(|i| join(u32::from_le_bytes(bytes[i]), u32::from_le_bytes(bytes[i + 4])))
}

/// The two-bit fields of 64 bytes in the order of their elements, 16 to a word: element 128h + 32s + l has the bits
/// from 2s on of byte 32h + l.
fn two_bit_words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<32>().0.iter().flat_map(|half| {
        let sixteens = half.as_chunks::<16>().0;
        [0, 2, 4, 6].into_iter().flat_map(move |shift| sixteens.iter().map(move |sixteen| two_bits(sixteen, shift)))
    })
}

/// Two bits of each of 16 bytes, from bit `shift` on, in one word: eight bytes at a time, drawn together by halves.
fn two_bits(bytes: &[u8; 16], shift: usize) -> u32 {
    let eights = bytes.as_chunks::<8>().0.iter().rev();
    eights.fold(0, |word, &eight| {
        let fields = u64::from_le_bytes(eight) >> shift & 0x0303_0303_0303_0303;
        let fields = (fields | fields >> 6) & 0x000f_000f_000f_000f;
        let fields = (fields | fields >> 12) & 0x0000_00ff_0000_00ff;
        word << 16 | (fields | fields >> 24) as u32 & 0xffff
    })
}

/// Bit `bit` of each of 32 bytes, in one word: eight bytes at a time, where the product moves byte i's bit to bit 56 + i.
fn bit_column(bytes: &[u8], bit: usize) -> u32 {
    let eights = bytes.as_chunks::<8>().0.iter().rev();
    eights.fold(0, |word, &eight| {
        let bits = u64::from_le_bytes(eight) >> bit & 0x0101_0101_0101_0101;
        word << 8 | (bits.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    })
}
