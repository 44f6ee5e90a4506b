//! Whether an adapter's numbers are right: what `verify` found, and the short form of it beside every timing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an error or a divergence is where a value is no number: JSON knows neither NaN nor infinity. No true one is as
/// large.
pub const NO_NUMBER: f64 = 1e18;

/// What comparing an adapter with the CPU executor came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// The sum of it all.
    pub verdict: Verdict,
    /// In one sentence: what was compared, or the first thing that is wrong.
    pub summary: String,
    /// Kernels over odd shapes; absent in the short form.
    pub kernels: Option<KernelCheck>,
    /// The first stage of the model whose error is over its budget; absent if there is none, or no stage was compared.
    pub first_wrong_stage: Option<StageError>,
    /// The worst error of each stage as a share of its budget, in the order of the step; empty in the short form.
    #[serde(default)]
    pub stages: Vec<StageError>,
    /// What was compared where not everything was: results drawn at random; absent where the whole was compared.
    #[serde(default)]
    pub sampled: Option<SampledCheck>,
    /// Tokens over a built-in text.
    pub tokens: Option<TokenCheck>,
    /// Whether prefill and decode gave the same logits, within the budget; absent in the short form.
    pub prefill_equals_decode: Option<bool>,
    /// Whether the same text twice gave the same logits, bit for bit; absent in the short form.
    pub twice_the_same: Option<bool>,
    /// How far the logits of other adapters are from this one's; empty where none was held against it.
    #[serde(default)]
    pub others: Vec<OtherCheck>,
    /// The stage that was broken on purpose.
    pub fault: Option<String>,
    /// Variants of kernels that round activations, and were used.
    #[serde(default)]
    pub rounded: Vec<String>,
}

/// Tokens predicted by another adapter, held against those of this one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OtherCheck {
    /// The other's name and backend.
    pub adapter: String,
    /// How far it is from this one, as both are from the CPU executor.
    pub tokens: TokenCheck,
}

/// Whether numbers are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All that was compared is within its budget.
    Right,
    /// Something is not.
    Wrong,
    /// Nothing could be compared.
    #[default]
    Unknown,
}

impl Verdict {
    /// For a table's cell.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "WRONG",
            Self::Unknown => "not checked",
        }
    }
}

/// Kernels and their variants against their references.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelCheck {
    /// Dispatches compared.
    pub n_cases: u32,
    /// Those that were wrong.
    pub n_wrong: u32,
    /// The first of them: kernel, shape, place.
    pub first_wrong: Option<String>,
}

/// Results drawn at random, computed by the references from what the adapter held before each dispatch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampledCheck {
    /// Results compared.
    pub n_results: u64,
    /// Dispatches that they are of.
    pub n_dispatches: u32,
    /// Rows of weights that were drawn in the dispatch with the fewest, of those with more rows than are drawn; absent
    /// where there is none.
    pub fewest_rows: Option<u32>,
    /// How likely it is that such a dispatch has a wrong row in every hundred, anywhere, and none of them was drawn. A
    /// text of several steps and layers is looked at as many times.
    pub missed: f64,
    /// Stages of which nothing was compared, since they have nothing to do in a text so short, or too much to read back.
    #[serde(default)]
    pub idle: Vec<String>,
    /// What the draw began with: the same draws the same again.
    pub seed: u32,
}

/// The error of a stage beside its budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageError {
    /// The stage's name.
    pub stage: String,
    /// The layer, where it belongs to one.
    pub layer: Option<u32>,
    /// Position of the token at which the step began.
    pub position: u32,
    /// The greatest error, relative to the size of the reference's values.
    pub error: f64,
    /// The greatest that is allowed.
    pub budget: f64,
}

impl StageError {
    /// The error as a share of its budget.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.budget > 0.0 { self.error / self.budget } else { self.error * NO_NUMBER }
    }

    /// Whether it is within its budget.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.error <= self.budget
    }
}

/// Tokens predicted by an adapter and by the CPU executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCheck {
    /// Positions compared.
    pub n_tokens: u32,
    /// Those at which both hold the same token likeliest.
    pub n_same: u32,
    /// Kullback-Leibler divergence from the CPU executor, in nats: the mean over positions.
    pub kl_mean: f64,
    /// That which 99.9 % of positions do not exceed.
    pub kl_p999: f64,
    /// The greatest.
    pub kl_max: f64,
    /// The position of the greatest.
    pub worst_position: u32,
}
