//! Q4_1: 20 bytes for 32 elements. `f16 d`, `f16 m`, then 16 bytes of nibbles as in Q4_0; value = q · d + m.
//!
//! Planes: 1 vec4, as Q4_0; scales: 1 word per block, `d` and `m << 16`.

use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::{encode_blocks, finite_f16, span_of};
use crate::format::plane::{Block, half_of, nibbles};
use crate::format::repack::words;

pub(super) static ROW: Row = Row {
    name: "Q4_1",
    ggml_id: Some(3),
    block_len: 32,
    block_bytes: 20,
    weights: Some(Weights {
        usual: Usual::NEVER,
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(3) },
        planes: Planes { unit: 1, quants: 32, scales: 1, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("q4_1_block"), quant!("q4_1"), quant!("quarter")],
            codes: BlockCodes::OfNibbles(quant!("q4_1_codes")),
            words: &[quant!("words"), quant!("q4_1_words")],
        },
    }),
};

/// ggml's reference: the least element becomes code 0, the greatest code 15.
fn encode(values: &[f32; 32]) -> [u8; 20] {
    let (low, high) = span_of(values);
    let d = (high - low) / 15.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let code = |value: f32| (((value - low) * inverse + 0.5) as u8).min(15);
    let mut block = [0; 20];
    block[..2].copy_from_slice(&finite_f16(d).to_le_bytes());
    block[2..4].copy_from_slice(&finite_f16(low).to_le_bytes());
    for (i, byte) in block[4..].iter_mut().enumerate() {
        *byte = code(values[i]) | code(values[i + 16]) << 4;
    }
    block
}

pub(super) fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<20>().0 {
        scales.extend(words(&block[..4]));
        quants.extend(words(&block[4..]));
    }
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let (d, m) = (half_of(scales, 2 * block), half_of(scales, 2 * block + 1));
    nibbles(quants, block * 4, values, |q| q as f32 * d + m);
}
