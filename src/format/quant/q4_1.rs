//! Q4_1: 20 bytes for 32 elements. `f16 d`, `f16 m`, then 16 bytes of nibbles as in Q4_0; value = q · d + m.

use super::{finite_f16, read_f16, span_of};

pub(super) fn decode(block: &[u8; 20], values: &mut [f32; 32]) {
    let (d, m) = (read_f16(block, 0), read_f16(block, 2));
    for (i, &pair) in block[4..].iter().enumerate() {
        values[i] = f32::from(pair & 15) * d + m;
        values[i + 16] = f32::from(pair >> 4) * d + m;
    }
}

/// ggml's reference: the least element becomes code 0, the greatest code 15.
pub(super) fn encode(values: &[f32; 32]) -> [u8; 20] {
    let (low, high) = span_of(values);
    let d = (high - low) / 15.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let code = |value: f32| (((value - low) * inverse + 0.5) as u8).min(15);
    let mut block = [0; 20];
    block[..2].copy_from_slice(&finite_f16(d).to_le_bytes());
    block[2..4].copy_from_slice(&finite_f16(low).to_le_bytes());
    for (i, byte) in block[4..].iter_mut().enumerate() {
        *byte = code(values[i]) | code(values[i + 16]) << 4;
    }
    block
}
