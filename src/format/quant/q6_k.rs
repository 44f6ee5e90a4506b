//! Q6_K: 210 bytes for 256 elements. 128 bytes with the low 4 bits, 64 bytes with the high 2 bits, 16 signed scales,
//! one for each sub-block of 16, and `f16 d` last; value = (d · scale) · (q − 32).
//!
//! Element 128h + 32s + l, with l < 32: its low bits are in byte 64h + 32(s mod 2) + l, in the high nibble from
//! s = 2 on; its high bits are in byte 128 + 32h + l, from bit 2s on.

use super::scale_only::{self, Codes};
use super::{read_f16, sub_blocks_of};

const CODES: Codes = Codes { ends: (-32.0, 31.0), nearest: |x| x.round().clamp(-32.0, 31.0), margin: 1.0 };

/// Where the high bits, the scales and d begin.
const HIGH: usize = 128;
const SCALES: usize = 192;
const D: usize = 208;

pub(super) fn decode(block: &[u8; 210], values: &mut [f32; 256]) {
    let d = read_f16(block, D);
    for (index, value) in values.iter_mut().enumerate() {
        let place = Place::of(index);
        let low = block[place.low_byte] >> place.low_shift & 15;
        let high = block[place.high_byte] >> place.high_shift & 3;
        let q = f32::from(low | high << 4) - 32.0;
        let scale = block[SCALES + index / 16] as i8;
        *value = d * f32::from(scale) * q;
    }
}

/// Where the six bits of an element lie in the block.
struct Place {
    low_byte: usize,
    low_shift: usize,
    high_byte: usize,
    high_shift: usize,
}

impl Place {
    fn of(index: usize) -> Self {
        let (h, s, l) = (index / 128, index / 32 % 4, index % 32);
        Self {
            low_byte: 64 * h + 32 * (s % 2) + l,
            low_shift: 4 * (s / 2),
            high_byte: HIGH + 32 * h + l,
            high_shift: 2 * s,
        }
    }
}

pub(super) fn encode(values: &[f32; 256]) -> [u8; 210] {
    let sub_blocks = sub_blocks_of::<16, 16>(values);
    let fitted = scale_only::fit_all(&sub_blocks, CODES, [-128.0, 127.0]);
    let mut block = [0; 210];
    block[D..].copy_from_slice(&fitted.d.to_le_bytes());
    for (j, (sub_block, &scale)) in sub_blocks.iter().zip(&fitted.stored).enumerate() {
        block[SCALES + j] = scale as u8;
        for (i, &value) in sub_block.iter().enumerate() {
            let place = Place::of(16 * j + i);
            let q = (scale_only::nearest(value, fitted.d.to_f32() * f32::from(scale), CODES) + 32.0) as u8;
            block[place.low_byte] |= (q & 15) << place.low_shift;
            block[place.high_byte] |= (q >> 4) << place.high_shift;
        }
    }
    block
}
