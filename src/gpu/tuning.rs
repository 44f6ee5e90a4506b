//! What is chosen for an adapter, problem by problem: a variant of the kernel and its config. [`super::Caps`] are facts,
//! these are choices, guessed or measured by the tuner.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::op::Precision;
use super::recording::Stage;
use super::{Caps, Config, Variant};

/// What makes two stages the same to a tuner: the kernel, the facts of its text, and how much there is to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The kernel's name.
    pub kernel: String,
    /// The facts, as `NAME=value`: a weight format, a type of the KV cache.
    pub facts: Vec<String>,
    /// Results that can be computed side by side.
    pub n_results: u64,
    /// Bytes that it must move at the recorded number of tokens.
    pub bytes: u64,
    /// Multiplications and additions.
    pub ops: u64,
}

impl Problem {
    /// The problem of a stage.
    #[must_use]
    pub fn of(stage: &Stage) -> Self {
        Self {
            kernel: stage.op.name.to_owned(),
            facts: stage.spec.constants.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            n_results: stage.n_results,
            bytes: stage.cost.bytes,
            ops: stage.cost.ops,
        }
    }
}

/// Stands for a variant where the parts of a fused stage are computed, each as is chosen for it.
pub const APART: &str = "apart";

/// A variant with its config.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// The variant's name.
    pub variant: String,
    /// Its numbers.
    pub config: Config,
}

impl Choice {
    /// In short: the variant, and those of its numbers that are others than in `config`.
    #[must_use]
    pub fn beside(&self, config: &Config) -> String {
        std::iter::once(self.variant.clone()).chain(self.config.beside(config)).collect::<Vec<_>>().join(", ")
    }
}

/// How far variants may round activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// Not at all.
    Exact,
    /// As far as a model's predictions do not tell: to 16 bits.
    #[default]
    Usual,
    /// To 8 bits too, which costs about as much as weights of 8 bits do: for who asks for it.
    Int8,
}

impl Rounding {
    fn allows(self, precision: Precision) -> bool {
        match precision {
            Precision::Exact => true,
            Precision::Rounded(_) => self != Self::Exact,
            Precision::Quantized(_) => self == Self::Int8,
        }
    }
}

/// What is chosen for an adapter. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// The config of every stage without a choice of its own.
    pub config: Config,
    /// How far variants may round activations.
    rounding: Rounding,
    /// Choices by problem.
    choices: Arc<BTreeMap<Problem, Choice>>,
}

impl Tuning {
    /// One config for everything.
    #[must_use]
    pub fn uniform(config: Config) -> Self {
        Self { config, rounding: Rounding::default(), choices: Arc::default() }
    }

    /// What an adapter gets where nothing was measured.
    #[must_use]
    pub fn guess(caps: &Caps) -> Self {
        Self::uniform(Config::guess(caps))
    }

    /// The same, with a choice for a problem.
    #[must_use]
    pub fn with(mut self, problem: Problem, choice: Choice) -> Self {
        Arc::make_mut(&mut self.choices).insert(problem, choice);
        self
    }

    /// The same, with variants that round activations so far.
    #[must_use]
    pub fn rounded(mut self, rounding: Rounding) -> Self {
        self.rounding = rounding;
        self
    }

    /// How far variants may round activations.
    #[must_use]
    pub fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// The choices by problem.
    #[must_use]
    pub fn choices(&self) -> &BTreeMap<Problem, Choice> {
        &self.choices
    }

    /// The choice for a stage, if it can be used: for its problem, or, where the context decides how much there is to do, for the
    /// same in another context.
    #[must_use]
    pub fn known(&self, stage: &Stage, caps: &Caps) -> Option<&Choice> {
        if self.choices.is_empty() {
            return None;
        }
        let problem = Problem::of(stage);
        let nearest = || stage.keys.is_some().then(|| self.nearest(&problem))?;
        let choice = self.choices.get(&problem).or_else(nearest)?;
        let is_apart = choice.variant == APART && !stage.parts.is_empty();
        let can = || {
            let variant = stage.op.variants.iter().find(|variant| variant.name == choice.variant);
            variant.is_some_and(|variant| self.can(variant, stage, caps)) && choice.config.runs_on(caps)
        };
        (is_apart || can()).then_some(choice)
    }

    /// The choice for the problem of the same kernel and facts whose size is nearest, up to four times as large or small: runs of
    /// keys are as many from 16,384 on, and a prompt's step is farther from a token's.
    fn nearest(&self, problem: &Problem) -> Option<&Choice> {
        let first = Problem { n_results: 0, bytes: 0, ops: 0, ..problem.clone() };
        let of_kernel = self.choices.range(first..);
        let of_kernel = of_kernel.take_while(|(of, _)| (&of.kernel, &of.facts) == (&problem.kernel, &problem.facts));
        let is_near = |a: u64, b: u64| a.max(b) / 4 <= a.min(b);
        let near = of_kernel.filter(|(of, _)| {
            is_near(of.n_results, problem.n_results) && is_near(of.bytes, problem.bytes) && is_near(of.ops, problem.ops)
        });
        near.min_by_key(|(of, _)| of.bytes.abs_diff(problem.bytes)).map(|(_, choice)| choice)
    }

    /// The variant and the config of a stage; `None`: its parts are computed, one after the other. A choice that names no
    /// variant, or one that cannot compute the stage here, is passed over.
    #[must_use]
    pub fn choose(&self, stage: &Stage, caps: &Caps) -> Option<(&'static Variant, Config)> {
        let Some(choice) = self.known(stage, caps) else {
            return self.guess_variant(stage, caps).map(|variant| (variant, self.config));
        };
        // One that is no variant's stands for the parts.
        let variant = stage.op.variants.iter().find(|variant| variant.name == choice.variant)?;
        Some((variant, choice.config))
    }

    /// The same, by name.
    #[must_use]
    pub fn choice(&self, stage: &Stage, caps: &Caps) -> Choice {
        let apart = Choice { variant: APART.to_owned(), config: self.config };
        let by = |(variant, config): (&Variant, Config)| Choice { variant: variant.name.to_owned(), config };
        self.choose(stage, caps).map_or(apart, by)
    }

    /// The variants that compute a stage, or its parts.
    #[must_use]
    pub fn variants(&self, stage: &Stage, caps: &Caps) -> Vec<&'static Variant> {
        match self.choose(stage, caps) {
            Some((variant, _)) => vec![variant],
            None => stage.parts.iter().flat_map(|part| self.variants(part, caps)).collect(),
        }
    }

    /// The last variant that can compute a stage, is thought to pay, and is exact: one that rounds has to be found faster.
    /// Where there is none, the parts of a stage that has some, and else the first variant.
    fn guess_variant(&self, stage: &Stage, caps: &Caps) -> Option<&'static Variant> {
        let variants = stage.op.variants;
        let fits = |variant: &&Variant| {
            variant.precision == Precision::Exact
                && variant.is_worth_trying(caps)
                && self.can(variant, stage, caps)
                && (variant.pays)(stage)
        };
        variants.iter().rev().find(fits).or_else(|| variants.first().filter(|_| stage.parts.is_empty()))
    }

    /// Whether a variant can compute a stage on an adapter, and is as exact as is asked for.
    #[must_use]
    pub fn can(&self, variant: &Variant, stage: &Stage, caps: &Caps) -> bool {
        variant.can(stage, caps) && self.rounding.allows(variant.precision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_serves_what_is_up_to_four_times_as_large() {
        let problem = |n: u64| Problem {
            kernel: "grouped_attend".into(),
            facts: vec!["KEYS=1".into()],
            n_results: n,
            bytes: 64 * n,
            ops: 0,
        };
        let choice = |threads| Choice { variant: "a".into(), config: Config { threads, ..Config::default() } };
        let tuning = Tuning::default().with(problem(1_000), choice(1)).with(problem(3_000), choice(3));
        let threads = |n| tuning.nearest(&problem(n)).map(|choice| choice.config.threads);
        assert_eq!([250, 1_156, 2_500, 12_000].map(threads), [Some(1), Some(1), Some(3), Some(3)]);
        assert_eq!((threads(200), threads(16_000)), (None, None), "a token's step and a prompt's");
        let other = Problem { facts: vec!["KEYS=0".into()], ..problem(1_000) };
        assert_eq!(tuning.nearest(&other), None, "other facts");
    }

    #[test]
    fn a_choice_is_told_by_what_is_other() {
        let config = Config { rows: 4, threads: 64, ..Config::default() };
        let choice = Choice { variant: "linear".into(), config };
        assert_eq!(choice.beside(&Config::default()), "linear, threads 64, rows 4");
        assert_eq!(choice.beside(&config), "linear");
    }
}
