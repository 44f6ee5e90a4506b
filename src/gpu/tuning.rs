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

    /// The variant and the config of a stage; `None`: its parts are computed, one after the other. A choice that names no
    /// variant, or one that cannot compute the stage here, is passed over.
    #[must_use]
    pub fn choose(&self, stage: &Stage, caps: &Caps) -> Option<(&'static Variant, Config)> {
        let chosen = (!self.choices.is_empty()).then(|| self.choices.get(&Problem::of(stage))).flatten();
        if chosen.is_some_and(|choice| choice.variant == APART && !stage.parts.is_empty()) {
            return None;
        }
        let usable = chosen.and_then(|choice| {
            let variant = stage.op.variants.iter().find(|variant| variant.name == choice.variant)?;
            (self.can(variant, stage, caps) && choice.config.runs_on(caps)).then_some((variant, choice.config))
        });
        usable.or_else(|| self.guess_variant(stage, caps).map(|variant| (variant, self.config)))
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
