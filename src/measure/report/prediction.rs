//! What a whole model would do where only some of its layers were measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole of a synthetic model, extrapolated from the layers that ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// Parameters of the whole model.
    pub n_params: u64,
    /// Parameters that take part in one token.
    pub n_active_params: u64,
    /// Its layers.
    pub n_layers: u32,
    /// The layers that ran.
    pub n_measured_layers: u32,
    /// Memory for texts of several lengths.
    pub memory: Vec<MemoryPrediction>,
    /// Bytes of the largest buffer that the adapter binds; weights are cut to that, the rest has to fit.
    pub binding_bytes: u64,
    /// Memory that is free, in bytes; absent where it is not known: WebGPU does not tell an adapter's.
    pub free_bytes: Option<u64>,
    /// Times of steps.
    pub steps: Vec<StepPrediction>,
}

/// Memory that the whole model takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryPrediction {
    /// Positions that there is room for.
    pub n_context: u32,
    /// Weights and constant tables.
    pub weights: u64,
    /// Keys of the last tokens, seen one by one.
    pub window: u64,
    /// Compressed entries.
    pub entries: u64,
    /// The indexers' keys.
    pub index_keys: u64,
    /// Whatever else is kept of the text: ids, and projections that compressors look back on.
    pub other_state: u64,
    /// Values of one step.
    pub scratch: u64,
    /// The largest buffer of state or values, which must fit a binding.
    pub largest_buffer: u64,
}

impl MemoryPrediction {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        let state = [self.window, self.entries, self.index_keys, self.other_state];
        let parts = [self.weights, self.scratch].into_iter().chain(state);
        parts.fold(0, u64::saturating_add)
    }
}

/// The time of a step of the whole model; of a prompt's tokens, in as many steps as the adapter needs for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepPrediction {
    /// Tokens of the step: 1 for writing, more for a prompt.
    pub n_tokens: u32,
    /// Tokens that stand before it.
    pub depth: u32,
    /// Tokens that stood before the step that was measured.
    pub measured_depth: u32,
    /// From what it is extrapolated.
    pub basis: Basis,
    /// What it adds up from.
    pub parts: Vec<PartPrediction>,
    /// Bytes that the step must move.
    pub bytes: u64,
    /// Operations that it must do.
    pub ops: u64,
    /// Milliseconds: the middle of the range.
    pub ms: f64,
    /// The range: whether time goes with bytes or with operations, and the spread of what was measured.
    pub low_ms: f64,
    /// See `low_ms`.
    pub high_ms: f64,
}

impl StepPrediction {
    /// Tokens per second: at the likely time, at the longest and at the shortest.
    #[must_use]
    pub fn tokens_per_s(&self) -> [f64; 3] {
        [self.ms, self.high_ms, self.low_ms].map(|ms| super::per_second(f64::from(self.n_tokens), ms))
    }
}

/// From what a time is extrapolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// From the time of each stage in each kind of layer, scaled so that the measured step comes out as it was measured.
    Stages,
    /// From the measured step as a whole, in proportion to its work: the adapter has no timestamps.
    #[default]
    Work,
}

/// All layers of a kind, or what stands outside of the layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartPrediction {
    /// The kind: `ratio 4`; `outside` for embedding, head and choice.
    pub kind: String,
    /// How many there are in the whole model.
    pub n: u32,
    /// How many were measured.
    pub n_measured: u32,
    /// Milliseconds of one.
    pub ms: f64,
    /// Bytes that one moves.
    pub bytes: u64,
    /// Operations that one does.
    pub ops: u64,
}
