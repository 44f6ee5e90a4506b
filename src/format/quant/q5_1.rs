//! Q5_1: 24 bytes for 32 elements. `f16 d`, `f16 m`, then fifth bits and nibbles as in Q5_0; value = q · d + m.
//!
//! Planes: 1 vec4 of low bits, as Q4_0; scales: 2 words per block, `d` and `m << 16`, then the fifth bits.

use super::q5_0::pack_fives;
use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::{encode_blocks, finite_f16, span_of};
use crate::format::plane::{Block, add_bits, half_of, nibbles};
use crate::format::repack::words;

pub(super) static ROW: Row = Row {
    name: "Q5_1",
    ggml_id: Some(7),
    block_len: 32,
    block_bytes: 24,
    weights: Some(Weights {
        usual: Usual::NEVER,
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(9) },
        planes: Planes { unit: 1, quants: 32, scales: 2, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("fifth_bits"), quant!("q5_1"), quant!("quarter")],
            codes: BlockCodes::InDecoder,
            words: &[quant!("words"), quant!("q5_1_words")],
        },
    }),
};

/// ggml's reference: the least element becomes code 0, the greatest code 31.
fn encode(values: &[f32; 32]) -> [u8; 24] {
    let (low, high) = span_of(values);
    let d = (high - low) / 31.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let codes = values.map(|value| (((value - low) * inverse + 0.5) as u8).min(31));
    let mut block = [0; 24];
    block[..2].copy_from_slice(&finite_f16(d).to_le_bytes());
    block[2..4].copy_from_slice(&finite_f16(low).to_le_bytes());
    block[4..].copy_from_slice(&pack_fives(&codes));
    block
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<24>().0 {
        scales.extend(words(&block[..8]));
        quants.extend(words(&block[8..]));
    }
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let (d, m) = (half_of(scales, 4 * block), half_of(scales, 4 * block + 1));
    nibbles(quants, block * 4, values, |q| q as f32);
    add_bits(scales[2 * block + 1], 16.0, values);
    values.iter_mut().for_each(|value| *value = *value * d + m);
}
