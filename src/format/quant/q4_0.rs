//! Q4_0: 18 bytes for 32 elements. `f16 d`, then 16 bytes: the low nibble of byte i is element i, the high nibble
//! element i + 16; value = (q − 8) · d.
//!
//! Planes: 1 vec4: the 16 bytes as they are; scales: f16 per block, two to a word.

use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::{encode_blocks, finite_f16};
use crate::format::plane::{Block, half_of, nibbles};
use crate::format::repack::{extend_scales, words};

pub(super) static ROW: Row = Row {
    name: "Q4_0",
    ggml_id: Some(2),
    block_len: 32,
    block_bytes: 18,
    weights: Some(Weights {
        usual: Usual { place: 20, names: &["Q4_0"] },
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(2) },
        planes: Planes { unit: 2, quants: 32, scales: 1, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("q4_0"), quant!("quarter")],
            codes: BlockCodes::OfNibbles(quant!("q4_0_codes")),
            words: &[quant!("words"), quant!("q4_0_words")],
        },
    }),
};

/// ggml's reference: the element furthest from zero becomes exactly −8, so d has the opposite sign to it.
fn encode(values: &[f32; 32]) -> [u8; 18] {
    let furthest = values.iter().fold(0.0f32, |kept, &value| if value.abs() > kept.abs() { value } else { kept });
    let d = furthest / -8.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    // The cast cuts towards zero, so adding 8.5 both centres and rounds.
    let code = |value: f32| ((value * inverse + 8.5) as u8).min(15);
    let mut block = [0; 18];
    block[..2].copy_from_slice(&finite_f16(d).to_le_bytes());
    for (i, byte) in block[2..].iter_mut().enumerate() {
        *byte = code(values[i]) | code(values[i + 16]) << 4;
    }
    block
}

pub(super) fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    let blocks = bytes.as_chunks::<18>().0;
    extend_scales(scales, 2, blocks.iter().map(|block| u32::from(u16::from_le_bytes([block[0], block[1]]))));
    quants.extend(blocks.iter().flat_map(|block| words(&block[2..])));
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let d = half_of(scales, block);
    nibbles(quants, block * 4, values, |q| (q as f32 - 8.0) * d);
}
