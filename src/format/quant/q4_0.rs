//! Q4_0: 18 bytes for 32 elements. `f16 d`, then 16 bytes: the low nibble of byte i is element i, the high nibble
//! element i + 16; value = (q − 8) · d.

use super::{finite_f16, read_f16};

pub(super) fn decode(block: &[u8; 18], values: &mut [f32; 32]) {
    let d = read_f16(block, 0);
    for (i, &pair) in block[2..].iter().enumerate() {
        values[i] = (f32::from(pair & 15) - 8.0) * d;
        values[i + 16] = (f32::from(pair >> 4) - 8.0) * d;
    }
}

/// ggml's reference: the element furthest from zero becomes exactly −8, so d has the opposite sign to it.
pub(super) fn encode(values: &[f32; 32]) -> [u8; 18] {
    let furthest = values.iter().fold(0.0f32, |kept, &value| if value.abs() > kept.abs() { value } else { kept });
    let d = furthest / -8.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    // The cast cuts towards zero, so adding 8.5 both centres and rounds.
    let code = |value: f32| ((value * inverse + 8.5) as u8).min(15);
    let mut block = [0; 18];
    block[..2].copy_from_slice(&finite_f16(d).to_le_bytes());
    for (i, byte) in block[2..].iter_mut().enumerate() {
        *byte = code(values[i]) | code(values[i + 16]) << 4;
    }
    block
}
