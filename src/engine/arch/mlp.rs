//! Feed-forward networks of decoders: dense ones, and mixtures of experts, with a network beside them that every token
//! uses where there is one, or with biases.

use crate::gpu::{Arena, Purpose, Recording, Slice};
use crate::kernels::experts::{self, Groups, Shard, record_experts_in, record_experts_out, record_grouping};
use crate::kernels::experts_bias::{self, record_experts_bias};
use crate::kernels::experts_gate::{self, record_experts_gate};
use crate::kernels::experts_spread::record_experts_spread;
use crate::kernels::route::{self, Scoring};
use crate::kernels::swiglu::{self, Activation};
use crate::kernels::{Matrix, linear, sigmoid_gate};
use crate::model::NO_LIMIT;
use crate::model::grouped::{self, ExpertsShape};
use crate::model::weights;

use super::step::record_all;
use super::sublayer::{Outline, Sublayer};
use crate::engine::load::upload::Uploads;

/// The weights of a layer's network.
pub(in crate::engine) enum Mlp {
    /// Without experts.
    Dense(Dense),
    /// With experts.
    Experts {
        router: Vec<Matrix>,
        bias: Option<Slice>,
        experts_in: Vec<Shard>,
        experts_out: Vec<Shard>,
        shared: Option<Dense>,
    },
    /// With experts that have biases.
    Biased(Biased),
}

/// The weights of experts that have biases.
pub(in crate::engine) struct Biased {
    router: Vec<Matrix>,
    router_bias: Slice,
    /// Of each expert gate and up.
    gate_up: Vec<Shard>,
    gate_up_bias: Slice,
    alternates: bool,
    down: Vec<Shard>,
    down_bias: Slice,
}

/// The weights of a network without experts.
pub(in crate::engine) struct Dense {
    gate_up: Vec<Matrix>,
    down: Vec<Matrix>,
    /// Makes the gate of the whole network, `[1]`; empty where there is none.
    gate: Vec<Matrix>,
}

impl Mlp {
    /// Plans the upload.
    pub(in crate::engine) fn plan(arena: &mut Arena, uploads: &mut Uploads, from: &grouped::Ffn) -> Self {
        match from {
            grouped::Ffn::Dense { gate, up, down } => {
                let gate_up = uploads.stack(arena, &[gate, up]);
                Self::Dense(Dense { gate_up, down: uploads.stack(arena, &[down]), gate: Vec::new() })
            }
            grouped::Ffn::Experts { router, bias, experts, shared, shared_gate } => {
                let plan_shared = |weights::Mlp { gate, up, down }: &weights::Mlp| Dense {
                    gate_up: uploads.stack(arena, &[gate, up]),
                    down: uploads.stack(arena, &[down]),
                    gate: uploads.stack(arena, &shared_gate.as_deref().into_iter().collect::<Vec<_>>()),
                };
                let shared = shared.as_deref().map(plan_shared);
                Self::Experts {
                    router: uploads.stack(arena, &[router]),
                    bias: bias.as_ref().map(|bias| uploads.vector(arena, bias)),
                    experts_in: uploads.experts(arena, &[&experts.gate, &experts.up], 0, experts.n_experts),
                    experts_out: uploads.experts(arena, &[&experts.down], 0, experts.n_experts),
                    shared,
                }
            }
            grouped::Ffn::Biased(from) => {
                let n = from.router.n_rows;
                Self::Biased(Biased {
                    router: uploads.stack(arena, &[&from.router]),
                    router_bias: uploads.vector(arena, &from.router_bias),
                    gate_up: uploads.experts(arena, &[&from.gate_up], 0, n),
                    gate_up_bias: uploads.vector(arena, &from.gate_up_bias),
                    alternates: from.alternates,
                    down: uploads.experts(arena, &[&from.down], 0, n),
                    down_bias: uploads.vector(arena, &from.down_bias),
                })
            }
        }
    }
}

/// What the networks of all layers share: their shape, and the values of one step, `[n_chunk, …]` each, f32 but where told.
pub(in crate::engine) struct Mlps {
    /// Hidden width of a layer without experts.
    n_hidden: u32,
    /// What gates of networks without experts go through.
    activation: Activation,
    experts: Option<ExpertsShape>,
    /// Gate and up of a network without experts, `[2, widest]`.
    gate_up: Slice,
    /// Hidden values of a network without experts, `[widest]`.
    dense_hidden: Slice,
    /// Gate of the network beside the experts, `[1]`.
    shared_gate: Slice,
    /// Hidden values of the experts used, `[n_slots, n_hidden]`.
    hidden: Slice,
    /// Router logits, `[n_experts]`.
    router: Slice,
    /// Chosen experts, `[n_slots]` u32.
    chosen: Slice,
    /// Their weights, `[n_slots]`.
    chosen_weights: Slice,
    /// Tokens by expert, for steps of many tokens.
    groups: Groups,
    /// Inputs of experts with biases, `[n_slots, n_embd]`, and their products with gate and up,
    /// `[n_slots, 2, n_hidden]`; empty where there are none.
    spread: Slice,
    raw: Slice,
}

/// Outputs of a token in a layer with experts: one for each that it uses, and one of the network beside them, or of biases.
fn n_slots(of: &ExpertsShape) -> u32 {
    of.n_used + n_beside(of)
}

/// Whether there is an output that no expert gives.
fn n_beside(of: &ExpertsShape) -> u32 {
    u32::from(of.shared_hidden > 0 || of.biased.is_some())
}

/// Inputs and products of gate and up of experts with biases, of a token.
fn biased_widths(of: Option<&ExpertsShape>, n_embd: u32) -> [u32; 2] {
    let biased = of.filter(|of| of.biased.is_some());
    biased.map_or([0; 2], |of| [n_embd, 2 * of.n_hidden].map(|width| n_slots(of) * width))
}

/// The widest network without experts.
fn widest(n_hidden: u32, experts: Option<&ExpertsShape>) -> u32 {
    n_hidden.max(experts.map_or(0, |of| of.shared_hidden))
}

impl Mlps {
    /// Elements of a token in each buffer.
    pub(in crate::engine) fn widths(of: &Outline<'_>) -> [u64; 6] {
        let [spread, raw] = biased_widths(of.experts, of.n_embd).map(u64::from);
        let widest = u64::from(widest(of.n_hidden, of.experts));
        let slots = of.experts.map_or(1, |of| u64::from(n_slots(of)));
        let hidden = of.experts.map_or(0, |of| u64::from(of.n_hidden));
        [widest * 2, widest, slots * hidden, slots * u64::from(of.n_embd), spread, raw]
    }

    /// Plans the values of steps of up to `n_chunk` tokens.
    pub(in crate::engine) fn plan(arena: &mut Arena, of: &Outline<'_>, n_chunk: u32) -> Self {
        let mut each =
            |what: &str, width: u32| arena.words(what, u64::from(n_chunk) * u64::from(width), Purpose::Scratch);
        let (n_experts, slots, n_hidden) = of.experts.map_or((0, 1, 0), |of| (of.n_experts, n_slots(of), of.n_hidden));
        let widest = widest(of.n_hidden, of.experts);
        let [spread, raw] = biased_widths(of.experts, of.n_embd);
        Self {
            n_hidden: of.n_hidden,
            activation: match of.activation {
                grouped::Activation::Silu => Activation::Silu,
                grouped::Activation::GeluTanh => Activation::GeluTanh,
            },
            experts: of.experts.cloned(),
            gate_up: each("gate_up", 2 * widest),
            shared_gate: each("shared_gate", u32::from(of.experts.is_some_and(|of| of.has_shared_gate))),
            dense_hidden: each("dense_hidden", widest),
            hidden: each("hidden", slots * n_hidden),
            router: each("router", n_experts),
            chosen: each("experts", slots),
            chosen_weights: each("expert_weights", slots),
            groups: Groups { lists: each("expert_lists", n_experts + 1), counts: each("expert_counts", n_experts + 1) },
            spread: each("expert_inputs", spread),
            raw: each("expert_products", raw),
        }
    }

    /// Outputs of a token at most.
    pub(in crate::engine) fn n_slots(&self) -> u32 {
        self.experts.as_ref().map_or(1, n_slots)
    }

    /// Appends the sub-layer: `at.x` in, `at.outputs` out; gives how many outputs of a token there are.
    pub(in crate::engine) fn record(&self, recording: &mut Recording, mlp: &Mlp, at: &Sublayer) -> u32 {
        match (mlp, &self.experts) {
            (Mlp::Experts { router, bias, experts_in, experts_out, shared }, Some(of)) => {
                let slots = n_slots(of);
                record_all(recording, "gate", router, at.rows(at.x, at.n_embd, self.router, of.n_experts));
                self.record_route(recording, of, *bias, at);
                let flow = record_grouping(recording, self.experts_flow(of, at), self.groups);
                experts_in.iter().for_each(|shard| record_experts_in(recording, shard, &flow));
                experts_out.iter().for_each(|shard| record_experts_out(recording, shard, &flow));
                if let Some(dense) = shared {
                    let names = ["shared_gate_up", "shared_down"];
                    self.record_dense(recording, dense, names, of.shared_hidden, [slots, of.n_used], at);
                }
                slots
            }
            (Mlp::Dense(dense), _) => {
                self.record_dense(recording, dense, ["gate_up", "down"], self.n_hidden, [1, 0], at);
                1
            }
            (Mlp::Biased(biased), Some(of)) => self.record_biased(recording, biased, of, at),
            (Mlp::Experts { .. } | Mlp::Biased(_), None) => unreachable!("a shape without experts plans none"),
        }
    }

    /// Experts with biases: their products, then what comes of them, then products again. The biases of these have the
    /// slot that no expert has.
    fn record_biased(&self, recording: &mut Recording, biased: &Biased, of: &ExpertsShape, at: &Sublayer) -> u32 {
        let Some(gating) = of.biased else { unreachable!("a shape without biases plans none") };
        let slots = n_slots(of);
        record_all(recording, "gate", &biased.router, at.rows(at.x, at.n_embd, self.router, of.n_experts));
        self.record_route(recording, of, Some(biased.router_bias), at);
        let out = record_grouping(recording, self.experts_flow(of, at), self.groups);
        record_experts_spread(recording, at.step, [at.x, self.spread], at.n_embd, slots, at.n);
        let into = experts::Flow {
            hidden: self.spread,
            outputs: self.raw,
            n_hidden: at.n_embd,
            n_embd: 2 * of.n_hidden,
            ..out
        };
        for shard in &biased.gate_up {
            record_experts_out(recording, shard, &into);
            // What these products are for.
            if let Some(stage) = recording.stages.last_mut() {
                stage.name = "experts_in";
            }
        }
        record_experts_gate(
            recording,
            &experts_gate::Flow {
                step: at.step,
                raw: self.raw,
                experts: self.chosen,
                weights: self.chosen_weights,
                bias: biased.gate_up_bias,
                hidden: self.hidden,
                n_hidden: of.n_hidden,
                n_slots: slots,
                n_experts: of.n_experts,
                alternates: biased.alternates,
                limit: gating.limit,
                alpha: gating.alpha,
                max_tokens: at.n,
            },
        );
        biased.down.iter().for_each(|shard| record_experts_out(recording, shard, &out));
        record_experts_bias(
            recording,
            &experts_bias::Flow {
                step: at.step,
                experts: self.chosen,
                weights: self.chosen_weights,
                bias: biased.down_bias,
                outputs: at.outputs,
                n_embd: at.n_embd,
                n_slots: slots,
                n_experts: of.n_experts,
                max_tokens: at.n,
            },
        );
        slots
    }

    /// A network without experts, whose output is number `slot` of a token's `n_slots`.
    fn record_dense(
        &self,
        recording: &mut Recording,
        dense: &Dense,
        [into, out]: [&'static str; 2],
        n_hidden: u32,
        [n_slots, slot]: [u32; 2],
        at: &Sublayer,
    ) {
        record_all(recording, into, &dense.gate_up, at.rows(at.x, at.n_embd, self.gate_up, 2 * n_hidden));
        let swiglu = swiglu::Flow {
            step: at.step,
            gate_up: self.gate_up,
            hidden: self.dense_hidden,
            n_hidden,
            activation: self.activation,
            limit: NO_LIMIT,
            max_tokens: at.n,
        };
        swiglu::record_swiglu(recording, &swiglu);
        if !dense.gate.is_empty() {
            // What follows is linear: a gate on its input is one on its output.
            record_all(recording, "shared_gate", &dense.gate, at.rows(at.x, at.n_embd, self.shared_gate, 1));
            let (step, gates, values) = (at.step, self.shared_gate, self.dense_hidden);
            let gated = sigmoid_gate::Flow { step, gates, values, width: n_hidden, run: n_hidden, max_tokens: at.n };
            sigmoid_gate::record_sigmoid_gate(recording, "shared_gated", &gated);
        }
        let flow = at.rows(self.dense_hidden, n_hidden, at.outputs, n_slots * at.n_embd);
        record_all(recording, out, &dense.down, linear::Flow { y_offset: slot * at.n_embd, ..flow });
    }

    fn record_route(&self, recording: &mut Recording, of: &ExpertsShape, bias: Option<Slice>, at: &Sublayer) {
        let normed = of.normed;
        route::record_route(
            recording,
            &route::Flow {
                step: at.step,
                tokens: at.tokens,
                logits: self.router,
                bias,
                weighs_bias: of.biased.is_some(),
                table: None,
                scoring: if of.is_sigmoid { Scoring::Sigmoid { normed } } else { Scoring::Softmax { normed } },
                n_vocab: at.n_vocab,
                n_experts: of.n_experts,
                n_groups: of.n_groups,
                n_kept: of.n_kept,
                n_used: of.n_used,
                n_shared: n_beside(of),
                scale: of.scale,
                experts: self.chosen,
                weights: self.chosen_weights,
                max_tokens: at.n,
            },
        );
    }

    /// Where the network beside the experts has a slot, or their biases have, no shard holds its expert, so that the
    /// kernels leave it alone.
    fn experts_flow(&self, of: &ExpertsShape, at: &Sublayer) -> experts::Flow {
        experts::Flow {
            step: at.step,
            x: at.x,
            experts: self.chosen,
            weights: self.chosen_weights,
            hidden: self.hidden,
            outputs: at.outputs,
            n_embd: at.n_embd,
            n_hidden: of.n_hidden,
            n_slots: n_slots(of),
            n_shared: n_beside(of),
            n_experts: of.n_experts,
            limit: NO_LIMIT,
            groups: None,
            max_tokens: at.n,
        }
    }
}
