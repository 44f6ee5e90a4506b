//! The mixture of experts of one layer: router, routed and shared experts. The shared expert is one more expert, which every
//! token chooses with weight 1; where its weights are of another format, a network of its own, whose output takes its slot.

use crate::gpu::{Arena, Recording, Slice};
use crate::kernels::Matrix;
use crate::kernels::experts::{self, Shard, record_experts_in, record_experts_out, record_grouping};
use crate::kernels::linear::Flow;
use crate::kernels::route::{self, record_route};
use crate::kernels::swiglu::{self, Activation};
use crate::model::Shape;
use crate::model::weights::{self, Route, TensorRef};

use super::buffers::Scratch;
use crate::engine::arch::step::record_all;
use crate::engine::load::upload::Uploads;

/// Weights of a layer's experts, on the executor.
pub struct Ffn {
    gate: Vec<Matrix>,
    /// Bias of the router, or the table of a hash-routed layer.
    route: Slice,
    hash: bool,
    /// Shards of the experts, the shared one the last of them, or not among them.
    experts_in: Vec<Shard>,
    experts_out: Vec<Shard>,
    /// Where gate and up of the experts are cut off.
    limit: f32,
    shared: Option<Shared>,
}

/// The shared expert as a network of its own.
struct Shared {
    gate_up: Vec<Matrix>,
    down: Vec<Matrix>,
    /// Where its gate and up are cut off.
    limit: f32,
}

impl Ffn {
    /// Plans the upload of layer number `layer`.
    pub fn plan(arena: &mut Arena, uploads: &mut Uploads, shape: &Shape, layer: usize, from: &weights::Ffn) -> Self {
        let n = shape.n_experts;
        let (route, hash) = match &from.route {
            Route::Bias(bias) => (uploads.vector(arena, bias), false),
            Route::Table(table) => (uploads.table(arena, table, n), true),
        };
        let [limit, of_shared] = [shape.swiglu_limit[layer], shape.swiglu_limit_shared[layer]];
        let gate_of = |uploads: &mut Uploads, arena: &mut Arena| uploads.stack(arena, &[&from.gate]);
        if let Some([gate, up, down]) = together(from).filter(|_| limit == of_shared) {
            let experts_in = uploads.experts(arena, &[&gate, &up], 0, n + 1);
            let experts_out = uploads.experts(arena, &[&down], 0, n + 1);
            return Self { gate: gate_of(uploads, arena), route, hash, experts_in, experts_out, limit, shared: None };
        }
        let experts_in = uploads.experts(arena, &[&from.experts.gate, &from.experts.up], 0, n);
        let experts_out = uploads.experts(arena, &[&from.experts.down], 0, n);
        let shared = Shared {
            gate_up: uploads.stack(arena, &[&from.shared.gate, &from.shared.up]),
            down: uploads.stack(arena, &[&from.shared.down]),
            limit: of_shared,
        };
        Self { gate: gate_of(uploads, arena), route, hash, experts_in, experts_out, limit, shared: Some(shared) }
    }

    /// Whether the shared expert is a network of its own.
    pub fn has_network(&self) -> bool {
        self.shared.is_some()
    }

    /// Appends the sub-layer: `scratch.x` in, `scratch.outputs` (one slot for each chosen expert) out.
    pub fn record(
        &self,
        recording: &mut Recording,
        shape: &Shape,
        scratch: &Scratch,
        tokens: Slice,
        step: Slice,
        n: u32,
    ) {
        let gate = Flow {
            step,
            x: scratch.x,
            x_stride: shape.n_embd,
            y: scratch.router,
            y_stride: shape.n_experts,
            y_offset: 0,
            y_ring: 0,
            rows_per_group: 0,
            max_tokens: n,
        };
        record_all(recording, "gate", &self.gate, gate);
        // Before what the choice of experts decides, for which it need not wait.
        if let Some(shared) = &self.shared {
            shared.record(recording, shape, scratch, step, n);
        }
        record_route(
            recording,
            &route::Flow {
                step,
                tokens,
                logits: scratch.router,
                bias: (!self.hash).then_some(self.route),
                weighs_bias: false,
                table: self.hash.then_some(self.route),
                scoring: route::Scoring::Root,
                n_vocab: shape.n_vocab,
                n_experts: shape.n_experts,
                n_groups: 1,
                n_kept: 1,
                n_used: shape.n_used,
                n_shared: 1,
                scale: shape.routed_scale,
                experts: scratch.experts,
                weights: scratch.expert_weights,
                max_tokens: n,
            },
        );
        let flow = experts::Flow {
            step,
            x: scratch.x,
            experts: scratch.experts,
            weights: scratch.expert_weights,
            hidden: scratch.hidden,
            outputs: scratch.outputs,
            n_embd: shape.n_embd,
            n_hidden: shape.n_hidden,
            n_slots: Scratch::n_slots(shape),
            n_shared: 1,
            n_experts: shape.n_experts,
            limit: self.limit,
            groups: None,
            max_tokens: n,
        };
        let flow = record_grouping(recording, flow, scratch.groups);
        self.experts_in.iter().for_each(|shard| record_experts_in(recording, shard, &flow));
        self.experts_out.iter().for_each(|shard| record_experts_out(recording, shard, &flow));
    }
}

impl Shared {
    /// Appends the network: `scratch.x` in, the last slot of `scratch.outputs` out.
    fn record(&self, recording: &mut Recording, shape: &Shape, scratch: &Scratch, step: Slice, n: u32) {
        let rows = |x, x_stride, y, y_stride, y_offset| Flow {
            step,
            x,
            x_stride,
            y,
            y_stride,
            y_offset,
            y_ring: 0,
            rows_per_group: 0,
            max_tokens: n,
        };
        let n_hidden = shape.n_hidden;
        let [gate_up, hidden] = [scratch.shared_gate_up, scratch.shared_hidden];
        record_all(recording, "shared_gate_up", &self.gate_up, rows(scratch.x, shape.n_embd, gate_up, 2 * n_hidden, 0));
        let swiglu = swiglu::Flow {
            step,
            gate_up,
            hidden,
            n_hidden,
            activation: Activation::Silu,
            limit: self.limit,
            max_tokens: n,
        };
        swiglu::record_swiglu(recording, &swiglu);
        let (stride, at) = (Scratch::n_slots(shape) * shape.n_embd, shape.n_used * shape.n_embd);
        record_all(recording, "shared_down", &self.down, rows(hidden, n_hidden, scratch.outputs, stride, at));
    }
}

/// The rows of the routed experts and, after them, of the shared one, as gate, up and down: one dispatch serves all. None
/// where they differ in format.
fn together(from: &weights::Ffn) -> Option<[TensorRef; 3]> {
    let (routed, shared) = (&from.experts, &from.shared);
    let pairs = [(&routed.gate, &shared.gate), (&routed.up, &shared.up), (&routed.down, &shared.down)];
    let is_alike = |(a, b): &(&TensorRef, &TensorRef)| a.format == b.format && a.n_in == b.n_in;
    pairs.iter().all(is_alike).then(|| pairs.map(|(a, b)| a.clone().followed_by(b)))
}
