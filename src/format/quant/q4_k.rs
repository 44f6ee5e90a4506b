//! Q4_K: 144 bytes for 256 elements. `f16 d`, `f16 dmin`, 12 bytes with 8 pairs (scale, min) of 6 bits, one for each
//! sub-block of 32, then 4 chunks of 32 bytes: the low nibbles of chunk c are sub-block 2c, the high ones 2c + 1.
//! value = (d · scale) · q − dmin · min.

use super::{finite_f16, read_f16, squared_error};

/// The largest 6-bit scale and minimum.
const LARGEST_SCALE: f32 = 63.0;
/// The largest nibble.
const LARGEST_CODE: f32 = 15.0;

/// The 6-bit (scale, min) of sub-block `j` from the 12 packed bytes. The first four pairs lie in the low six bits
/// of bytes 0..4 and 4..8; of the others bytes 8..12 hold the low nibbles, and the two upper bits of the first
/// eight bytes the rest.
pub(in super::super) fn unpack_scale_min(packed: &[u8; 12], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    }
}

fn pack_scale_min(packed: &mut [u8; 12], j: usize, scale: u8, min: u8) {
    if j < 4 {
        packed[j] |= scale;
        packed[j + 4] |= min;
    } else {
        packed[j + 4] = scale & 15 | min << 4;
        packed[j - 4] |= scale >> 4 << 6;
        packed[j] |= min >> 4 << 6;
    }
}

pub(super) fn decode(block: &[u8; 144], values: &mut [f32; 256]) {
    let (d, dmin) = (read_f16(block, 0), read_f16(block, 2));
    let mut packed = [0; 12];
    packed.copy_from_slice(&block[4..16]);
    for (j, sub_block) in values.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = unpack_scale_min(&packed, j);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        let chunk = &block[16 + j / 2 * 32..][..32];
        let shift = 4 * (j % 2);
        for (value, pair) in sub_block.iter_mut().zip(chunk) {
            *value = scale * f32::from(pair >> shift & 15) - min;
        }
    }
}

/// Fits a scale and a minimum to each sub-block, rounds both to 6 bits of the largest of the eight, then takes
/// for each sub-block the best pair around the rounded one.
pub(super) fn encode(values: &[f32; 256]) -> [u8; 144] {
    let sub_blocks = values.as_chunks::<32>().0;
    let fits: Vec<(f32, f32)> = sub_blocks.iter().map(fit).collect();
    let largest = |part: fn(&(f32, f32)) -> f32| fits.iter().map(part).fold(0.0f32, f32::max);
    let d = finite_f16(largest(|fit| fit.0) / LARGEST_SCALE);
    let dmin = finite_f16(largest(|fit| fit.1) / LARGEST_SCALE);

    let mut packed = [0; 12];
    let mut block = [0; 144];
    for (j, (sub_block, &fit)) in sub_blocks.iter().zip(&fits).enumerate() {
        let (scale, min) = best_six_bits(sub_block, fit, d.to_f32(), dmin.to_f32());
        pack_scale_min(&mut packed, j, scale, min);
        let (scale, min) = (d.to_f32() * f32::from(scale), dmin.to_f32() * f32::from(min));
        let chunk = &mut block[16 + j / 2 * 32..][..32];
        for (byte, value) in chunk.iter_mut().zip(sub_block) {
            *byte |= (code(*value, scale, min) as u8) << (4 * (j % 2));
        }
    }
    block[..2].copy_from_slice(&d.to_le_bytes());
    block[2..4].copy_from_slice(&dmin.to_le_bytes());
    block[4..16].copy_from_slice(&packed);
    block
}

/// The nibble nearest to `value`, as a number.
fn code(value: f32, scale: f32, min: f32) -> f32 {
    if scale > 0.0 { ((value + min) / scale).round().clamp(0.0, LARGEST_CODE) } else { 0.0 }
}

/// The scale and minimum, both at least zero, that bring `scale · q − min` nearest to the values. Spacings around
/// the even one are tried; for the codes each of them gives, least squares finds scale and minimum.
fn fit(values: &[f32; 32]) -> (f32, f32) {
    let low = values.iter().fold(0.0f32, |low, &value| low.min(value));
    let high = values.iter().fold(low, |high, &value| high.max(value));
    let even = (high - low) / LARGEST_CODE;
    if even == 0.0 {
        return (0.0, -low);
    }
    let mut best = ((even, -low), error_of(values, even, -low));
    for step in -10..=20 {
        let spacing = (high - low) / (LARGEST_CODE + 0.1 * step as f32);
        let (scale, min) = least_squares(values, |value| code(value, spacing, -low));
        let error = error_of(values, scale, min);
        if error < best.1 {
            best = ((scale, min), error);
        }
    }
    best.0
}

/// The scale and minimum of least squared error for the codes given, with the minimum held at zero or above.
fn least_squares(values: &[f32; 32], code: impl Fn(f32) -> f32) -> (f32, f32) {
    let (mut q_sum, mut qq_sum, mut x_sum, mut xq_sum) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
    for &value in values {
        let (q, x) = (f64::from(code(value)), f64::from(value));
        q_sum += q;
        qq_sum += q * q;
        x_sum += x;
        xq_sum += x * q;
    }
    let n = values.len() as f64;
    let determinant = n * qq_sum - q_sum * q_sum;
    let (scale, min) = if determinant > 0.0 {
        ((n * xq_sum - x_sum * q_sum) / determinant, (q_sum * xq_sum - qq_sum * x_sum) / determinant)
    } else {
        (0.0, -1.0)
    };
    // Through the origin, where the free line would need a negative minimum.
    let (scale, min) = if min >= 0.0 { (scale, min) } else { (xq_sum / qq_sum.max(1.0), 0.0) };
    (scale.max(0.0) as f32, min as f32)
}

fn error_of(values: &[f32; 32], scale: f32, min: f32) -> f64 {
    squared_error(values, values.iter().map(|&value| scale * code(value, scale, min) - min))
}

/// The 6-bit scale and minimum with the least error among the rounded ones and their neighbours.
fn best_six_bits(values: &[f32; 32], (scale, min): (f32, f32), d: f32, dmin: f32) -> (u8, u8) {
    let around = |wanted: f32, unit: f32| {
        let rounded = if unit > 0.0 { (wanted / unit).round() } else { 0.0 };
        [rounded, rounded - 1.0, rounded + 1.0].map(|candidate| candidate.clamp(0.0, LARGEST_SCALE) as u8)
    };
    let mut best = ((0, 0), f64::INFINITY);
    for scale in around(scale, d) {
        for min in around(min, dmin) {
            let error = error_of(values, d * f32::from(scale), dmin * f32::from(min));
            if error < best.1 {
                best = ((scale, min), error);
            }
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_pairs_come_back() {
        let pair = |j: usize| (63 - 5 * j as u8, 17 + 6 * j as u8);
        let mut packed = [0; 12];
        for j in 0..8 {
            pack_scale_min(&mut packed, j, pair(j).0, pair(j).1 & 63);
        }
        for j in 0..8 {
            assert_eq!(unpack_scale_min(&packed, j), (pair(j).0, pair(j).1 & 63), "sub-block {j}");
        }
    }
}
