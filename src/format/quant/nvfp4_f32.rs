//! NVFP4_F32: 40 bytes for 64 elements, as they are joined from NVFP4 and the number by which a whole tensor is multiplied: 4
//! scales in E4M3, that number in F32, and then the codes as in NVFP4; value = E2M1(code) · scale · number.
//!
//! Planes: 1 vec4 for 32, as Q4_0; scales: the four and the number.

use super::encode_blocks;
use super::mxfp4::DOUBLED_E2M1;
use super::nvfp4::{codes_of_two, encode_group, half_scale};
use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use crate::format::plane::{Block, nibbles};
use crate::format::repack::words;

pub(super) static ROW: Row = Row {
    name: "NVFP4_F32",
    ggml_id: None,
    block_len: 64,
    block_bytes: 40,
    weights: Some(Weights {
        usual: Usual::NEVER,
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: None },
        planes: Planes { unit: 2, quants: 32, scales: 2, grid: &[] },
        shader: Shader {
            decoder: &[
                quant!("nibbles"),
                quant!("e2m1"),
                quant!("half_scales"),
                quant!("nvfp4_f32"),
                quant!("quarter"),
            ],
            codes: BlockCodes::OfE2m1(quant!("nvfp4_codes")),
            words: &[quant!("words"), quant!("nvfp4_words")],
        },
    }),
};

/// With the number by which the greatest scale is 448, of this block alone.
fn encode(values: &[f32; 64]) -> [u8; 40] {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    // Where it would be subnormal, it would lose what it is there for.
    let number = if largest < 1e-30 { 1.0 } else { largest / (6.0 * 448.0) };
    let mut block = [0; 40];
    block[4..8].copy_from_slice(&number.to_le_bytes());
    for (g, group) in values.as_chunks::<16>().0.iter().enumerate() {
        let (scale, packed) = encode_group(&group.map(|value| value / number));
        block[g] = scale;
        block[8 + 8 * g..][..8].copy_from_slice(&packed);
    }
    block
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<40>().0 {
        scales.extend(words(&block[..8]));
        block[8..].as_chunks::<16>().0.iter().for_each(|groups| quants.extend(words(&codes_of_two(groups))));
    }
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    nibbles(quants, block * 4, values, |q| DOUBLED_E2M1[q as usize]);
    let number = f32::from_bits(scales[block / 2 * 2 + 1]);
    for (half, sixteen) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let d = number * half_scale(scales[block / 2 * 2].to_le_bytes()[block % 2 * 2 + half]);
        sixteen.iter_mut().for_each(|value| *value *= d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::format::quant::decode_row;

    #[test]
    fn values_of_the_format_survive() {
        // The greatest scale is that of 448, so the number is 0.25.
        let scales = [448.0, 1.0, 0.5, 240.0];
        let values: [f32; 64] = std::array::from_fn(|i| DOUBLED_E2M1[i % 16] / 2.0 * scales[i / 16] * 0.25);
        let block = encode(&values);
        assert_eq!(block[4..8], 0.25f32.to_le_bytes());
        let mut decoded = [0.0; 64];
        decode_row(Format::NVFP4_F32, &block, &mut decoded).expect("a whole block");
        assert_eq!(values, decoded);
    }
}
