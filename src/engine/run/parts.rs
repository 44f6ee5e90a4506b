//! The stages of a step taken apart, each made ready by itself: what it writes, and what that may be off by.

use std::collections::HashMap;
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::gpu::executor::Prepared;
use crate::gpu::{Access, Executor, Slice, Stage, Tuning};
use crate::kernels::{self, Words, stats_begin, words_written};

use crate::engine::arch::step::Kind;

/// What numbers may be off by, see [`crate::engine::check::lockstep::StageDeviation::error`]. All of it is rounding, since inputs are equal: of f32 sums,
/// whose order differs between executors, and of exp and log, which WGSL leaves inexact. Measured are 3.4e-6 at most, over
/// sums of 1024 terms; that grows with the root of their number, to 2e-5 for the 28672 terms of the largest known model.
/// The budget leaves room for that and for an exp of 3 + 2 |x| units in the last place. A stage that computes something
/// else is off by about 1.
pub(in crate::engine) const NUMBER_BUDGET: f64 = 1e-4;
/// Rounding of a score, in units in its last place, on both executors together: of sums of up to 576 terms.
const SCORE_UNITS: f64 = 16.0;
/// The most that rounding of scores may add, so that a stage that computes something else never passes.
const MOST_OF_SCORES: f64 = 1e-2;
/// A run without keys has the negative of more than this for its greatest score.
const NO_SCORE: f32 = 1e29;
/// The same for numbers kept as f16: rounding may fall to either side, which is 2⁻¹⁰ of the number at most.
const HALF_BUDGET: f64 = 1.5e-3;
/// The share of integers that may be off: less than one word of any slice, so none. What a near tie excuses is not off.
const INTEGER_BUDGET: f64 = 1e-12;

/// Dispatches that make up one stage, made ready, and what they write.
pub(in crate::engine) struct Part {
    pub name: &'static str,
    pub layer: Option<u32>,
    /// Its dispatches, and what they were fused of.
    pub made_of: Vec<Key>,
    pub prepared: Prepared,
    pub outputs: Vec<Output>,
    /// What it reads and its parts change in place: what is left there depends on which of them are computed.
    pub changed: Vec<Slice>,
    /// What its numbers may be off by.
    pub budget: f64,
    /// The dispatch that chooses experts, if it is one.
    pub route: Option<Stage>,
}

/// What a stage writes.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::engine) struct Output {
    pub slice: Slice,
    /// What the kernel calls it.
    pub binding: &'static str,
    pub words: Words,
    /// The word at which attention's stats begin, where it has them.
    pub stats_begin: Option<usize>,
}

/// Parts of the kinds of step that were computed in lock step, kept for the next time.
pub(in crate::engine) type Parts = HashMap<Kind, Rc<Vec<Part>>>;

/// Fails unless both have the same stages, which write as many bytes.
pub(in crate::engine) fn check_same(parts: &[Part], expected: &[Part]) -> Result<()> {
    let facts = |part: &Part| (part.name, part.layer, part.outputs.iter().map(|o| o.slice.bytes).collect::<Vec<_>>());
    let differs = |(a, b): &(&Part, &Part)| facts(a) != facts(b);
    let stage = match parts.iter().zip(expected).find(differs) {
        None if parts.len() == expected.len() => return Ok(()),
        None => format!("{} stages against {}", parts.len(), expected.len()),
        Some((a, b)) => format!("stage {} of layer {:?} against {} of {:?}", a.name, a.layer, b.name, b.layer),
    };
    Err(Error::usage("lock step", stage)
        .expected("the same model in contexts and steps of the same size")
        .advice("Load the CPU executor's with the adapter's context and step"))
}

/// What the numbers of stages may be off by, as the variants have it that compute them under `tuning`, or under an executor's
/// own choices.
pub(in crate::engine) fn number_budget(executor: &Executor, stages: &[Stage], tuning: Option<&Tuning>) -> f64 {
    let variants = stages.iter().flat_map(|stage| executor.variants(stage, tuning));
    variants.map(|variant| variant.precision.budget(NUMBER_BUDGET)).fold(NUMBER_BUDGET, f64::max)
}

/// What numbers may be off by where attention's scores are large, beside `budget`: both executors round a score relative to
/// its size, and an exponential turns that difference into a relative error of its weight. Each run of keys leaves its greatest
/// score in its stats; those count that the stage wrote, which is what differs between `before` and `expected`.
pub(in crate::engine) fn with_scores(
    budget: f64,
    outputs: &[Output],
    before: &[Vec<u32>],
    expected: &[Vec<u32>],
) -> f64 {
    let stats = outputs.iter().enumerate().find_map(|(at, output)| Some((at, output.stats_begin?)));
    let Some((at, begin)) = stats else { return budget };
    let [before, expected] = [before, expected].map(|words| words[at].get(begin..).unwrap_or_default());
    let pairs = before.chunks_exact(2).zip(expected.chunks_exact(2));
    let written = pairs.filter(|(before, expected)| before != expected).map(|(_, run)| f32::from_bits(run[0]).abs());
    let greatest = written.filter(|score| *score < NO_SCORE).fold(0.0, f32::max);
    budget + (SCORE_UNITS * f64::from(f32::EPSILON) * f64::from(greatest)).min(MOST_OF_SCORES)
}

impl Output {
    /// What it may be off by, where numbers may be by `budget`.
    pub(in crate::engine) fn budget(&self, budget: f64) -> f64 {
        match self.words {
            Words::Floats => budget,
            Words::F16 => HALF_BUDGET.max(budget),
            Words::Integers => INTEGER_BUDGET,
        }
    }
}

/// What tells stages apart, whatever shards their matrices are cut into: kernel, name, layer, and the parameters of the first
/// of the parts, since a layer may have two of a kind.
pub(in crate::engine) type Key = (&'static str, &'static str, Option<u32>, Vec<u8>);

pub(in crate::engine) fn key(stage: &Stage) -> Key {
    let first = stage.parts.first().map(|part| part.params.clone()).unwrap_or_default();
    (stage.op.name, stage.name, stage.layer, first)
}

/// What dispatches of one stage write, each slice once. A fault has no outputs of its own.
pub(in crate::engine) fn outputs(stages: &[Stage]) -> Vec<Output> {
    let mut outputs: Vec<Output> = Vec::new();
    for stage in stages.iter().filter(|stage| stage.op.name != kernels::fault::OP.name) {
        for (slice, (binding, access)) in stage.bindings.iter().zip(stage.op.bindings) {
            if *access == Access::Write && !outputs.iter().any(|output| output.slice == *slice) {
                let words = words_written(stage.op, &stage.spec, binding);
                let stats_begin = stats_begin(&stage.spec, binding);
                outputs.push(Output { slice: *slice, binding, words, stats_begin });
            }
        }
    }
    outputs
}

/// See [`Part::changed`].
pub(in crate::engine) fn changed(stages: &[Stage]) -> Vec<Slice> {
    let of = |stage: &Stage| {
        let written: Vec<Slice> = stage.with_parts().iter().flat_map(|part| part.slices(Access::Write)).collect();
        stage.slices(Access::Read).filter(|slice| written.contains(slice)).collect::<Vec<_>>()
    };
    stages.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(scores: [f32; 2]) -> f64 {
        let output = |binding, stats_begin| {
            let slice = Slice::scratch(0, 16);
            Output { slice, binding, words: Words::Floats, stats_begin }
        };
        let stats = |scores: [f32; 2]| -> Vec<u32> {
            scores.iter().flat_map(|score| [score.to_bits(), 1.0f32.to_bits()]).collect()
        };
        let (before, expected) = (stats([7e4, 7e4]), stats(scores));
        // In a buffer of their own, or behind the sums, which are no scores.
        let behind = |stats: &[u32], sum: f32| [&[sum.to_bits(); 4], stats].concat();
        let apart = with_scores(
            NUMBER_BUDGET,
            &[output("partial", None), output("stats", Some(0))],
            &[vec![0; 4], before.clone()],
            &[vec![0; 4], expected.clone()],
        );
        let (before, expected) = (behind(&before, 0.0), behind(&expected, 9e9));
        let together = with_scores(NUMBER_BUDGET, &[output("runs", Some(4))], &[before], &[expected]);
        assert!((apart - together).abs() < 1e-12, "{apart} and {together}");
        apart
    }

    #[test]
    fn a_budget_follows_the_greatest_score_that_was_written_and_never_excuses_a_fault() {
        assert!((budget([0.0, 3.0]) - NUMBER_BUDGET).abs() < 1e-5);
        let (large, larger) = (budget([-200.0, 1.0]), budget([1.0, 2000.0]));
        assert!(large > 3.0 * NUMBER_BUDGET && larger > 5.0 * large && larger < MOST_OF_SCORES);
        for unbounded in [-1e20, 1e20] {
            assert!(budget([unbounded, 1.0]) <= NUMBER_BUDGET + MOST_OF_SCORES);
        }
        // A run without keys, one that is no number, and what stood there before say nothing.
        assert!((budget([-1e30, f32::NAN]) - NUMBER_BUDGET).abs() < 1e-9);
        assert!((budget([7e4, 7e4]) - NUMBER_BUDGET).abs() < 1e-9);
        let plain = [Output { slice: Slice::scratch(0, 16), binding: "out", words: Words::Floats, stats_begin: None }];
        assert!((with_scores(0.5, &plain, &[vec![0]], &[vec![1]]) - 0.5).abs() < 1e-9);
    }
}
