//! NVFP4: 36 bytes for 64 elements. 4 unsigned E4M3 scales, one for each group of 16, then 8 bytes for each group: the
//! low nibble of byte i is element i of the group, the high nibble element i + 8; value = E2M1(code) · scale.
//! The table holds the doubled values, which are whole, and the scale is halved.
//!
//! Planes: 1 vec4 for 32, as Q4_0; scales: E4M3 byte per 16 elements, four to a word.

use super::mxfp4::{DOUBLED_E2M1, nearest_code};
use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::{encode_blocks, squared_error};
use crate::format::plane::{Block, nibbles};
use crate::format::repack::words;

pub(super) static ROW: Row = Row {
    name: "NVFP4",
    ggml_id: Some(40),
    block_len: 64,
    block_bytes: 36,
    weights: Some(Weights {
        usual: Usual::NEVER,
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(39) },
        planes: Planes { unit: 2, quants: 32, scales: 1, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("e2m1"), quant!("half_scales"), quant!("nvfp4"), quant!("quarter")],
            codes: BlockCodes::OfE2m1(quant!("nvfp4_codes")),
            words: &[quant!("words"), quant!("nvfp4_words")],
        },
    }),
};

/// The codes of two groups of 16 elements, 8 bytes each, as those of a block of 32: elements i and i + 16 in byte i.
pub(super) fn codes_of_two(groups: &[u8; 16]) -> [u8; 16] {
    let code = |i: usize| {
        let pair = groups[i / 16 * 8 + i % 8];
        if i % 16 < 8 { pair & 15 } else { pair >> 4 }
    };
    std::array::from_fn(|i| code(i) | code(i + 16) << 4)
}

/// Half the value of an E4M3 byte without regard to its sign. 0x7F, which is no number, is zero, as in ggml.
pub(super) fn half_scale(byte: u8) -> f32 {
    if byte == 0x7f {
        return 0.0;
    }
    let (exponent, mantissa) = (byte >> 3 & 15, u32::from(byte & 7));
    // Without an exponent a mantissa has no leading one, and the weight of the smallest exponent.
    let whole = if exponent == 0 { mantissa } else { (8 + mantissa) << (exponent - 1) };
    whole as f32 / 1024.0
}

fn encode(values: &[f32; 64]) -> [u8; 36] {
    let mut block = [0; 36];
    for (g, group) in values.as_chunks::<16>().0.iter().enumerate() {
        let (scale, packed) = encode_group(group);
        block[g] = scale;
        block[4 + 8 * g..][..8].copy_from_slice(&packed);
    }
    block
}

/// Tries the scales around the one that brings the largest element to 6, and around the one that brings it to 4, from
/// where the steps are finer; the best in squared error stays.
pub(super) fn encode_group(group: &[f32; 16]) -> (u8, [u8; 8]) {
    /// The greatest scale that is a number: 448.
    const GREATEST: u8 = 0x7e;
    let largest = group.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let mut best = ((0, [0; 8]), squared_error(group, |_| 0.0));
    for doubled in [12.0, 8.0] {
        let wanted = (0..=GREATEST).take_while(|&scale| half_scale(scale) * doubled < largest).count() as u8;
        for scale in wanted.saturating_sub(2)..=wanted.saturating_add(1).min(GREATEST) {
            let d = half_scale(scale);
            if d == 0.0 {
                continue;
            }
            let codes = group.map(|value| nearest_code(value / d));
            let error = squared_error(group, |value| DOUBLED_E2M1[usize::from(nearest_code(value / d))] * d);
            if error < best.1 {
                best = ((scale, std::array::from_fn(|i| codes[i] | codes[i + 8] << 4)), error);
            }
        }
    }
    best.0
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<36>().0 {
        scales.extend(words(&block[..4]));
        block[4..].as_chunks::<16>().0.iter().for_each(|groups| quants.extend(words(&codes_of_two(groups))));
    }
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    nibbles(quants, block * 4, values, |q| DOUBLED_E2M1[q as usize]);
    for (half, sixteen) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let d = half_scale(scales[block / 2].to_le_bytes()[block % 2 * 2 + half]);
        sixteen.iter_mut().for_each(|value| *value *= d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::format::quant::decode_row;

    #[test]
    fn scales_are_those_of_e4m3() {
        for (byte, value) in
            [(0, 0.0), (1, 0.001_953_125), (7, 0.013_671_875), (8, 0.015_625), (0x38, 1.0), (0x7e, 448.0)]
        {
            assert_eq!(2.0 * half_scale(byte), value, "{byte:#x}");
        }
        assert_eq!(half_scale(0x7f), 0.0);
        assert!((1..0x7e).all(|byte| half_scale(byte) < half_scale(byte + 1)));
    }

    #[test]
    fn values_of_the_format_survive() {
        let values: [f32; 64] = std::array::from_fn(|i| DOUBLED_E2M1[i % 16] * half_scale(0x20 + (i / 16) as u8));
        let mut decoded = [0.0; 64];
        decode_row(Format::NVFP4, &encode(&values), &mut decoded).expect("a whole block");
        assert_eq!(values, decoded);
    }
}
