//! Gated delta nets, and the gated attention that stands among them. A net keeps a state of one size, which every token
//! changes: it cannot be gone back in, only copied and put back.

use crate::gpu::{Arena, Purpose, Recording, Slice};
use crate::kernels::cache::CacheTypes;
use crate::kernels::delta_rule;
use crate::kernels::grouped_attend;
use crate::kernels::grouped_heads::{self, Cache};
use crate::kernels::{Matrix, delta_conv, delta_heads, gated_norm, sigmoid_gate};
use crate::model::delta::{self, Mixer, Shape, Weights};
use crate::model::grouped::Activation;

use super::decoder::{Decoder, chunk_that_fits, n_positions};
use super::heads::{Heads, Scratch};
use super::state::{Recurrent, State};
use super::step::record_all;
use super::sublayer::{Attention, LayerOutline, Outline, Sublayer};
use crate::engine::load::upload::Uploads;

/// Plans a model for `n_context` positions and steps of `wanted` tokens, or as many as fit the adapter's bindings; gives
/// how many those are. `types` says how keys and values of attention are kept; states of nets are f32.
pub(in crate::engine) fn plan(
    arena: &mut Arena,
    uploads: &mut Uploads,
    (shape, weights): (&Shape, &Weights),
    [n_context, wanted]: [u32; 2],
    types: CacheTypes,
    binding_bytes: u64,
) -> (Decoder, u32) {
    let outline = outline(shape, weights);
    let Shape { n_heads, n_kv_heads, head_dim, .. } = *shape;
    let attention = Heads { n_heads, n_kv_heads, head_dim, n_positions: n_positions(n_context), types };
    let mut widths = attention.widths().to_vec();
    widths.extend([shape.q_width(), projections_width(shape), shape.net.n_channels()].map(u64::from));
    let n_chunk = chunk_that_fits(&outline, &widths, binding_bytes, wanted);
    let attended = attention.scratch(arena, n_chunk);
    let gates = arena.words("attn_gate", u64::from(n_chunk) * u64::from(shape.q_width()), Purpose::Scratch);
    let scratch = NetScratch::plan(arena, shape, n_chunk);
    let mut mixer = |arena: &mut Arena, uploads: &mut Uploads, index: usize| match &weights.layers[index].mixer {
        Mixer::Attention { q, gate, k, v, head_norm, o } => {
            let cache = attention.cache(arena, index);
            let heads = uploads.stack(arena, &[q, k, v]);
            Box::new(GatedAttention {
                heads,
                gate: uploads.stack(arena, &[gate]),
                norms: uploads.vectors(arena, &head_norm.each_ref()),
                o: uploads.stack(arena, &[o]),
                cache,
                rope_pairs: shape.rope.n_pairs(),
                rope_scale: shape.rope.scale(),
                scratch: attended,
                gates,
            }) as Box<dyn Attention>
        }
        Mixer::Net { qkv, z, b, a, taps, decay, bias, norm, o } => {
            let mut state = |what: &str, n: u64| Recurrent::plan(arena, &format!("layers.{index}.{what}"), n);
            let heads = net_heads(shape);
            let states = [
                state("tail", u64::from(heads.n_channels()) * u64::from(shape.net.n_taps - 1)),
                state("state", heads.state_len()),
            ];
            Box::new(Net {
                project: uploads.stack(arena, &[qkv, z, b, a]),
                taps: uploads.vector(arena, taps),
                affine: uploads.vectors(arena, &[decay, bias]),
                norm: uploads.vector(arena, norm),
                o: uploads.stack(arena, &[o]),
                states,
                heads,
                n_taps: shape.net.n_taps,
                scratch,
            })
        }
    };
    (Decoder::plan(arena, uploads, &outline, [n_context, n_chunk], types, &mut mixer), n_chunk)
}

fn outline<'a>(shape: &'a Shape, weights: &'a Weights) -> Outline<'a> {
    let layer = |layer: &'a delta::Layer| LayerOutline {
        attn_norm: &layer.attn_norm,
        output_bias: None,
        ffn_norm: &layer.ffn_norm,
        post_norms: None,
        turns_apart: false,
        ffn: &layer.ffn,
    };
    Outline {
        n_vocab: shape.n_vocab,
        n_embd: shape.n_embd,
        n_hidden: shape.n_hidden,
        experts: shape.experts.as_ref(),
        rope: &shape.rope,
        local_rope: None,
        embed_scale: 1.0,
        activation: Activation::Silu,
        eps: shape.norm_eps,
        embed: &weights.embed,
        head: weights.head.as_ref(),
        norm: &weights.norm,
        layers: weights.layers.iter().map(layer).collect(),
    }
}

fn net_heads(shape: &Shape) -> delta_rule::Heads {
    let net = &shape.net;
    delta_rule::Heads {
        n_key_heads: net.n_key_heads,
        n_value_heads: net.n_value_heads,
        key_dim: net.key_dim,
        value_dim: net.value_dim,
        is_tiled: shape.is_gguf,
    }
}

/// Width of what a net makes of its input: queries, keys and values, the gate on its output, and two gates of each head.
fn projections_width(shape: &Shape) -> u32 {
    shape.net.n_channels() + shape.net.value_width() + 2 * shape.net.n_value_heads
}

struct GatedAttention {
    heads: Vec<Matrix>,
    gate: Vec<Matrix>,
    /// Norms of query and of key heads.
    norms: Slice,
    o: Vec<Matrix>,
    cache: Cache,
    rope_pairs: u32,
    rope_scale: f32,
    scratch: Scratch,
    /// The gate on the output, `[n_chunk, n_heads * head_dim]`, shared by all layers.
    gates: Slice,
}

impl Attention for GatedAttention {
    fn held(&self, n: u32) -> Vec<Slice> {
        self.cache.held(n).collect()
    }

    fn record(&self, recording: &mut Recording, at: &Sublayer) {
        let (scratch, cache) = (&self.scratch, self.cache);
        let width = cache.n_heads * cache.head_dim;
        record_all(recording, "qkv", &self.heads, at.rows(at.x, at.n_embd, scratch.heads, cache.heads_width()));
        record_all(recording, "attn_gate", &self.gate, at.rows(at.x, at.n_embd, self.gates, width));
        grouped_heads::record_grouped_heads(
            recording,
            &grouped_heads::Flow {
                step: at.step,
                rope: at.rope,
                rope_pairs: self.rope_pairs,
                halves: true,
                rope_scale: self.rope_scale,
                affine: self.norms,
                has_bias: false,
                has_norm: true,
                heads: scratch.heads,
                queries: scratch.queries,
                cache,
                eps: at.eps,
                max_tokens: at.n,
            },
        );
        grouped_attend::record_grouped_attend(
            recording,
            &grouped_attend::Flow {
                step: at.step,
                heads: scratch.queries,
                heads_stride: cache.n_heads * cache.head_dim,
                cache,
                window: None,
                sinks: None,
                partial: scratch.partial,
                stats: scratch.stats,
                out: scratch.attended,
                scale: (cache.head_dim as f32).sqrt().recip(),
                max_tokens: at.n,
            },
        );
        let (step, max_tokens) = (at.step, at.n);
        let gated = sigmoid_gate::Flow { step, gates: self.gates, values: scratch.attended, width, run: 1, max_tokens };
        sigmoid_gate::record_sigmoid_gate(recording, "attn_gated", &gated);
        record_all(recording, "o", &self.o, at.rows(scratch.attended, width, at.outputs, at.n_embd));
    }
}

/// The values of one step that layers with a net share; `[n_chunk, …]` each, f32.
#[derive(Clone, Copy)]
struct NetScratch {
    /// What is made of the layer's input, `[projections_width]`.
    projections: Slice,
    /// Queries, keys and values after the convolution, `[n_channels]`.
    y: Slice,
    /// What is kept of a head's state, and what is written, `[n_value_heads, 2]`.
    gates: Slice,
    /// What is read of the states, `[n_value_heads * value_dim]`.
    read: Slice,
    /// That after norm and gate.
    normed: Slice,
}

impl NetScratch {
    fn plan(arena: &mut Arena, shape: &Shape, n_chunk: u32) -> Self {
        let mut rows =
            |what: &str, width: u32| arena.words(what, u64::from(n_chunk) * u64::from(width), Purpose::Scratch);
        Self {
            projections: rows("projections", projections_width(shape)),
            y: rows("convolved", shape.net.n_channels()),
            gates: rows("gates", 2 * shape.net.n_value_heads),
            read: rows("read", shape.net.value_width()),
            normed: rows("normed", shape.net.value_width()),
        }
    }
}

struct Net {
    /// Makes queries, keys and values, the gate on the output, and the two gates of each head.
    project: Vec<Matrix>,
    taps: Slice,
    /// Decay of each head, and the bias of what it is multiplied by.
    affine: Slice,
    norm: Slice,
    o: Vec<Matrix>,
    /// The convolution's last rows, and the states of the heads.
    states: [Recurrent; 2],
    heads: delta_rule::Heads,
    n_taps: u32,
    scratch: NetScratch,
}

impl Attention for Net {
    fn held(&self, _: u32) -> Vec<Slice> {
        self.states.iter().flat_map(Recurrent::held).collect()
    }

    fn states(&self) -> Vec<State> {
        self.states.map(State::Recurrent).to_vec()
    }

    fn record(&self, recording: &mut Recording, at: &Sublayer) {
        let (scratch, heads, [tail, state]) = (&self.scratch, self.heads, self.states);
        let (step, max_tokens) = (at.step, at.n);
        let (n_channels, values) = (heads.n_channels(), heads.value_width());
        let stride = n_channels + values + 2 * heads.n_value_heads;
        record_all(recording, "project", &self.project, at.rows(at.x, at.n_embd, scratch.projections, stride));
        delta_conv::record_delta_conv(
            recording,
            &delta_conv::Flow {
                step,
                projections: scratch.projections,
                stride,
                taps: self.taps,
                n_taps: self.n_taps,
                tail: tail.live(),
                y: scratch.y,
                n_channels,
                max_tokens,
            },
        );
        delta_heads::record_delta_heads(
            recording,
            &delta_heads::Flow {
                step,
                projections: scratch.projections,
                stride,
                b_at: n_channels + values,
                a_at: n_channels + values + heads.n_value_heads,
                affine: self.affine,
                y: scratch.y,
                y_stride: n_channels,
                gates: scratch.gates,
                n_key_heads: heads.n_key_heads,
                n_value_heads: heads.n_value_heads,
                head_dim: heads.key_dim,
                max_tokens,
            },
        );
        let (gates, y) = (scratch.gates, scratch.y);
        let rule = delta_rule::Flow { step, y, gates, state: state.live(), out: scratch.read, heads, max_tokens };
        delta_rule::record_delta_rule(recording, &rule);
        gated_norm::record_gated_norm(
            recording,
            &gated_norm::Flow {
                step,
                x: scratch.read,
                projections: scratch.projections,
                z_stride: stride,
                z_at: n_channels,
                norm: self.norm,
                y: scratch.normed,
                n_heads: heads.n_value_heads,
                head_dim: heads.value_dim,
                eps: at.eps,
                max_tokens,
            },
        );
        record_all(recording, "o", &self.o, at.rows(scratch.normed, values, at.outputs, at.n_embd));
    }
}
