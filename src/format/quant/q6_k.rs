//! Q6_K: 210 bytes for 256 elements. 128 bytes with the low 4 bits, 64 bytes with the high 2 bits, 16 signed scales,
//! one for each sub-block of 16, and `f16 d` last; value = (d · scale) · (q − 32).
//!
//! Element 128h + 32s + l, with l < 32: its low bits are in byte 64h + 32(s mod 2) + l, in the high nibble from
//! s = 2 on; its high bits are in byte 128 + 32h + l, from bit 2s on.

use super::{finite_f16, read_f16, squared_error};

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

/// Fits a scale to each sub-block, rounds it to a signed byte of the furthest of the sixteen, then takes for each
/// sub-block the best byte around the rounded one.
pub(super) fn encode(values: &[f32; 256]) -> [u8; 210] {
    let sub_blocks = values.as_chunks::<16>().0;
    let fits: Vec<f32> = sub_blocks.iter().map(fit).collect();
    let furthest = fits.iter().fold(0.0f32, |kept, &scale| if scale.abs() > kept.abs() { scale } else { kept });
    // The furthest becomes −128, the one value that has no opposite.
    let d = finite_f16(furthest / -128.0);

    let mut block = [0; 210];
    block[D..].copy_from_slice(&d.to_le_bytes());
    for (j, (sub_block, &fit)) in sub_blocks.iter().zip(&fits).enumerate() {
        let scale = best_byte(sub_block, fit, d.to_f32());
        block[SCALES + j] = scale as u8;
        for (i, &value) in sub_block.iter().enumerate() {
            let place = Place::of(16 * j + i);
            let q = (code(value, d.to_f32() * f32::from(scale)) + 32.0) as u8;
            block[place.low_byte] |= (q & 15) << place.low_shift;
            block[place.high_byte] |= (q >> 4) << place.high_shift;
        }
    }
    block
}

/// The whole number from −32 to 31 that brings `scale` times it nearest to `value`.
fn code(value: f32, scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { (value / scale).round().clamp(-32.0, 31.0) }
}

/// The scale of least squared error. Scales that bring the furthest element near −32 are tried; for the codes
/// each of them gives, least squares finds the scale.
fn fit(values: &[f32; 16]) -> f32 {
    let furthest = values.iter().fold(0.0f32, |kept, &value| if value.abs() > kept.abs() { value } else { kept });
    let mut best = (0.0, error_of(values, 0.0));
    for step in -10..=10 {
        let trial = furthest / (-32.0 + 0.1 * step as f32);
        let (mut xq_sum, mut qq_sum) = (0.0f64, 0.0f64);
        for &value in values {
            let q = f64::from(code(value, trial));
            xq_sum += f64::from(value) * q;
            qq_sum += q * q;
        }
        let scale = (xq_sum / qq_sum.max(1.0)) as f32;
        let error = error_of(values, scale);
        if error < best.1 {
            best = (scale, error);
        }
    }
    best.0
}

fn error_of(values: &[f32; 16], scale: f32) -> f64 {
    squared_error(values, values.iter().map(|&value| scale * code(value, scale)))
}

/// The signed byte with the least error among the rounded scale and its neighbours.
fn best_byte(values: &[f32; 16], scale: f32, d: f32) -> i8 {
    let rounded = if d == 0.0 { 0.0 } else { (scale / d).round() };
    let mut best = (0, f64::INFINITY);
    for candidate in [rounded, rounded - 1.0, rounded + 1.0] {
        let candidate = candidate.clamp(-128.0, 127.0) as i8;
        let error = error_of(values, d * f32::from(candidate));
        if error < best.1 {
            best = (candidate, error);
        }
    }
    best.0
}
