//! Q5_0: 22 bytes for 32 elements. `f16 d`, a 32-bit word whose bit i is the fifth bit of element i, then 16 bytes of
//! low nibbles as in Q4_0; value = (q − 16) · d.

use super::{finite_f16, read_f16};

/// The 32 five-bit codes of a word of fifth bits and 16 bytes of nibbles.
pub(super) fn unpack_fives(packed: &[u8; 20]) -> [u8; 32] {
    let high = u32::from_le_bytes([packed[0], packed[1], packed[2], packed[3]]);
    std::array::from_fn(|i| {
        let low = if i < 16 { packed[4 + i] & 15 } else { packed[4 + i - 16] >> 4 };
        low | ((high >> i & 1) as u8) << 4
    })
}

/// The reverse of [`unpack_fives`].
pub(super) fn pack_fives(codes: &[u8; 32]) -> [u8; 20] {
    let high = codes.iter().rev().fold(0u32, |word, code| word << 1 | u32::from(code >> 4));
    let mut packed = [0; 20];
    packed[..4].copy_from_slice(&high.to_le_bytes());
    for (i, byte) in packed[4..].iter_mut().enumerate() {
        *byte = codes[i] & 15 | codes[i + 16] << 4;
    }
    packed
}

pub(super) fn decode(block: &[u8; 22], values: &mut [f32; 32]) {
    let d = read_f16(block, 0);
    let [_, _, packed @ ..] = block;
    for (value, code) in values.iter_mut().zip(unpack_fives(packed)) {
        *value = (f32::from(code) - 16.0) * d;
    }
}

/// ggml's reference: the element furthest from zero becomes exactly −16, so d has the opposite sign to it.
pub(super) fn encode(values: &[f32; 32]) -> [u8; 22] {
    let furthest = values.iter().fold(0.0f32, |kept, &value| if value.abs() > kept.abs() { value } else { kept });
    let d = furthest / -16.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    // The cast cuts towards zero, so adding 16.5 both centres and rounds.
    let codes = values.map(|value| ((value * inverse + 16.5) as u8).min(31));
    let mut block = [0; 22];
    block[..2].copy_from_slice(&finite_f16(d).to_le_bytes());
    block[2..].copy_from_slice(&pack_fives(&codes));
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_codes_come_back() {
        let codes = std::array::from_fn(|i| (i * 7 % 32) as u8);
        assert_eq!(unpack_fives(&pack_fives(&codes)), codes);
    }
}
