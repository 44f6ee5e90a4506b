//! How heads turn: pair `i` of the rotated dims turns by `position * frequency[i]`, where the frequencies are powers of
//! a base, stretched for contexts longer than the model was first made for.

use crate::error::{Error, Result};
use crate::model::shape::Yarn;
use std::f64::consts::TAU;

/// The rotation of query and key heads.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// How many dims at the begin of a head turn.
    pub n_dims: u32,
    /// Whether the second element of a pair stands half the dims after the first, not next to it.
    pub halves: bool,
    /// Base of the frequencies.
    pub base: f64,
    /// How the frequencies are stretched.
    pub scaling: Scaling,
    /// What divides each frequency, one for each pair, from the file; empty where it has none.
    pub divisors: Vec<f32>,
}

/// How frequencies are stretched for longer contexts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3.1: slow pairs are divided by the factor, fast ones are kept, those between are interpolated.
    Llama3 {
        /// The factor.
        factor: f64,
        /// Pairs whose waves are longer than the original context divided by this are divided.
        low: f64,
        /// Pairs whose waves are shorter than the original context divided by this are kept.
        high: f64,
        /// Context before, in tokens.
        original: u32,
    },
    /// YaRN, with what multiplies the cosines and sines.
    Yarn(Yarn, f32),
}

impl Rope {
    /// Pairs that turn.
    #[must_use]
    pub fn n_pairs(&self) -> u32 {
        self.n_dims / 2
    }

    /// What multiplies cosines and sines.
    #[must_use]
    pub fn scale(&self) -> f32 {
        match self.scaling {
            Scaling::Yarn(_, scale) => scale,
            _ => 1.0,
        }
    }

    /// The frequencies in radians per token, one for each pair.
    #[must_use]
    pub fn frequencies(&self) -> Vec<f64> {
        let n_dims = f64::from(self.n_dims);
        let plain = (0..self.n_pairs()).map(|pair| self.base.powf(-2.0 * f64::from(pair) / n_dims));
        let stretched: Vec<f64> = match self.scaling {
            Scaling::None => plain.collect(),
            Scaling::Linear { factor } => plain.map(|frequency| frequency / factor).collect(),
            Scaling::Llama3 { factor, low, high, original } => {
                plain.map(|frequency| llama3(frequency, factor, low, high, f64::from(original))).collect()
            }
            Scaling::Yarn(yarn, _) => {
                let ramp = yarn.ramp(n_dims, self.base);
                plain.zip(ramp).map(|(f, ramp)| f * (1.0 - ramp) + f / yarn.factor * ramp).collect()
            }
        };
        let divisors = self.divisors.iter().map(|divisor| f64::from(*divisor)).chain(std::iter::repeat(1.0));
        stretched.into_iter().zip(divisors).map(|(frequency, divisor)| frequency / divisor).collect()
    }

    pub(in crate::model) fn check(&self, file: &str) -> Result<()> {
        let wrong = |what: &str, found: String, expected: &str| {
            Err(Error::file(format!("{file}: {what}"), found).expected(expected.to_owned()))
        };
        if !(1.5..=1e12).contains(&self.base) {
            return wrong("base of the rotation", self.base.to_string(), "from 1.5 to 1e12");
        }
        let (factor, original) = match self.scaling {
            Scaling::None => (1.0, 1),
            Scaling::Linear { factor } => (factor, 1),
            Scaling::Llama3 { factor, low, high, original } => {
                if !(low > 0.0 && high > low && high < 1e6) {
                    return wrong(
                        "llama3 scaling",
                        format!("{low} and {high}"),
                        "two factors above 0, the low one first",
                    );
                }
                (factor, original)
            }
            Scaling::Yarn(yarn, scale) => {
                let turns = yarn.beta_slow >= 1e-6 && yarn.beta_fast >= yarn.beta_slow && yarn.beta_fast <= 1e6;
                if !turns || !(1e-3..=1e3).contains(&scale) {
                    return wrong("YaRN scaling", format!("{yarn:?}, {scale}"), "turns and a scale within reason");
                }
                (yarn.factor, yarn.original)
            }
        };
        if !(1e-3..=1e6).contains(&factor) {
            return wrong("factor of the rotation's scaling", factor.to_string(), "from 0.001 to 1000000");
        }
        if !(1..=1 << 26).contains(&original) {
            return wrong("original context of the rotation's scaling", original.to_string(), "from 1 to 67108864");
        }
        if !self.divisors.is_empty() && self.divisors.len() != self.n_pairs() as usize {
            return wrong("rope_freqs", format!("{} numbers", self.divisors.len()), "one for each rotated pair");
        }
        match self.divisors.iter().find(|divisor| !(1e-6..=1e6).contains(*divisor)) {
            Some(divisor) => wrong("rope_freqs", divisor.to_string(), "numbers from 0.000001 to 1000000"),
            None => Ok(()),
        }
    }
}

fn llama3(frequency: f64, factor: f64, low: f64, high: f64, original: f64) -> f64 {
    let wave = TAU / frequency;
    if wave < original / high {
        return frequency;
    }
    if wave > original / low {
        return frequency / factor;
    }
    let kept = (original / wave - low) / (high - low);
    frequency * ((1.0 - kept) / factor + kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(scaling: Scaling) -> Rope {
        Rope { n_dims: 128, halves: true, base: 500_000.0, scaling, divisors: Vec::new() }
    }

    #[test]
    fn llama3_keeps_fast_pairs_and_divides_slow_ones() {
        let scaling = Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192 };
        let (plain, stretched) = (rope(Scaling::None).frequencies(), rope(scaling).frequencies());
        let ratio = |pair: usize| plain[pair] / stretched[pair];
        assert_eq!((ratio(0), ratio(63)), (1.0, 8.0));
        // Pair 30 has a wave of 2945 tokens: 8192 / 2945 = 2.782, (2.782 − 1) / 3 = 0.594 of it is kept.
        assert!((ratio(30) - 1.0 / (0.406 / 8.0 + 0.594)).abs() < 0.01, "{}", ratio(30));
    }

    #[test]
    fn divisors_of_a_file_divide() {
        let divisors: Vec<f32> = (1..=64).map(|n| n as f32).collect();
        let divided = Rope { divisors, ..rope(Scaling::None) };
        assert!(divided.check("x").is_ok());
        assert!((divided.frequencies()[1] * 2.0 - rope(Scaling::None).frequencies()[1]).abs() < 1e-12);
        assert!(Rope { divisors: vec![0.0; 64], ..rope(Scaling::None) }.check("x").is_err());
        assert!(Rope { divisors: vec![1.0; 3], ..rope(Scaling::None) }.check("x").is_err());
    }

    #[test]
    fn linear_scaling_divides_all() {
        let (plain, divided) = (rope(Scaling::None).frequencies(), rope(Scaling::Linear { factor: 4.0 }).frequencies());
        assert!(plain.iter().zip(divided).all(|(a, b)| (a / b - 4.0).abs() < 1e-12));
    }
}
