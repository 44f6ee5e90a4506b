//! FP8: 33 bytes for 32 elements, as they are joined from DeepSeek's safetensors. A scale 2^(e − 127) as one byte e
//! (E8M0), then 32 E4M3 bytes; value = E4M3(byte) · scale. What the format calls no number is refused where rows are
//! joined; here 0x7F goes on as 480, as in the shaders.
//!
//! Planes: 2 vec4 of 32 E4M3 bytes in order; scales: E8M0 byte per block, four to a word.

use super::encode_blocks;
use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use crate::format::plane::Block;
use crate::format::repack::{extend_scales, words};

pub(super) static ROW: Row = Row {
    name: "FP8",
    ggml_id: None,
    block_len: 32,
    block_bytes: 33,
    weights: Some(Weights {
        usual: Usual::NEVER,
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: None },
        planes: Planes { unit: 4, quants: 64, scales: 1, grid: &[] },
        shader: Shader {
            decoder: &[quant!("e4m3"), quant!("fp8"), quant!("quarter")],
            codes: BlockCodes::InDecoder,
            words: &[],
        },
    }),
};

/// The value of an E4M3 byte: sign, four bits of exponent with bias 7, three of mantissa.
fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (byte >> 3 & 15, u32::from(byte & 7));
    // Without an exponent a mantissa has no leading one, and the weight of the smallest exponent.
    let whole = if exponent == 0 { mantissa } else { (8 + mantissa) << (exponent - 1) };
    let value = whole as f32 / 512.0;
    if byte < 128 { value } else { -value }
}

/// The E4M3 byte nearest to a number, ties to the even one; at most 448.
pub(super) fn nearest_e4m3(x: f32) -> u8 {
    let magnitude = x.abs().min(448.0);
    let code = if magnitude < 1.0 / 64.0 {
        (magnitude * 512.0).round_ties_even() as u8
    } else {
        let exponent = (magnitude.to_bits() >> 23) as i32 - 127;
        // From 8 to 16, and 16 carries into the exponent.
        let mantissa = (magnitude * (3.0 - exponent as f32).exp2()).round_ties_even() as i32;
        ((exponent + 7) * 8 + mantissa - 8) as u8
    };
    if x.is_sign_negative() { code | 128 } else { code }
}

/// 2^(e − 127); the smallest is subnormal in f32.
fn power(e: u8) -> f32 {
    f32::from_bits(if e == 0 { 0x0040_0000 } else { u32::from(e) << 23 })
}

/// The least power of two under which the largest element is at most 448.
fn encode(values: &[f32; 32]) -> [u8; 33] {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let e = (0..=254).find(|&e| largest <= 448.0 * power(e)).unwrap_or(254);
    let mut block = [0; 33];
    block[0] = e;
    for (byte, value) in block[1..].iter_mut().zip(values) {
        *byte = nearest_e4m3(value / power(e));
    }
    block
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    let blocks = bytes.as_chunks::<33>().0;
    extend_scales(scales, 4, blocks.iter().map(|block| u32::from(block[0])));
    quants.extend(blocks.iter().flat_map(|block| words(&block[1..])));
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let scale = power(scales[block / 4].to_le_bytes()[block % 4]);
    e4m3_bytes(quants, block, scale, values);
}

/// The E4M3 bytes of a block, times its scale.
pub(super) fn e4m3_bytes(quants: &[u32], block: usize, scale: f32, values: &mut Block) {
    for (four, &word) in values.as_chunks_mut::<4>().0.iter_mut().zip(&quants[block * 8..][..8]) {
        *four = word.to_le_bytes().map(|byte| e4m3(byte) * scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_format_find_themselves() {
        for byte in (0..=255u8).filter(|byte| byte & 0x7f != 0x7f) {
            assert_eq!(nearest_e4m3(e4m3(byte)), byte);
        }
        assert_eq!((e4m3(1), e4m3(8), e4m3(0x7e)), (1.0 / 512.0, 1.0 / 64.0, 448.0));
    }

    #[test]
    fn numbers_between_go_to_the_nearer_and_ties_to_the_even() {
        for (x, byte) in [(1.0625, 0x38), (1.07, 0x39), (1.1875, 0x3a), (1e9, 0x7e), (1.0 / 1024.0, 0), (0.0155, 8)] {
            assert_eq!(nearest_e4m3(x), byte, "{x}");
            assert_eq!(nearest_e4m3(-x), byte | 128, "{x}");
        }
    }
}
