//! MXFP4: 17 bytes for 32 elements. One byte e, then 16 bytes: the low nibble of byte i is element i, the high
//! nibble element i + 16; value = E2M1(code) · 2^(e − 127). The table holds the doubled values, which are whole,
//! and the scale is 2^(e − 128).
//!
//! Planes: 1 vec4, as Q4_0; scales: E8M0 byte per block, four to a word.

use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::{encode_blocks, squared_error};
use crate::format::plane::{Block, nibbles};
use crate::format::repack::{extend_scales, words};

pub(super) static ROW: Row = Row {
    name: "MXFP4",
    ggml_id: Some(39),
    block_len: 32,
    block_bytes: 17,
    weights: Some(Weights {
        usual: Usual { place: 80, names: &["MXFP4", "MXFP4_MOE"] },
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(38) },
        planes: Planes { unit: 4, quants: 32, scales: 1, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("e2m1"), quant!("mxfp4"), quant!("quarter")],
            codes: BlockCodes::OfE2m1(quant!("mxfp4_codes")),
            words: &[quant!("words"), quant!("mxfp4_words")],
        },
    }),
};

/// Twice the value of each E2M1 code: sign in bit 3, then two bits of exponent and one of mantissa.
/// Zero has no sign, as in ggml, whose table is of integers.
pub(super) const DOUBLED_E2M1: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

/// 2^(e − 128). The two smallest are subnormal in f32; 255, which E8M0 calls NaN, goes on as a power, as in ggml.
fn half_power(e: u8) -> f32 {
    f32::from_bits(if e < 2 { 0x0020_0000 << e } else { (u32::from(e) - 1) << 23 })
}

/// Tries the power of two that brings the largest element to [4, 8), and its two neighbours: the larger cuts
/// nothing off, the smaller is finer for the rest. The best in squared error stays.
fn encode(values: &[f32; 32]) -> [u8; 17] {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        return [0; 17];
    }
    // The exponent field is floor(log2) + 127; E2M1's own largest exponent is 2.
    let fitting = (largest.to_bits() >> 23) as i32 - 2;
    let mut best = ([0; 17], f64::INFINITY);
    for e in [fitting, fitting + 1, fitting - 1] {
        let block = encode_with(values, e.clamp(0, 254) as u8);
        let d = half_power(block[0]);
        let error = squared_error(values, |value| DOUBLED_E2M1[usize::from(nearest_code(value / d))] * d);
        if error < best.1 {
            best = (block, error);
        }
    }
    best.0
}

fn encode_with(values: &[f32; 32], e: u8) -> [u8; 17] {
    let d = half_power(e);
    let code = |value: f32| nearest_code(value / d);
    let mut block = [0; 17];
    block[0] = e;
    for (i, byte) in block[1..].iter_mut().enumerate() {
        *byte = code(values[i]) | code(values[i + 16]) << 4;
    }
    block
}

/// The code whose doubled value is nearest; a tie goes to the smaller, and there is no negative zero.
pub(super) fn nearest_code(doubled: f32) -> u8 {
    /// Halfway between each magnitude and the next.
    const BETWEEN: [f32; 7] = [0.5, 1.5, 2.5, 3.5, 5.0, 7.0, 10.0];
    let magnitude = BETWEEN.iter().filter(|&&edge| doubled.abs() > edge).count() as u8;
    if doubled < 0.0 && magnitude > 0 { magnitude | 8 } else { magnitude }
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    let blocks = bytes.as_chunks::<17>().0;
    extend_scales(scales, 4, blocks.iter().map(|block| u32::from(block[0])));
    quants.extend(blocks.iter().flat_map(|block| words(&block[1..])));
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let d = half_power(scales[block / 4].to_le_bytes()[block % 4]);
    nibbles(quants, block * 4, values, |q| DOUBLED_E2M1[q as usize] * d);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::format::quant::decode_row;

    #[test]
    fn scales_are_powers_of_two_down_to_the_subnormal_ones() {
        for e in 0..=255u8 {
            assert_eq!(f64::from(half_power(e)), 2f64.powi(i32::from(e) - 128), "e = {e}");
        }
    }

    #[test]
    fn values_of_the_format_survive() {
        let mut values = [0.0; 32];
        for (i, value) in values.iter_mut().enumerate() {
            *value = DOUBLED_E2M1[i % 16] * 0.25;
        }
        let mut decoded = [0.0; 32];
        decode_row(Format::MXFP4, &encode(&values), &mut decoded).expect("a whole block");
        assert_eq!(values, decoded);
    }
}
