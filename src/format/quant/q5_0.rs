//! Q5_0: 22 bytes for 32 elements. `f16 d`, a 32-bit word whose bit i is the fifth bit of element i, then 16 bytes of
//! low nibbles as in Q4_0; value = (q − 16) · d.
//!
//! Planes: 1 vec4 of low bits, as Q4_0; scales: 3 words for 2 blocks, `d` of both, then for each a word of fifth bits.

use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::{encode_blocks, finite_f16};
use crate::format::plane::{Block, add_bits, half_of, nibbles};
use crate::format::repack::words;

pub(super) static ROW: Row = Row {
    name: "Q5_0",
    ggml_id: Some(6),
    block_len: 32,
    block_bytes: 22,
    weights: Some(Weights {
        usual: Usual::NEVER,
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(8) },
        planes: Planes { unit: 2, quants: 32, scales: 3, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("fifth_bits"), quant!("q5_0"), quant!("quarter")],
            codes: BlockCodes::InDecoder,
            words: &[quant!("words"), quant!("q5_0_words")],
        },
    }),
};

/// A word of fifth bits and 16 bytes of nibbles of 32 five-bit codes.
pub(super) fn pack_fives(codes: &[u8; 32]) -> [u8; 20] {
    let high = codes.iter().rev().fold(0u32, |word, code| word << 1 | u32::from(code >> 4));
    let mut packed = [0; 20];
    packed[..4].copy_from_slice(&high.to_le_bytes());
    for (i, byte) in packed[4..].iter_mut().enumerate() {
        *byte = codes[i] & 15 | codes[i + 16] << 4;
    }
    packed
}

/// ggml's reference: the element furthest from zero becomes exactly −16, so d has the opposite sign to it.
fn encode(values: &[f32; 32]) -> [u8; 22] {
    let furthest = values.iter().fold(0.0f32, |kept, &value| if value.abs() > kept.abs() { value } else { kept });
    let d = furthest / -16.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    // The cast cuts towards zero, so adding 16.5 both centres and rounds.
    let codes = values.map(|value| ((value * inverse + 16.5) as u8).min(31));
    let mut block = [0; 22];
    block[..2].copy_from_slice(&finite_f16(d).to_le_bytes());
    block[2..].copy_from_slice(&pack_fives(&codes));
    block
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
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

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let unit = &scales[block / 2 * 3..][..3];
    let d = half_of(unit, block % 2);
    nibbles(quants, block * 4, values, |q| q as f32);
    add_bits(unit[1 + block % 2], 16.0, values);
    values.iter_mut().for_each(|value| *value = (*value - 16.0) * d);
}
