//! Q5_1: 24 bytes for 32 elements. `f16 d`, `f16 m`, then fifth bits and nibbles as in Q5_0; value = q · d + m.

use super::q5_0::{pack_fives, unpack_fives};
use super::{finite_f16, read_f16, span_of};

pub(super) fn decode(block: &[u8; 24], values: &mut [f32; 32]) {
    let (d, m) = (read_f16(block, 0), read_f16(block, 2));
    let [_, _, _, _, packed @ ..] = block;
    for (value, code) in values.iter_mut().zip(unpack_fives(packed)) {
        *value = f32::from(code) * d + m;
    }
}

/// ggml's reference: the least element becomes code 0, the greatest code 31.
pub(super) fn encode(values: &[f32; 32]) -> [u8; 24] {
    let (low, high) = span_of(values);
    let d = (high - low) / 31.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let codes = values.map(|value| (((value - low) * inverse + 0.5) as u8).min(31));
    let mut block = [0; 24];
    block[..2].copy_from_slice(&finite_f16(d).to_le_bytes());
    block[2..4].copy_from_slice(&finite_f16(low).to_le_bytes());
    block[4..].copy_from_slice(&pack_fives(&codes));
    block
}
