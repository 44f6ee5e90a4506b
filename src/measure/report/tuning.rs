//! What the tuner found on an adapter: which choices, and what they gained.

use super::{Probes, Share};
use crate::gpu::recording::Cost;
use crate::gpu::{Choice, Config, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tuning of a model's steps on an adapter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TuningFacts {
    /// How the choices came about.
    pub source: TuningSource,
    /// Seconds that the search took; 0 where nothing was searched.
    pub seconds: f64,
    /// What whole steps gained.
    pub gains: Vec<StepGain>,
    /// Steps, by their tokens, that were slower with the choices, which were given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<u32>,
    /// The problems that were looked at, the one that takes the most time first.
    pub problems: Vec<TunedProblem>,
    /// What the best single config for all problems would have given, after a full search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single: Option<SingleConfig>,
    /// Choices that computed something else than the reference, each with the place. They are not used.
    pub wrong: Vec<String>,
    /// Variants that round activations, and were chosen.
    #[serde(default)]
    pub rounded: Vec<String>,
}

/// How choices came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TuningSource {
    /// Guessed by what the adapter is.
    #[default]
    Guessed,
    /// Measured in an earlier run, and kept; or on another adapter of the same name, and shipped with the program.
    Kept,
    /// Measured in this run, along one axis after the other.
    Quick,
    /// Measured in this run, every combination.
    Full,
}

/// A whole step, without a search's choices and with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepGain {
    /// Tokens of the step; 1 is decode.
    pub n_tokens: u32,
    /// The median in milliseconds by what is guessed for the adapter.
    pub untuned_ms: f64,
    /// The median in milliseconds by what was chosen.
    pub tuned_ms: f64,
}

impl StepGain {
    /// What it computes: `a token`, `a prompt of 256`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.n_tokens == 1 { "a token".to_owned() } else { format!("a prompt of {}", self.n_tokens) }
    }

    /// How many times as fast it became.
    #[must_use]
    pub fn gain(&self) -> f64 {
        if self.tuned_ms > 0.0 { self.untuned_ms / self.tuned_ms } else { 1.0 }
    }
}

/// One config for all problems, the best of those that were timed, beside a choice for each problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SingleConfig {
    /// The config.
    pub config: Config,
    /// Problems that it was timed for.
    pub n_problems: u32,
    /// How many times as fast the choices are, the geometric mean over the problems.
    pub gain: f64,
}

/// A problem, and what was chosen for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TunedProblem {
    /// Tokens of the step that it belongs to.
    pub n_tokens: u32,
    /// The name of its first stage.
    pub stage: String,
    /// Its stages in a step.
    pub n_stages: u32,
    /// What they have in common.
    pub problem: Problem,
    /// What is guessed for the adapter.
    pub guess: Choice,
    /// What was chosen; the guess where nothing was faster by 3 %.
    pub choice: Choice,
    /// Candidates that were tried, the guess among them; 0 where nothing was: too small a share of the step, no time
    /// left, or no way to check it.
    pub n_tried: u32,
    /// Milliseconds of all its stages by the guess, the median.
    pub guess_ms: f64,
    /// Milliseconds of all its stages by the choice, the median.
    pub choice_ms: f64,
}

impl TunedProblem {
    /// How many times as fast it became.
    #[must_use]
    pub fn gain(&self) -> f64 {
        if self.choice_ms > 0.0 { self.guess_ms / self.choice_ms } else { 1.0 }
    }

    /// GB/s of what must be moved, by the choice.
    #[must_use]
    pub fn gb_per_s(&self) -> f64 {
        let bytes = self.problem.bytes as f64 * f64::from(self.n_stages);
        if self.choice_ms > 0.0 { bytes / self.choice_ms * 1e-6 } else { 0.0 }
    }

    /// How near the choice is to the limit of the adapter that is nearer.
    #[must_use]
    pub fn share(&self, probes: &Probes) -> Option<Share> {
        let n = u64::from(self.n_stages);
        let work = Cost { bytes: self.problem.bytes.saturating_mul(n), ops: self.problem.ops.saturating_mul(n) };
        Share::of(work, self.choice_ms, probes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Spread;
    use crate::measure::report::{Probe, ProbeKind};

    #[test]
    fn the_share_is_of_all_stages_and_of_the_nearer_limit() {
        let choice = Choice { variant: "linear".into(), config: Config::default() };
        let found = TunedProblem {
            n_tokens: 1,
            stage: "q".into(),
            n_stages: 4,
            problem: Problem {
                kernel: "linear".into(),
                facts: Vec::new(),
                n_results: 8,
                bytes: 1_000_000,
                ops: 5_000_000,
            },
            guess: choice.clone(),
            choice,
            n_tried: 2,
            guess_ms: 2.0,
            choice_ms: 1.0,
        };
        let probe = |kind, median| Probe { kind, value: Spread { median, ..Spread::default() }, right: true };
        // 4 GB/s of 10, and 20 Gop/s of 100.
        let probes = Probes(vec![probe(ProbeKind::Read, 10.0), probe(ProbeKind::FmaF32, 100.0)]);
        let share = found.share(&probes).expect("a share");
        assert!(share.of == ProbeKind::Read && (share.share - 0.4).abs() < 1e-9, "{share:?}");
        assert!(found.share(&Probes::default()).is_none());
    }
}
