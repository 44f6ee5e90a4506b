//! What repeated measurements come to: a median with its spread. An average without a spread is a rumour.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A figure measured several times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// Measurements.
    pub n: u32,
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// Their mean.
    pub mean: f64,
    /// Standard deviation of the sample (divided by n − 1); 0 for one measurement.
    pub sd: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of measurements in any order; `None` where there are none, or one is not a finite number.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        if samples.is_empty() || !samples.iter().all(|sample| sample.is_finite()) {
            return None;
        }
        let mut sorted = samples.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let n = sorted.len();
        let mean = sorted.iter().sum::<f64>() / n as f64;
        let squares: f64 = sorted.iter().map(|sample| (sample - mean).powi(2)).sum();
        let sd = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { 0.0 };
        Some(Self { n: n as u32, median: quantile(&sorted, 0.5), mean, sd, min: sorted[0], max: sorted[n - 1] })
    }
}

/// The value below which a share of the sorted measurements lies, between two of them where it falls there; 0 of none.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// The middle one of a few measurements; 0 of none.
#[must_use]
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_made_by_hand() {
        // Mean 5, squares 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32, over n − 1 = 7.
        let spread = Spread::of(&[4.0, 2.0, 5.0, 4.0, 4.0, 9.0, 5.0, 7.0]).expect("samples");
        assert_eq!((spread.n, spread.mean, spread.median, spread.min, spread.max), (8, 5.0, 4.5, 2.0, 9.0));
        assert!((spread.sd - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
        let one = Spread::of(&[3.0]).expect("a sample");
        assert_eq!((one.median, one.sd, one.min, one.max), (3.0, 0.0, 3.0, 3.0));
    }

    #[test]
    fn nothing_comes_of_nothing_and_of_no_numbers() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
        assert_eq!(Spread::of(&[1.0, f64::INFINITY]), None);
    }

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        let sorted: Vec<f64> = (0..=10).map(f64::from).collect();
        assert_eq!([quantile(&sorted, 0.0), quantile(&sorted, 0.25), quantile(&sorted, 1.0)], [0.0, 2.5, 10.0]);
        assert_eq!(quantile(&[], 0.5), 0.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
    }
}
