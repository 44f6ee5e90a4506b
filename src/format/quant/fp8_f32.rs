//! FP8_F32: 36 bytes for 32 elements, as they are joined from DeepSeek's safetensors: as FP8, with the scale in F32.
//!
//! Planes: 2 vec4, as FP8; scales: F32 per block.

use super::encode_blocks;
use super::fp8::{e4m3_bytes, nearest_e4m3};
use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use crate::format::plane::Block;
use crate::format::repack::words;

pub(super) static ROW: Row = Row {
    name: "FP8_F32",
    ggml_id: None,
    block_len: 32,
    block_bytes: 36,
    weights: Some(Weights {
        usual: Usual::NEVER,
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: None },
        planes: Planes { unit: 1, quants: 64, scales: 1, grid: &[] },
        shader: Shader {
            decoder: &[quant!("e4m3"), quant!("fp8_f32"), quant!("quarter")],
            codes: BlockCodes::InDecoder,
            words: &[],
        },
    }),
};

/// The scale that makes the largest element 448.
fn encode(values: &[f32; 32]) -> [u8; 36] {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 448.0;
    let mut block = [0; 36];
    block[..4].copy_from_slice(&scale.to_le_bytes());
    for (byte, value) in block[4..].iter_mut().zip(values) {
        *byte = if scale == 0.0 { 0 } else { nearest_e4m3(value / scale) };
    }
    block
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<36>().0 {
        scales.extend(words(&block[..4]));
        quants.extend(words(&block[4..]));
    }
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    e4m3_bytes(quants, block, f32::from_bits(scales[block]), values);
}
