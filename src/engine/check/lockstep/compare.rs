//! What a stage wrote on both executors, word by word. Only words count that one of the two has changed, so that a slice may
//! be larger than what is in use.

use half::f16;

/// The greatest score of a run without keys is the negative of more than this: it says nothing of the others' size.
const NONE: f64 = 1e29;

/// A slice before a stage and after it.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Written<'a> {
    pub(in crate::engine) before: &'a [u32],
    /// By the CPU executor.
    pub(in crate::engine) expected: &'a [u32],
    /// By the adapter.
    pub(in crate::engine) found: &'a [u32],
}

/// How far two executors are apart in what they wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::engine) struct Deviation {
    /// Words that either changed.
    pub(in crate::engine) n_words: usize,
    /// The greatest difference; NaN or infinite where a value is no number.
    pub(in crate::engine) error: f64,
}

impl<'a> Written<'a> {
    /// Places, and what each executor wrote there.
    fn changed(&self) -> impl Iterator<Item = (usize, u32, u32)> + 'a {
        let words = self.before.iter().zip(self.expected).zip(self.found).enumerate();
        let words = words.map(|(at, ((before, expected), found))| (at, *before, *expected, *found));
        words.filter(|(_, before, x, y)| before != x || before != y).map(|(at, _, x, y)| (at, x, y))
    }

    /// The greatest |x − y| relative to the greater of |x| and the root mean square of what the CPU executor wrote: a sum's
    /// rounding grows with its terms, however small it comes out itself. Places in `skipped` do not count.
    pub(in crate::engine) fn floats(&self, skipped: &dyn Fn(usize) -> bool) -> Deviation {
        let values = || {
            let kept = self.changed().filter(|(at, ..)| !skipped(*at));
            kept.map(|(_, x, y)| (f64::from(f32::from_bits(x)), f64::from(f32::from_bits(y))))
        };
        let n_words = values().count();
        let sizes = values().map(|(x, _)| x).filter(|x| x.abs() < NONE);
        let (n, squares) = sizes.fold((0u32, 0.0), |(n, sum), x| (n + 1, sum + x * x));
        let rms = (squares / f64::from(n.max(1))).sqrt();
        let error = |(x, y): (f64, f64)| if x == y && x.is_finite() { 0.0 } else { (x - y).abs() / x.abs().max(rms) };
        Deviation { n_words, error: values().map(error).fold(0.0, worse) }
    }

    /// As [`Self::floats`], of words that hold two f16 each.
    pub(in crate::engine) fn f16s(&self) -> Deviation {
        let [before, expected, found] = [self.before, self.expected, self.found].map(unpacked);
        Written { before: &before, expected: &expected, found: &found }.floats(&|_| false)
    }

    /// The share of words that are not equal, those left out that `is_tie(place, expected, found)` excuses.
    pub(in crate::engine) fn integers(&self, is_tie: &dyn Fn(usize, u32, u32) -> bool) -> Deviation {
        let (mut n_words, mut n_wrong) = (0, 0.0);
        for (at, x, y) in self.changed() {
            n_words += 1;
            n_wrong += f64::from(u8::from(x != y && !is_tie(at, x, y)));
        }
        Deviation { n_words, error: n_wrong / n_words.max(1) as f64 }
    }
}

/// Words of two f16 each as words of one f32.
fn unpacked(words: &[u32]) -> Vec<u32> {
    let wide = |half: u32| f16::from_bits(half as u16).to_f32().to_bits();
    words.iter().flat_map(|word| [wide(*word), wide(word >> 16)]).collect()
}

/// The greater of two errors; what is no number is the greatest.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || a >= b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before all stages: what no value of a test is.
    const BEFORE: [u32; 4] = [7; 4];

    fn floats(expected: [f32; 4], found: [f32; 4]) -> f64 {
        let (expected, found) = (expected.map(f32::to_bits), found.map(f32::to_bits));
        Written { before: &BEFORE, expected: &expected, found: &found }.floats(&|_| false).error
    }

    fn passes(error: f64) -> bool {
        error <= 1e30
    }

    #[test]
    fn errors_are_relative_to_the_stage_and_to_the_value() {
        // The root mean square is 5: sqrt((9 + 16 + 75 + 0) / 4).
        let x = [3.0, 4.0, -75.0f32.sqrt(), 0.0];
        assert_eq!(floats(x, x), 0.0);
        assert!((floats(x, [3.0, 4.0, x[2], 0.5]) - 0.1).abs() < 1e-7);
        assert!((floats(x, [3.0, 4.0, 0.0, 0.0]) - 1.0).abs() < 1e-7);
    }

    #[test]
    fn a_run_without_keys_hides_nothing() {
        assert!(floats([-1e30, 3.0, 4.0, 5.0], [-1e30, 3.0, 4.5, 5.0]) > 0.1);
        assert!(floats([-1e30, 3.0, 4.0, 5.0], [0.0, 3.0, 4.0, 5.0]) >= 1.0);
    }

    #[test]
    fn what_is_no_number_passes_at_no_place() {
        let x = [1.0, 2.0, 3.0, 4.0];
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in 0..4 {
                let mut y = x;
                y[at] = wrong;
                assert!(!passes(floats(x, y)), "{wrong} at {at}");
                assert!(!passes(floats(y, x)), "{wrong} expected at {at}");
                assert!(!passes(floats(y, y)), "{wrong} on both at {at}");
            }
        }
        assert!(!passes(floats([0.0; 4], [0.0, 0.0, 1e-20, 0.0])), "something where nothing is expected");
    }

    #[test]
    fn a_flipped_sign_is_twice_its_value() {
        assert!(floats([1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, 1.0]) >= 2.0);
    }

    #[test]
    fn halves_are_compared_one_by_one() {
        let words =
            |a: f32, b: f32| u32::from(f16::from_f32(a).to_bits()) | u32::from(f16::from_f32(b).to_bits()) << 16;
        let error = |x: u32, y: u32| Written { before: &[7], expected: &[x], found: &[y] }.f16s().error;
        assert_eq!(error(words(1.0, -1.0), words(1.0, -1.0)), 0.0);
        // The next half after 1, in either place.
        for y in [words(1.0 + 1.0 / 1024.0, -1.0), words(1.0, -1.0 - 1.0 / 1024.0)] {
            assert!((error(words(1.0, -1.0), y) - 1.0 / 1024.0).abs() < 1e-9);
        }
        assert!(error(words(1.0, -1.0), words(1.0, 1.0)) >= 2.0);
        assert!(!passes(error(words(1.0, -1.0), words(f32::NAN, -1.0))));
    }

    #[test]
    fn only_changed_words_count() {
        let (expected, found) = ([7, 7, 2, 3], [7, 7, 2, 4]);
        let written = Written { before: &BEFORE, expected: &expected, found: &found };
        assert_eq!(written.integers(&|_, _, _| false), Deviation { n_words: 2, error: 0.5 });
        assert_eq!(written.integers(&|at, x, y| (at, x, y) == (3, 3, 4)).error, 0.0);
        let idle = Written { before: &BEFORE, expected: &BEFORE, found: &BEFORE };
        assert_eq!((idle.floats(&|_| false), idle.integers(&|_, _, _| false)), Default::default());
        let stray = Written { before: &BEFORE, expected: &BEFORE, found: &[7, 7, 7, 8] };
        assert_eq!(stray.integers(&|_, _, _| false), Deviation { n_words: 1, error: 1.0 });
    }
}
