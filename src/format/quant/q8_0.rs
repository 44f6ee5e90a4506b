//! Q8_0: 34 bytes for 32 elements. `f16 d`, then 32 signed bytes q; value = q · d.

use super::{finite_f16, read_f16};

pub(super) fn decode(block: &[u8; 34], values: &mut [f32; 32]) {
    let d = read_f16(block, 0);
    for (value, &q) in values.iter_mut().zip(&block[2..]) {
        *value = f32::from(q as i8) * d;
    }
}

/// ggml's reference: d = max|x| / 127, and each element to the nearest multiple of the d before its rounding to f16.
pub(super) fn encode(values: &[f32; 32]) -> [u8; 34] {
    let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let d = largest / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let mut block = [0; 34];
    block[..2].copy_from_slice(&finite_f16(d).to_le_bytes());
    for (byte, value) in block[2..].iter_mut().zip(values) {
        *byte = (value * inverse).round() as i8 as u8;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn the_largest_element_becomes_127() {
        let mut values = [0.5; 32];
        values[7] = -254.0;
        let block = encode(&values);
        assert_eq!(f16::from_le_bytes([block[0], block[1]]), f16::from_f32(2.0));
        assert_eq!(block[2 + 7] as i8, -127);
    }
}
