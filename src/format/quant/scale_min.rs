//! The search of a scale and a minimum for a sub-block, for the formats whose values are `scale · q − min` with whole
//! q from zero on: Q2_K, Q4_K and Q5_K. Scales and minima are at least zero there, and are themselves stored as small
//! multiples of the super-block's `d` and `dmin`.

use super::{finite_f16, round, squared_error};
use half::f16;

/// What the codes and the stored scales of a format reach.
#[derive(Clone, Copy)]
pub(super) struct Reach {
    /// The largest code.
    pub(super) code: f32,
    /// The largest stored scale and minimum.
    pub(super) scale: f32,
}

/// What [`fit_all`] finds for a super-block of `M` sub-blocks.
pub(super) struct Fitted<const M: usize> {
    pub(super) d: f16,
    pub(super) dmin: f16,
    /// The stored scale and minimum of each sub-block.
    pub(super) stored: [(u8, u8); M],
}

/// Fits a scale and a minimum to each sub-block, rounds both to multiples of what makes the largest of them the
/// largest that is stored, then takes for each sub-block the best pair around the rounded one.
pub(super) fn fit_all<const N: usize, const M: usize>(sub_blocks: &[[f32; N]; M], reach: Reach) -> Fitted<M> {
    let fits = sub_blocks.map(|values| fit(&values, reach.code));
    let largest = |part: fn(&(f32, f32)) -> f32| fits.iter().map(part).fold(0.0f32, f32::max);
    let d = finite_f16(largest(|fit| fit.0) / reach.scale);
    let dmin = finite_f16(largest(|fit| fit.1) / reach.scale);
    let stored = std::array::from_fn(|j| best_pair(&sub_blocks[j], fits[j], d.to_f32(), dmin.to_f32(), reach));
    Fitted { d, dmin, stored }
}

impl<const M: usize> Fitted<M> {
    /// The codes of sub-block `j`.
    pub(super) fn codes<const N: usize>(&self, values: &[f32; N], j: usize, reach: Reach) -> [u8; N] {
        let (scale, min) = self.stored[j];
        let (scale, min) = (self.d.to_f32() * f32::from(scale), self.dmin.to_f32() * f32::from(min));
        values.map(|value| code(value, scale, min, reach.code) as u8)
    }
}

/// The code nearest to `value`, as a number.
fn code(value: f32, scale: f32, min: f32, largest: f32) -> f32 {
    if scale > 0.0 { round((value + min) / scale).clamp(0.0, largest) } else { 0.0 }
}

/// The scale and minimum, both at least zero, that bring `scale · q − min` nearest to the values. Spacings around
/// the even one are tried; for the codes each of them gives, least squares finds scale and minimum.
fn fit<const N: usize>(values: &[f32; N], largest: f32) -> (f32, f32) {
    let low = values.iter().fold(0.0f32, |low, &value| low.min(value));
    let high = values.iter().fold(low, |high, &value| high.max(value));
    let even = (high - low) / largest;
    if even == 0.0 {
        return (0.0, -low);
    }
    let mut best = ((even, -low), error_of(values, even, -low, largest));
    for step in -10..=20 {
        let spacing = (high - low) / (largest + 0.1 * step as f32);
        let (scale, min) = least_squares(values, |value| code(value, spacing, -low, largest));
        let error = error_of(values, scale, min, largest);
        if error < best.1 {
            best = ((scale, min), error);
        }
    }
    best.0
}

/// The scale and minimum of least squared error for the codes given, with the minimum held at zero or above.
fn least_squares<const N: usize>(values: &[f32; N], code: impl Fn(f32) -> f32) -> (f32, f32) {
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

fn error_of<const N: usize>(values: &[f32; N], scale: f32, min: f32, largest: f32) -> f64 {
    squared_error(values, |value| scale * code(value, scale, min, largest) - min)
}

/// The stored scale and minimum with the least error among the rounded ones and their neighbours.
fn best_pair<const N: usize>(values: &[f32; N], (scale, min): (f32, f32), d: f32, dmin: f32, reach: Reach) -> (u8, u8) {
    let around = |wanted: f32, unit: f32| {
        let rounded = if unit > 0.0 { round(wanted / unit) } else { 0.0 };
        [rounded, rounded - 1.0, rounded + 1.0].map(|candidate| candidate.clamp(0.0, reach.scale) as u8)
    };
    let mut best = ((0, 0), f64::INFINITY);
    for scale in around(scale, d) {
        for min in around(min, dmin) {
            let error = error_of(values, d * f32::from(scale), dmin * f32::from(min), reach.code);
            if error < best.1 {
                best = ((scale, min), error);
            }
        }
    }
    best.0
}
