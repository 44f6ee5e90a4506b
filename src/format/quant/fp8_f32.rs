//! FP8_F32: 36 bytes for 32 elements, as they are joined from DeepSeek's safetensors: as FP8, with the scale in F32.

use super::fp8::{e4m3, nearest_e4m3};

pub(super) fn decode(block: &[u8; 36], values: &mut [f32; 32]) {
    let scale = f32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    for (value, &byte) in values.iter_mut().zip(&block[4..]) {
        *value = e4m3(byte) * scale;
    }
}

/// The scale that makes the largest element 448.
pub(super) fn encode(values: &[f32; 32]) -> [u8; 36] {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 448.0;
    let mut block = [0; 36];
    block[..4].copy_from_slice(&scale.to_le_bytes());
    for (byte, value) in block[4..].iter_mut().zip(values) {
        *byte = if scale == 0.0 { 0 } else { nearest_e4m3(value / scale) };
    }
    block
}
