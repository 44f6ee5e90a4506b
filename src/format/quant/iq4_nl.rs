//! IQ4_NL: 18 bytes for 32 elements. `f16 d`, then 16 bytes of nibbles as in Q4_0; value = table(q) · d, with a table
//! that is finer around zero.
//!
//! Planes: as Q4_0.

use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::scale_only::{self, Codes};
use super::{encode_blocks, finite_f16, q4_0};
use crate::format::plane::{Block, half_of, nibbles};

pub(super) static ROW: Row = Row {
    name: "IQ4_NL",
    ggml_id: Some(20),
    block_len: 32,
    block_bytes: 18,
    weights: Some(Weights {
        usual: Usual { place: 30, names: &["IQ4_NL"] },
        blocks: Blocks::Own { repack: q4_0::repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(25) },
        planes: Planes { unit: 2, quants: 32, scales: 1, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("uneven"), quant!("iq4_nl"), quant!("quarter")],
            codes: BlockCodes::InDecoder,
            words: &[],
        },
    }),
};

/// What the codes of IQ4_NL and IQ4_XS stand for.
pub(super) const UNEVEN: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The table, for the search of scales.
pub(super) struct Uneven;

impl Codes for Uneven {
    const ENDS: [f32; 2] = [-127.0, 113.0];
    const MARGIN: f32 = 10.0;

    fn nearest(x: f32) -> f32 {
        f32::from(UNEVEN[code_of(x)])
    }
}

/// Half-way between the numbers of the table.
const BETWEEN: [f32; 15] = {
    let (mut between, mut code) = ([0.0; 15], 0);
    while code < between.len() {
        between[code] = (UNEVEN[code] as f32 + UNEVEN[code + 1] as f32) / 2.0;
        code += 1;
    }
    between
};

/// The code whose number is nearest; a tie goes to the lower.
fn code_of(x: f32) -> usize {
    let mut code = 0;
    for half in [8, 4, 2, 1] {
        if x > BETWEEN[code + half - 1] {
            code += half;
        }
    }
    code
}

/// The code for a value at a scale; where there is none, whichever, as all are zero then.
pub(super) fn code_at(value: f32, scale: f32) -> u8 {
    if scale == 0.0 { 0 } else { code_of(value / scale) as u8 }
}

fn encode(values: &[f32; 32]) -> [u8; 18] {
    let d = finite_f16(scale_only::fit::<Uneven, _>(values));
    let mut block = [0; 18];
    block[..2].copy_from_slice(&d.to_le_bytes());
    for (i, byte) in block[2..].iter_mut().enumerate() {
        *byte = code_at(values[i], d.to_f32()) | code_at(values[i + 16], d.to_f32()) << 4;
    }
    block
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let d = half_of(scales, block);
    nibbles(quants, block * 4, values, |q| f32::from(UNEVEN[q as usize]) * d);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_table_find_themselves() {
        for (code, number) in UNEVEN.into_iter().enumerate() {
            assert_eq!(code_of(f32::from(number)), code);
        }
        for (code, between) in BETWEEN.into_iter().enumerate() {
            assert_eq!((code_of(between), code_of(between.next_up())), (code, code + 1));
        }
        assert_eq!((code_of(-1e9), code_of(1e9)), (0, 15));
    }
}
