//! What an adapter would do with the models of the standard test.

use super::{Check, Test, TuningFacts, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A model of the standard test: layers of it ran with random weights, and tell what the whole would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StandardResult {
    /// The whole model with the format of its weights: `DeepSeek V4-Flash, MXFP4`. Results of one name compare, whatever
    /// ran of it.
    pub model: String,
    /// What ran, by the name that runs it again: `synthetic:deepseek-v4-flash:layers=2..4`.
    pub ran: String,
    /// Layers of the whole.
    pub n_layers: u32,
    /// Layers that ran.
    pub n_measured_layers: u32,
    /// Tests of the whole model: each rate is the likely one, its least and greatest are the range of the prediction, or
    /// of the repetitions where the whole ran.
    pub tests: Vec<Test>,
    /// The tests of what ran.
    #[serde(default)]
    pub measured: Vec<Test>,
    /// How the kernels were chosen; absent where they were guessed.
    #[serde(default)]
    pub tuning: Option<TuningFacts>,
    /// Whether the numbers of what ran are right; absent if it was not checked.
    #[serde(default)]
    pub check: Option<Check>,
}

impl StandardResult {
    /// The test of writing.
    #[must_use]
    pub fn writing(&self) -> Option<&Test> {
        self.tests.iter().find(|test| test.n_prompt == 0 && test.tokens_per_s.median > 0.0)
    }

    /// The test of reading a prompt; absent where there was no time for one.
    #[must_use]
    pub fn reading(&self) -> Option<&Test> {
        self.tests.iter().find(|test| test.n_gen == 0 && test.tokens_per_s.median > 0.0)
    }

    /// Its rates, each with what was done: `writing`, `a prompt of 512`.
    pub fn rates(&self) -> impl Iterator<Item = (String, &Test)> {
        let writing = self.writing().map(|test| ("writing".to_owned(), test));
        let reading = self.reading().map(|test| (format!("a prompt of {}", test.n_prompt), test));
        writing.into_iter().chain(reading)
    }

    /// Whether its numbers are right.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.check.as_ref().map(|check| check.verdict).unwrap_or_default()
    }
}
