//! The search of a scale for a sub-block, for the formats whose values are `scale · c` with c from a list of numbers
//! around zero: whole numbers in Q3_K and Q6_K, an uneven table in IQ4_NL and IQ4_XS.

use super::{finite_f16, round, squared_error};
use half::f16;

/// The numbers that codes stand for.
pub(super) trait Codes {
    /// The least and the greatest.
    const ENDS: [f32; 2];
    /// How far around the ends trial scales bring the furthest element.
    const MARGIN: f32;

    /// The one nearest to a number.
    fn nearest(x: f32) -> f32;
}

/// The whole numbers from one to another.
pub(super) struct Whole<const LEAST: i8, const GREATEST: i8>;

impl<const LEAST: i8, const GREATEST: i8> Codes for Whole<LEAST, GREATEST> {
    const ENDS: [f32; 2] = [LEAST as f32, GREATEST as f32];
    const MARGIN: f32 = 1.0;

    fn nearest(x: f32) -> f32 {
        round(x).clamp(Self::ENDS[0], Self::ENDS[1])
    }
}

/// The super-block's scale, and the stored scale of each sub-block: a whole number in `lowest..=highest`.
pub(super) struct Fitted<const M: usize> {
    pub(super) d: f16,
    pub(super) stored: [i8; M],
}

/// Fits a scale to each sub-block, rounds it to a multiple of what makes the furthest of them `lowest`, the one stored
/// scale that has no opposite, then takes for each sub-block the best around the rounded one.
pub(super) fn fit_all<C: Codes, const N: usize, const M: usize>(
    sub_blocks: &[[f32; N]; M],
    [lowest, highest]: [f32; 2],
) -> Fitted<M> {
    let fits = sub_blocks.map(|values| fit::<C, N>(&values));
    let d = finite_f16(furthest(&fits) / lowest);
    let stored = std::array::from_fn(|j| {
        let around = if d == f16::ZERO { 0.0 } else { round(fits[j] / d.to_f32()) };
        let candidates = [around, around - 1.0, around + 1.0].map(|scale| scale.clamp(lowest, highest));
        best::<C, N, _>(&sub_blocks[j], candidates.map(|scale| (scale as i8, d.to_f32() * scale)), 0)
    });
    Fitted { d, stored }
}

/// The scale of least squared error. Scales that bring the furthest element near either end are tried; for the codes
/// each of them gives, least squares finds the scale.
pub(super) fn fit<C: Codes, const N: usize>(values: &[f32; N]) -> f32 {
    let furthest = furthest(values);
    let trials = C::ENDS
        .into_iter()
        .flat_map(|end| (-10..=10).map(move |step| furthest / (end + C::MARGIN * 0.1 * step as f32)));
    let refined = trials.map(|trial| {
        let (mut xq_sum, mut qq_sum) = (0.0f64, 0.0f64);
        for &value in values {
            let q = f64::from(nearest::<C>(value, trial));
            xq_sum += f64::from(value) * q;
            qq_sum += q * q;
        }
        let scale = (xq_sum / qq_sum.max(1.0)) as f32;
        (scale, scale)
    });
    best::<C, N, _>(values, refined, 0.0)
}

/// The number among the codes that `scale` times it is nearest to `value`.
pub(super) fn nearest<C: Codes>(value: f32, scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { C::nearest(value / scale) }
}

/// What stands beside the scale of least squared error; `none` where no scale is better than zero.
fn best<C: Codes, const N: usize, T>(values: &[f32; N], scales: impl IntoIterator<Item = (T, f32)>, none: T) -> T {
    let mut best = (none, squared_error(values, |_| 0.0));
    for (kept, scale) in scales {
        let error = squared_error(values, |value| scale * nearest::<C>(value, scale));
        if error < best.1 {
            best = (kept, error);
        }
    }
    best.0
}

fn furthest(values: &[f32]) -> f32 {
    values.iter().fold(0.0f32, |kept, &value| if value.abs() > kept.abs() { value } else { kept })
}
