//! Q8_0: 34 bytes for 32 elements. `f16 d`, then 32 signed bytes q; value = q · d.
//!
//! Planes: 2 vec4 of 32 signed bytes in order; scales: f16 per block, two to a word.

use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::{encode_blocks, finite_f16, round};
use crate::format::plane::{Block, half_of};
use crate::format::repack::{extend_scales, words};

pub(super) static ROW: Row = Row {
    name: "Q8_0",
    ggml_id: Some(8),
    block_len: 32,
    block_bytes: 34,
    weights: Some(Weights {
        usual: Usual { place: 70, names: &["Q8_0"] },
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(7) },
        planes: Planes { unit: 2, quants: 64, scales: 1, grid: &[] },
        shader: Shader {
            decoder: &[quant!("q8_0"), quant!("quarter")],
            codes: BlockCodes::InDecoder,
            words: &[quant!("q8_0_words")],
        },
    }),
};

/// ggml's reference: d = max|x| / 127, and each element to the nearest multiple of the d before its rounding to f16.
fn encode(values: &[f32; 32]) -> [u8; 34] {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let d = largest / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let mut block = [0; 34];
    block[..2].copy_from_slice(&finite_f16(d).to_le_bytes());
    for (byte, value) in block[2..].iter_mut().zip(values) {
        *byte = round(value * inverse) as i8 as u8;
    }
    block
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    let blocks = bytes.as_chunks::<34>().0;
    extend_scales(scales, 2, blocks.iter().map(|block| u32::from(u16::from_le_bytes([block[0], block[1]]))));
    quants.extend(blocks.iter().flat_map(|block| words(&block[2..])));
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let d = half_of(scales, block);
    for (four, &word) in values.as_chunks_mut::<4>().0.iter_mut().zip(&quants[block * 8..][..8]) {
        *four = word.to_le_bytes().map(|byte| f32::from(byte as i8) * d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn the_largest_element_becomes_127() {
        let mut values = [0.5; 32];
        values[7] = -254.0;
        let block = encode(&values);
        assert_eq!(f16::from_le_bytes([block[0], block[1]]), f16::from_f32(2.0));
        assert_eq!(block[2 + 7] as i8, -127);
    }
}
