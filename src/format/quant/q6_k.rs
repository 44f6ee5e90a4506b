//! Q6_K: 210 bytes for 256 elements. 128 bytes with the low 4 bits, 64 bytes with the high 2 bits, 16 signed scales,
//! one for each sub-block of 16, and `f16 d` last; value = (d · scale) · (q − 32).
//!
//! Element 128h + 32s + l, with l < 32: its low bits are in byte 64h + 32(s mod 2) + l, in the high nibble from
//! s = 2 on; its high bits are in byte 128 + 32h + l, from bit 2s on.
//!
//! Planes: 12 vec4, 8 sub-blocks of 32 with low bits as Q4_0, then for each 2 words of high bits: element i has bits
//! 2(i mod 16) of word i / 16; scales: 5 words, 16 signed bytes, then `d`.

use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::scale_only::{self, Whole};
use super::{encode_blocks, sub_blocks_of};
use crate::format::plane::{Block, half_of, nibbles};
use crate::format::repack::{high_nibbles, low_nibbles, two_bit_words, words};

pub(super) static ROW: Row = Row {
    name: "Q6_K",
    ggml_id: Some(14),
    block_len: 256,
    block_bytes: 210,
    weights: Some(Weights {
        usual: Usual { place: 60, names: &["Q6_K"] },
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(18) },
        planes: Planes { unit: 8, quants: 48, scales: 5, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("two_bits"), quant!("q6_k"), quant!("quarter")],
            codes: BlockCodes::None,
            words: &[quant!("words"), quant!("q6_k_words")],
        },
    }),
};

/// What codes stand for.
type Codes = Whole<-32, 31>;

/// Where the high bits, the scales and d begin.
const HIGH: usize = 128;
const SCALES: usize = 192;
const D: usize = 208;

/// Where the six bits of an element lie in the block.
struct Place {
    low_byte: usize,
    low_shift: usize,
    high_byte: usize,
    high_shift: usize,
}

impl Place {
    fn of(index: usize) -> Self {
        let (h, s, l) = (index / 128, index / 32 % 4, index % 32);
        Self {
            low_byte: 64 * h + 32 * (s % 2) + l,
            low_shift: 4 * (s / 2),
            high_byte: HIGH + 32 * h + l,
            high_shift: 2 * s,
        }
    }
}

fn encode(values: &[f32; 256]) -> [u8; 210] {
    let sub_blocks = sub_blocks_of::<16, 16>(values);
    let fitted = scale_only::fit_all::<Codes, _, _>(&sub_blocks, [-128.0, 127.0]);
    let mut block = [0; 210];
    block[D..].copy_from_slice(&fitted.d.to_le_bytes());
    for (j, (sub_block, &scale)) in sub_blocks.iter().zip(&fitted.stored).enumerate() {
        block[SCALES + j] = scale as u8;
        for (i, &value) in sub_block.iter().enumerate() {
            let place = Place::of(16 * j + i);
            let q = (scale_only::nearest::<Codes>(value, fitted.d.to_f32() * f32::from(scale)) + 32.0) as u8;
            block[place.low_byte] |= (q & 15) << place.low_shift;
            block[place.high_byte] |= (q >> 4) << place.high_shift;
        }
    }
    block
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
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

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
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
