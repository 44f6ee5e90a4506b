//! The forward pass of a decoder with grouped-query attention as recordings: embedding, layers, head. Its kinds of step
//! are those of [`super::forward::Forward`].

use crate::gpu::kernel::Step;
use crate::gpu::{Arena, Purpose, Recording, Slice};
use crate::kernels::cache::{CacheType, CacheTypes};
use crate::kernels::experts::{self, Groups, Shard, record_experts_in, record_experts_out, record_grouping};
use crate::kernels::grouped_attend::{self, n_splits};
use crate::kernels::grouped_heads::{self, Cache};
use crate::kernels::linear::Flow;
use crate::kernels::route::{self, Scoring};
use crate::kernels::{Matrix, add_norm, embed, rope, sample, swiglu};
use crate::model::NO_LIMIT;
use crate::model::grouped::{self, ExpertsShape, Shape, Weights};

use super::attention::record_all;
use super::forward::MAX_AHEAD;
use super::upload::Uploads;

/// A model planned on a player: weights, cache and scratch as slices of one arena.
pub struct GroupedForward {
    /// The model's shape.
    pub shape: Shape,
    /// Positions that fit.
    pub n_context: u32,
    /// What changes from token to token.
    pub step: Slice,
    /// Token ids by position, `[n_context + 1]`, and spare for tokens computed ahead.
    pub tokens: Slice,
    /// Values of one step.
    pub scratch: GroupedScratch,
    embed: Vec<Matrix>,
    layers: Vec<Layer>,
    norm: Slice,
    head: Vec<Matrix>,
    rope: Slice,
}

/// The values of one step, shared by all layers; `[n_chunk, …]` each, f32 but where told.
#[derive(Clone, Copy, Debug)]
pub struct GroupedScratch {
    /// The residual stream, `[n_embd]`.
    pub stream: Slice,
    /// Logits, `[n_logits, n_vocab]`.
    pub logits: Slice,
    /// Tokens whose logits fit.
    pub n_logits: u32,
    /// Normed input of a sub-layer, `[n_embd]`.
    x: Slice,
    /// Queries, keys and values, `[heads_width]`.
    heads: Slice,
    /// Attention over runs of keys, `[n_heads, n_splits, head_dim]`.
    partial: Slice,
    /// `[n_heads, n_splits, 2]`
    stats: Slice,
    /// Attention output of the heads, `[n_heads * head_dim]`.
    attended: Slice,
    /// Output of a sub-layer, `[n_slots, n_embd]`.
    outputs: Slice,
    /// Gate and up of a network without experts, `[2, n_hidden]`.
    gate_up: Slice,
    /// Hidden values: `[n_hidden]`, or those of the experts used.
    hidden: Slice,
    /// Router logits, `[n_experts]`.
    router: Slice,
    /// Chosen experts, `[n_used]` u32.
    experts: Slice,
    /// Their weights, `[n_used]`.
    expert_weights: Slice,
    /// Tokens by expert, for steps of many tokens.
    groups: Groups,
    /// What a router without bias adds, `[n_experts]`: zeros.
    no_bias: Slice,
    /// Normed output, `[n_embd]`.
    head_x: Slice,
}

struct Layer {
    attn_norm: Slice,
    qkv: Vec<Matrix>,
    /// Biases of queries, keys and values, then norms of query and key heads; what there is.
    affine: Slice,
    o: Vec<Matrix>,
    ffn_norm: Slice,
    ffn: Ffn,
    cache: Cache,
}

enum Ffn {
    Dense { gate_up: Vec<Matrix>, down: Vec<Matrix> },
    Experts { router: Vec<Matrix>, experts_in: Vec<Shard>, experts_out: Vec<Shard> },
}

impl GroupedForward {
    /// Plans everything for `n_context` positions and steps of up to `n_chunk` tokens, with keys and values of these types.
    pub fn plan(
        arena: &mut Arena,
        uploads: &mut Uploads,
        shape: &Shape,
        weights: &Weights,
        n_context: u32,
        n_chunk: u32,
        types: CacheTypes,
    ) -> Self {
        let n_positions = n_context + MAX_AHEAD;
        let step = arena.words("step", size_of::<Step>() as u64 / 4, Purpose::Scratch);
        let tokens = arena.words("tokens", u64::from(n_positions + 1), Purpose::Cache);
        let rope = arena.words("rope", rope_rows(n_positions) * u64::from(shape.rope.n_dims), Purpose::Weights);
        let layers = weights.layers.iter().enumerate();
        let layers = layers.map(|(index, layer)| Layer::plan(arena, uploads, shape, layer, index, n_positions, types));
        let layers = layers.collect();
        let embed = uploads.stack(arena, &[&weights.embed]);
        let norm = uploads.vector(arena, &weights.norm);
        let head = weights.head.as_ref().map_or_else(|| embed.clone(), |head| uploads.stack(arena, &[head]));
        let scratch = GroupedScratch::plan(arena, shape, n_positions, n_chunk);
        Self { shape: shape.clone(), n_context, step, tokens, scratch, embed, layers, norm, head, rope }
    }

    /// How keys and values are kept.
    pub fn cache_types(&self) -> CacheTypes {
        self.layers.first().map_or_else(CacheTypes::default, |layer| layer.cache.types)
    }

    /// The rotation table, to be written once.
    pub fn table(&self) -> (Slice, Vec<[f32; 2]>) {
        (self.rope, rope::table(&self.shape.rope.frequencies(), self.n_context + MAX_AHEAD))
    }

    /// Records a step of up to `n` tokens through all layers: ids in `tokens`, the stream out.
    pub fn record_body(&self, n: u32) -> Recording {
        let mut recording = Recording::default();
        let scratch = &self.scratch;
        for table in &self.embed {
            embed::record_embed(&mut recording, self.step, self.tokens, table, scratch.stream, 1, n);
        }
        let mut joining = 0;
        for (index, layer) in self.layers.iter().enumerate() {
            recording.layer = Some(index as u32);
            self.record_norm(&mut recording, "attn_norm", layer.attn_norm, joining, n);
            self.record_attention(&mut recording, layer, n);
            let flow = self.norm_flow(layer.ffn_norm, 1, n);
            let flow = add_norm::Flow { has_bias: self.shape.has_output_bias, ..flow };
            add_norm::record_add_norm(&mut recording, "ffn_norm", &flow);
            joining = self.record_ffn(&mut recording, &layer.ffn, n);
        }
        recording.layer = None;
        self.record_norm(&mut recording, "norm", self.norm, joining, n);
        recording
    }

    /// Appends the head over the stream of a step of up to `n` tokens: logits of the last token only, or of all.
    pub fn record_head(&self, recording: &mut Recording, n: u32, last_only: bool) {
        let scratch = &self.scratch;
        let mut x = scratch.x;
        // The body has normed every token; a step of one has its last one in row 0 already.
        if last_only && n > 1 {
            x = scratch.head_x;
            let flow = add_norm::Flow { x, last_only, ..self.norm_flow(self.norm, 0, n) };
            add_norm::record_add_norm(recording, "head_norm", &flow);
        }
        let (shape, max_tokens) = (&self.shape, if last_only { 1 } else { n });
        let logits = Flow { max_tokens, ..self.rows(x, shape.n_embd, scratch.logits, shape.n_vocab, n) };
        record_all(recording, "head", &self.head, logits);
    }

    /// Appends the choice of the next token, which also advances the step.
    pub fn record_sample(&self, recording: &mut Recording) {
        sample::record_sample(recording, self.step, self.scratch.logits, self.tokens, self.shape.n_vocab);
    }

    fn norm_flow(&self, norm: Slice, n_slots: u32, n: u32) -> add_norm::Flow {
        add_norm::Flow {
            step: self.step,
            outputs: self.scratch.outputs,
            n_slots,
            norm,
            has_bias: false,
            stream: self.scratch.stream,
            x: self.scratch.x,
            n_embd: self.shape.n_embd,
            last_only: false,
            eps: self.shape.norm_eps,
            max_tokens: n,
        }
    }

    /// The outputs of the sub-layer before, `joining` of a token, join the stream; the next one's input is normed.
    fn record_norm(&self, recording: &mut Recording, name: &'static str, norm: Slice, joining: u32, n: u32) {
        add_norm::record_add_norm(recording, name, &self.norm_flow(norm, joining, n));
    }

    fn rows(&self, x: Slice, x_stride: u32, y: Slice, y_stride: u32, max_tokens: u32) -> Flow {
        Flow { step: self.step, x, x_stride, y, y_stride, y_offset: 0, y_ring: 0, rows_per_group: 0, max_tokens }
    }

    fn record_attention(&self, recording: &mut Recording, layer: &Layer, n: u32) {
        let (scratch, shape, cache) = (&self.scratch, &self.shape, layer.cache);
        let qkv = self.rows(scratch.x, shape.n_embd, scratch.heads, cache.heads_width(), n);
        record_all(recording, "qkv", &layer.qkv, qkv);
        grouped_heads::record_grouped_heads(
            recording,
            &grouped_heads::Flow {
                step: self.step,
                rope: self.rope,
                rope_pairs: shape.rope.n_pairs(),
                halves: shape.rope.halves,
                rope_scale: shape.rope.scale(),
                affine: layer.affine,
                has_bias: shape.has_bias,
                has_norm: shape.has_head_norm,
                heads: scratch.heads,
                cache,
                eps: shape.norm_eps,
                max_tokens: n,
            },
        );
        grouped_attend::record_grouped_attend(
            recording,
            &grouped_attend::Flow {
                step: self.step,
                heads: scratch.heads,
                cache,
                partial: scratch.partial,
                stats: scratch.stats,
                out: scratch.attended,
                scale: (shape.head_dim as f32).sqrt().recip(),
                max_tokens: n,
            },
        );
        let o = self.rows(scratch.attended, shape.q_width(), scratch.outputs, shape.n_embd, n);
        record_all(recording, "o", &layer.o, o);
    }

    /// Gives how many outputs of a token there are.
    fn record_ffn(&self, recording: &mut Recording, ffn: &Ffn, n: u32) -> u32 {
        let (scratch, shape) = (&self.scratch, &self.shape);
        match (ffn, &shape.experts) {
            (Ffn::Experts { router, experts_in, experts_out }, Some(of)) => {
                let gate = self.rows(scratch.x, shape.n_embd, scratch.router, of.n_experts, n);
                record_all(recording, "gate", router, gate);
                self.record_experts(recording, of, [experts_in, experts_out], n);
                of.n_used
            }
            (Ffn::Dense { gate_up, down }, _) => {
                let n_hidden = shape.n_hidden;
                let flow = self.rows(scratch.x, shape.n_embd, scratch.gate_up, 2 * n_hidden, n);
                record_all(recording, "gate_up", gate_up, flow);
                swiglu::record_swiglu(recording, self.step, scratch.gate_up, scratch.hidden, n_hidden, n);
                let flow = self.rows(scratch.hidden, n_hidden, scratch.outputs, shape.n_embd, n);
                record_all(recording, "down", down, flow);
                1
            }
            (Ffn::Experts { .. }, None) => unreachable!("a shape without experts plans none"),
        }
    }

    fn record_experts(&self, recording: &mut Recording, of: &ExpertsShape, [into, out]: [&[Shard]; 2], n: u32) {
        let scratch = &self.scratch;
        route::record_route(
            recording,
            &route::Flow {
                step: self.step,
                tokens: self.tokens,
                logits: scratch.router,
                bias: scratch.no_bias,
                table: scratch.no_bias,
                hash: false,
                scoring: Scoring::Softmax { normed: of.normed },
                n_vocab: self.shape.n_vocab,
                n_experts: of.n_experts,
                n_used: of.n_used,
                n_shared: 0,
                scale: 1.0,
                experts: scratch.experts,
                weights: scratch.expert_weights,
                max_tokens: n,
            },
        );
        let flow = experts::Flow {
            step: self.step,
            x: scratch.x,
            experts: scratch.experts,
            weights: scratch.expert_weights,
            hidden: scratch.hidden,
            outputs: scratch.outputs,
            n_embd: self.shape.n_embd,
            n_hidden: of.n_hidden,
            n_slots: of.n_used,
            n_shared: 0,
            n_experts: of.n_experts,
            limit: NO_LIMIT,
            groups: None,
            max_tokens: n,
        };
        let flow = record_grouping(recording, flow, scratch.groups);
        into.iter().for_each(|shard| record_experts_in(recording, shard, &flow));
        out.iter().for_each(|shard| record_experts_out(recording, shard, &flow));
    }
}

/// Rows of a rotation table.
fn rope_rows(n_positions: u32) -> u64 {
    256 + u64::from(n_positions.div_ceil(256))
}

impl Layer {
    fn plan(
        arena: &mut Arena,
        uploads: &mut Uploads,
        shape: &Shape,
        from: &grouped::Layer,
        index: usize,
        n_positions: u32,
        types: CacheTypes,
    ) -> Self {
        let affine: Vec<_> = from.bias.iter().flatten().chain(from.head_norm.iter().flatten()).collect();
        let affine = match affine.is_empty() {
            true => arena.words(format!("layers.{index}.affine"), 0, Purpose::Weights),
            false => uploads.vectors(arena, &affine),
        };
        let elements = u64::from(shape.kv_width()) * u64::from(n_positions);
        let mut room = |what: &str, of: CacheType| {
            arena.words(format!("layers.{index}.{what}"), of.words(elements), Purpose::Cache)
        };
        let cache = Cache {
            types,
            keys: room("keys", types.keys),
            values: room("values", types.values),
            n_positions,
            n_heads: shape.n_heads,
            n_kv_heads: shape.n_kv_heads,
            head_dim: shape.head_dim,
        };
        let ffn = match &from.ffn {
            grouped::Ffn::Dense { gate, up, down } => {
                Ffn::Dense { gate_up: uploads.stack(arena, &[gate, up]), down: uploads.stack(arena, &[down]) }
            }
            grouped::Ffn::Experts { router, experts } => Ffn::Experts {
                router: uploads.stack(arena, &[router]),
                experts_in: uploads.experts(arena, &[&experts.gate, &experts.up], 0, experts.n_experts),
                experts_out: uploads.experts(arena, &[&experts.down], 0, experts.n_experts),
            },
        };
        Self {
            attn_norm: uploads.vector(arena, &from.attn_norm),
            qkv: uploads.stack(arena, &[&from.q, &from.k, &from.v]),
            affine,
            o: uploads.stack(arena, &[&from.o]),
            ffn_norm: uploads
                .vectors(arena, &[&from.ffn_norm].into_iter().chain(&from.output_bias).collect::<Vec<_>>()),
            ffn,
            cache,
        }
    }
}

/// Widths that depend on the experts: of a token's outputs, its hidden values and the router's logits.
struct Widths {
    n_slots: u32,
    n_hidden: u32,
    n_experts: u32,
}

impl Widths {
    fn of(shape: &Shape) -> Self {
        let (n_slots, experts_hidden, n_experts) =
            shape.experts.as_ref().map_or((1, 0, 0), |of| (of.n_used, of.n_used * of.n_hidden, of.n_experts));
        Self { n_slots: n_slots.max(1), n_hidden: experts_hidden.max(shape.n_hidden), n_experts }
    }
}

impl GroupedScratch {
    /// The largest step whose largest buffer still fits a binding, and whose scratch stays within 1 GiB.
    pub fn chunk_that_fits(shape: &Shape, binding_bytes: u64, wanted: u32) -> u32 {
        let widths = Widths::of(shape);
        let per_token = [
            u64::from(shape.q_width() + 2 * shape.kv_width()),
            u64::from(shape.q_width()),
            u64::from(shape.n_hidden) * 2,
            u64::from(widths.n_hidden),
            u64::from(widths.n_slots) * u64::from(shape.n_embd),
            u64::from(shape.n_embd) * 2,
        ];
        let largest = per_token.iter().max().map_or(1, |n| n * 4);
        let all = per_token.iter().map(|n| n * 4).sum::<u64>().max(1);
        let fits = (binding_bytes.saturating_sub(256) / largest).min((1 << 30) / all);
        wanted.min(u32::try_from(fits).unwrap_or(u32::MAX)).max(1)
    }

    fn plan(arena: &mut Arena, shape: &Shape, n_positions: u32, n_chunk: u32) -> Self {
        let widths = Widths::of(shape);
        let n_logits = ((32 << 20) / (4 * shape.n_vocab)).clamp(1, n_chunk.min(64));
        // One token's keys are cut into runs, those of more are not.
        let n_runs = u64::from(n_chunk.max(n_splits(1, n_positions))) * u64::from(shape.n_heads);
        let mut rows = |what: &str, n: u64, width: u64| arena.words(what, n * width, Purpose::Scratch);
        let partial = rows("partial", n_runs, u64::from(shape.head_dim));
        let stats = rows("stats", n_runs, 2);
        let logits = rows("logits", u64::from(n_logits), u64::from(shape.n_vocab));
        let mut each = |what: &str, width: u32| rows(what, u64::from(n_chunk), u64::from(width));
        let n_lists = widths.n_experts + 1;
        Self {
            stream: each("stream", shape.n_embd),
            logits,
            n_logits,
            x: each("x", shape.n_embd),
            heads: each("heads", shape.q_width() + 2 * shape.kv_width()),
            partial,
            stats,
            attended: each("attended", shape.q_width()),
            outputs: each("outputs", widths.n_slots * shape.n_embd),
            gate_up: each("gate_up", 2 * shape.n_hidden),
            hidden: each("hidden", widths.n_hidden),
            router: each("router", widths.n_experts),
            experts: each("experts", widths.n_slots),
            expert_weights: each("expert_weights", widths.n_slots),
            groups: Groups { lists: each("expert_lists", n_lists), counts: each("expert_counts", n_lists) },
            no_bias: each("no_bias", widths.n_experts),
            head_x: each("head_x", shape.n_embd),
        }
    }
}
