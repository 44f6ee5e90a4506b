//! Q4_ZERO: 20 bytes for 32 elements, as they are joined from the weights of AWQ and GPTQ. `f16 d`, `f16 z`, a whole number from 0
//! to 15, then 16 bytes of nibbles as in Q4_0; value = (q − z) · d, exact in f32. Q4_1 would round z · d.
//!
//! Planes: as Q4_1, with `z` in place of its minimum.

use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::{encode_blocks, finite_f16, q4_1, span_of};
use crate::format::plane::{Block, half_of, nibbles};
use half::f16;

pub(super) static ROW: Row = Row {
    name: "Q4_ZERO",
    ggml_id: None,
    block_len: 32,
    block_bytes: 20,
    weights: Some(Weights {
        usual: Usual::NEVER,
        blocks: Blocks::Own { repack: q4_1::repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: None },
        planes: Planes { unit: 1, quants: 32, scales: 1, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("q4_1_block"), quant!("q4_zero"), quant!("quarter")],
            codes: BlockCodes::OfNibbles(quant!("q4_1_codes")),
            words: &[quant!("words"), quant!("q4_1_words")],
        },
    }),
};

/// The least element, or 0 where all are greater, becomes about code 0, the greatest about code 15: as AWQ has it.
fn encode(values: &[f32; 32]) -> [u8; 20] {
    let (low, high) = span_of(values);
    let (low, high) = (low.min(0.0), high.max(0.0));
    let d = finite_f16((high - low) / 15.0);
    let inverse = if d == f16::ZERO { 0.0 } else { 1.0 / d.to_f32() };
    let zero = (-low * inverse).round().clamp(0.0, 15.0);
    let code = |value: f32| (value * inverse + zero).round().clamp(0.0, 15.0) as u8;
    let mut block = [0; 20];
    block[..2].copy_from_slice(&d.to_le_bytes());
    block[2..4].copy_from_slice(&f16::from_f32(zero).to_le_bytes());
    for (i, byte) in block[4..].iter_mut().enumerate() {
        *byte = code(values[i]) | code(values[i + 16]) << 4;
    }
    block
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let (d, zero) = (half_of(scales, 2 * block), half_of(scales, 2 * block + 1));
    nibbles(quants, block * 4, values, |q| (q as f32 - zero) * d);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::format::quant::decode_row;

    #[test]
    fn values_of_the_format_survive() {
        for (d, zero) in [(0.5, 8), (3.0, 0), (-0.0, 3), (1.0 / 3.0, 15)] {
            let d = f16::from_f32(d).to_f32();
            let values: [f32; 32] = std::array::from_fn(|i| (i as f32 % 16.0 - zero as f32) * d);
            let mut decoded = [0.0; 32];
            decode_row(Format::Q4_ZERO, &encode(&values), &mut decoded).expect("a whole block");
            assert_eq!(values, decoded, "{d}, {zero}");
        }
    }
}
