//! Rotary frequencies: pair `i` of a head's rotated dims turns by `position * frequency[i]`.
//!
//! Layers of ratio 0: `f_i = base^(-2i/R)` for R rotated dims. Compressed layers: the same with their own base,
//! then YaRN's ramp from pairs that turn often (kept) to pairs that turn rarely (divided by the factor). Cosine
//! and sine are not multiplied by anything: V4 has no "mscale".

use super::{Shape, Yarn};
use std::f64::consts::TAU;

impl Shape {
    /// The frequencies in radians per token, one for each of the `rope_dims / 2` pairs; `compressed` as
    /// [`Shape::is_compressed`] says of the layer.
    #[must_use]
    pub fn rope_frequencies(&self, compressed: bool) -> Vec<f64> {
        let base = if compressed { self.compress_rope_base } else { self.rope_base };
        let n_dims = f64::from(self.rope_dims);
        let plain = (0..self.rope_dims / 2).map(|pair| base.powf(-2.0 * f64::from(pair) / n_dims));
        if !compressed {
            return plain.collect();
        }
        let ramp = self.yarn.ramp(n_dims, base);
        let stretched =
            plain.zip(ramp).map(|(frequency, ramp)| frequency * (1.0 - ramp) + frequency / self.yarn.factor * ramp);
        stretched.collect()
    }
}

impl Yarn {
    /// For each pair, how far it is divided by the factor: 0 not at all, 1 wholly.
    pub(in crate::model) fn ramp(self, n_dims: f64, base: f64) -> impl Iterator<Item = f64> {
        // The pair, with fraction, that turns so many times within the original context.
        let pair_of = |turns: f64| n_dims * (f64::from(self.original) / (TAU * turns)).ln() / (2.0 * base.ln());
        let (low, high) = (pair_of(self.beta_fast), pair_of(self.beta_slow));
        let (low, high) = if self.rounds { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, high) = (low.max(0.0), high.min(n_dims - 1.0));
        let span = if high == low { 0.001 } else { high - low };
        (0u32..).map(move |pair| ((f64::from(pair) - low) / span).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-8 * expected.abs(), "{found} is not {expected}");
    }

    #[test]
    fn plain_frequencies_are_powers_of_their_own_base() {
        let frequencies = Shape::v4_flash().rope_frequencies(false);
        assert_eq!(frequencies.len(), 32);
        assert_close(frequencies[0], 1.0);
        assert_close(frequencies[1], 0.749_894_209);
        assert_close(frequencies[31], 1.333_521_43e-4);
    }

    #[test]
    fn compressed_frequencies_have_their_own_base_and_yarns_ramp() {
        let shape = Shape::v4_flash();
        let frequencies = shape.rope_frequencies(true);
        let expected = [
            (14, 5.286_856_32e-3),
            (15, 3.635_538_58e-3),
            (16, 2.265_625e-3),
            (20, 2.969_777_78e-4),
            (24, 1.953_125e-5),
            (25, 5.372_312_67e-6),
            (31, 5.680_529_04e-7),
        ];
        for (pair, value) in expected {
            assert_close(frequencies[pair], value);
        }
        let without = Shape { yarn: Yarn { factor: 1.0, ..shape.yarn }, ..shape }.rope_frequencies(true);
        for (pair, part) in [(0, 1.0), (15, 1.0), (16, 0.906_25), (20, 0.531_25), (25, 0.0625), (31, 0.0625)] {
            assert_close(frequencies[pair] / without[pair], part);
        }
    }
}
