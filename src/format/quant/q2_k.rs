//! Q2_K: 84 bytes for 256 elements. 16 bytes, one for each sub-block of 16: the scale in the low nibble, the minimum in
//! the high one; 64 bytes of two-bit codes; `f16 d` and `f16 dmin` last. value = (d · scale) · q − dmin · min.
//!
//! Element 128h + 32s + l, with l < 32, has bits 2s and 2s + 1 of byte 32h + l of the codes.

use super::scale_min::{self, Reach};
use super::{read_f16, sub_blocks_of};

const REACH: Reach = Reach { code: 3.0, scale: 15.0 };
/// Where the codes, d and dmin begin.
const CODES: usize = 16;
const D: usize = 80;
const DMIN: usize = 82;

/// The byte, from the first of the codes, and the shift of an element's two bits.
pub(super) fn place_of(index: usize) -> (usize, usize) {
    (index / 128 * 32 + index % 32, index / 32 % 4 * 2)
}

pub(super) fn decode(block: &[u8; 84], values: &mut [f32; 256]) {
    let (d, dmin) = (read_f16(block, D), read_f16(block, DMIN));
    for (index, value) in values.iter_mut().enumerate() {
        let (byte, shift) = place_of(index);
        let pair = block[index / 16];
        let q = block[CODES + byte] >> shift & 3;
        *value = d * f32::from(pair & 15) * f32::from(q) - dmin * f32::from(pair >> 4);
    }
}

pub(super) fn encode(values: &[f32; 256]) -> [u8; 84] {
    let sub_blocks = sub_blocks_of::<16, 16>(values);
    let fitted = scale_min::fit_all(&sub_blocks, REACH);
    let mut block = [0; 84];
    block[D..DMIN].copy_from_slice(&fitted.d.to_le_bytes());
    block[DMIN..].copy_from_slice(&fitted.dmin.to_le_bytes());
    for (j, sub_block) in sub_blocks.iter().enumerate() {
        let (scale, min) = fitted.stored[j];
        block[j] = scale | min << 4;
        for (i, q) in fitted.codes(sub_block, j, REACH).into_iter().enumerate() {
            let (byte, shift) = place_of(16 * j + i);
            block[CODES + byte] |= q << shift;
        }
    }
    block
}
