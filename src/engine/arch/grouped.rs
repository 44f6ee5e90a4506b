//! Grouped-query attention: of each position keys and values of a few heads, each of which serves several query heads.

use crate::gpu::{Arena, Purpose, Recording, Slice};
use crate::kernels::Matrix;
use crate::kernels::cache::CacheTypes;
use crate::kernels::grouped_attend;
use crate::kernels::grouped_heads::{self, Cache};
use crate::model::grouped::{self, Mixer, Shape, Turn, Weights};

use super::decoder::{Decoder, chunk_that_fits, n_positions};
use super::heads::{Heads, Scratch};
use super::short_conv::{self, ShortConv};
use super::step::record_all;
use super::sublayer::{Attention, LayerOutline, Outline, Sublayer};
use crate::engine::load::upload::Uploads;

/// Plans a model for `n_context` positions and steps of `wanted` tokens, or as many as fit the adapter's bindings; gives
/// how many those are.
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
    let heads = Heads { n_heads, n_kv_heads, head_dim, n_positions: n_positions(n_context), types };
    let mut widths = heads.widths().to_vec();
    widths.extend(short_conv::widths(shape));
    let n_chunk = chunk_that_fits(&outline, &widths, binding_bytes, wanted);
    let scratch = heads.scratch(arena, n_chunk);
    let of_convolutions = short_conv::Scratch::plan(arena, shape, n_chunk);
    let mut attention = |arena: &mut Arena, uploads: &mut Uploads, index: usize| {
        let layer: Box<dyn Attention> = match &weights.layers[index].mixer {
            Mixer::Attention(from) => {
                let cache = heads.cache(arena, index);
                Box::new(GroupedAttention::plan(arena, uploads, shape, from, (index, cache), scratch))
            }
            Mixer::Convolution(from) => Box::new(ShortConv::plan(arena, uploads, from, index, of_convolutions)),
        };
        layer
    };
    (Decoder::plan(arena, uploads, &outline, [n_context, n_chunk], types, &mut attention), n_chunk)
}

fn outline<'a>(shape: &'a Shape, weights: &'a Weights) -> Outline<'a> {
    let layer = |(index, layer): (usize, &'a grouped::Layer)| LayerOutline {
        attn_norm: &layer.attn_norm,
        output_bias: layer.output_bias.as_ref(),
        ffn_norm: &layer.ffn_norm,
        post_norms: layer.post_norms.as_ref(),
        turns_apart: shape.kind(index).turn == Turn::Local,
        ffn: &layer.ffn,
    };
    Outline {
        n_vocab: shape.n_vocab,
        n_embd: shape.n_embd,
        n_hidden: shape.n_hidden,
        experts: shape.experts.as_ref(),
        rope: &shape.rope,
        local_rope: shape.local_rope.as_ref(),
        embed_scale: shape.embed_scale,
        activation: shape.activation,
        eps: shape.norm_eps,
        embed: &weights.embed,
        head: weights.head.as_ref(),
        norm: &weights.norm,
        layers: weights.layers.iter().enumerate().map(layer).collect(),
    }
}

struct GroupedAttention {
    qkv: Vec<Matrix>,
    /// Biases of queries, keys and values, then norms of query and key heads; what there is.
    affine: Slice,
    has_bias: bool,
    has_norm: bool,
    o: Vec<Matrix>,
    cache: Cache,
    /// None where the layer does not turn its heads.
    rope_pairs: u32,
    halves: bool,
    rope_scale: f32,
    window: Option<u32>,
    sinks: Option<Slice>,
    scale: f32,
    scratch: Scratch,
}

impl GroupedAttention {
    fn plan(
        arena: &mut Arena,
        uploads: &mut Uploads,
        shape: &Shape,
        from: &grouped::Attention,
        (index, cache): (usize, Cache),
        scratch: Scratch,
    ) -> Self {
        let affine: Vec<_> = from.bias.iter().flatten().chain(from.head_norm.iter().flatten()).collect();
        let affine = match affine.is_empty() {
            true => arena.words(format!("layers.{index}.affine"), 0, Purpose::Weights),
            false => uploads.vectors(arena, &affine),
        };
        let kind = shape.kind(index);
        let (rope_pairs, rope_scale) = match (kind.turn, &shape.local_rope) {
            (Turn::Not, _) => (0, 1.0),
            (Turn::Local, Some(rope)) => (rope.n_pairs(), rope.scale()),
            (Turn::Main | Turn::Local, _) => (shape.rope.n_pairs(), shape.rope.scale()),
        };
        Self {
            qkv: uploads.stack(arena, &[&from.q, &from.k, &from.v]),
            affine,
            has_bias: shape.has_bias,
            has_norm: shape.has_head_norm,
            o: uploads.stack(arena, &[&from.o]),
            cache,
            rope_pairs,
            halves: shape.rope.halves,
            rope_scale,
            window: kind.window,
            sinks: from.sinks.as_ref().map(|sinks| uploads.vector(arena, sinks)),
            scale: shape.attention_scale,
            scratch,
        }
    }
}

impl Attention for GroupedAttention {
    fn held(&self, n: u32) -> Vec<Slice> {
        self.cache.held(n).collect()
    }

    fn record(&self, recording: &mut Recording, at: &Sublayer) {
        let (scratch, cache) = (&self.scratch, self.cache);
        record_all(recording, "qkv", &self.qkv, at.rows(at.x, at.n_embd, scratch.heads, cache.heads_width()));
        grouped_heads::record_grouped_heads(
            recording,
            &grouped_heads::Flow {
                step: at.step,
                rope: at.rope,
                rope_pairs: self.rope_pairs,
                halves: self.halves,
                rope_scale: self.rope_scale,
                affine: self.affine,
                has_bias: self.has_bias,
                has_norm: self.has_norm,
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
                partial: scratch.partial,
                stats: scratch.stats,
                out: scratch.attended,
                window: self.window,
                sinks: self.sinks,
                scale: self.scale,
                max_tokens: at.n,
            },
        );
        let width = cache.n_heads * cache.head_dim;
        record_all(recording, "o", &self.o, at.rows(scratch.attended, width, at.outputs, at.n_embd));
    }
}
