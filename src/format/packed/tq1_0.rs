//! TQ1_0: 54 bytes for 256 elements. 48 bytes of five digits to the base of three, 4 bytes of four, `f16 d` last;
//! value = d · (digit − 1). Digit n of byte b is the whole part of 3 · (3ⁿ · b mod 256) / 256.
//!
//! Digits 0 to 4 of the first 32 bytes are the first 160 elements, those of the next 16 bytes are 80 more, and digits 0 to
//! 3 of the last 4 bytes the rest.

use super::{Block, Packed, byte_of, scale_at};

pub(super) const PACKED: Packed =
    Packed { quants: &[(0, 48)], scales: &[(48, 52), (52, 54)], grid: &[], decode, set_scale: scale_at::<52> };

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let d = block.d();
    for (i, value) in values.iter_mut().enumerate() {
        let (byte, digit) = match (j, i / 16) {
            (0..5, _) => (byte_of(block.quants, i), j),
            (7, 1) => (byte_of(block.scales, i % 4), (i - 16) / 4),
            (_, half) => (byte_of(block.quants, 32 + i % 16), 2 * (j - 5) + half),
        };
        let digit = (((byte * 3u32.pow(digit as u32)) & 255) * 3) >> 8;
        *value = d * (digit as f32 - 1.0);
    }
}
