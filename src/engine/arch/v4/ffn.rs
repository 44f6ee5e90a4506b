//! The mixture of experts of one layer: router, routed and shared experts. The shared expert is one more expert, which
//! every token chooses with weight 1, from a matrix of its own.

use crate::gpu::{Arena, Recording, Slice};
use crate::kernels::Matrix;
use crate::kernels::experts::{self, Shard, record_experts_in, record_experts_out, record_grouping};
use crate::kernels::linear::Flow;
use crate::kernels::route::{self, record_route};
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
    /// Shards of the experts with the clamp of their SwiGLU: the routed ones, then the shared one, which may be the last
    /// expert of their last shard.
    experts_in: Vec<(Shard, f32)>,
    experts_out: Vec<Shard>,
}

impl Ffn {
    /// Plans the upload of layer number `layer`.
    pub fn plan(arena: &mut Arena, uploads: &mut Uploads, shape: &Shape, layer: usize, from: &weights::Ffn) -> Self {
        let n = shape.n_experts;
        let (route, hash) = match &from.route {
            Route::Bias(bias) => (uploads.vector(arena, bias), false),
            Route::Table(table) => (uploads.table(arena, table, n), true),
        };
        let limits = [shape.swiglu_limit[layer], shape.swiglu_limit_shared[layer]];
        if let Some([gate, up, down]) = together(from).filter(|_| limits[0] == limits[1]) {
            let shards = uploads.experts(arena, &[&gate, &up], 0, n + 1);
            let experts_in = shards.into_iter().map(|shard| (shard, limits[0])).collect();
            let experts_out = uploads.experts(arena, &[&down], 0, n + 1);
            return Self { gate: uploads.stack(arena, &[&from.gate]), route, hash, experts_in, experts_out };
        }
        let routed = uploads.experts(arena, &[&from.experts.gate, &from.experts.up], 0, n);
        let shared = uploads.experts(arena, &[&from.shared.gate, &from.shared.up], n, 1);
        let mut experts_in: Vec<_> = routed.into_iter().map(|shard| (shard, limits[0])).collect();
        experts_in.extend(shared.into_iter().map(|shard| (shard, limits[1])));
        let mut experts_out = uploads.experts(arena, &[&from.experts.down], 0, n);
        experts_out.extend(uploads.experts(arena, &[&from.shared.down], n, 1));
        Self { gate: uploads.stack(arena, &[&from.gate]), route, hash, experts_in, experts_out }
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
            limit: 0.0,
            groups: None,
            max_tokens: n,
        };
        let flow = record_grouping(recording, flow, scratch.groups);
        for (shard, limit) in &self.experts_in {
            record_experts_in(recording, shard, &experts::Flow { limit: *limit, ..flow });
        }
        for shard in &self.experts_out {
            record_experts_out(recording, shard, &flow);
        }
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
