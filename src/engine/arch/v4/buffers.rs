//! The buffers beside the weights: the state of each layer, and the values of one step.
//! V4's state is addressed by position alone, so it needs no clearing, and tokens computed too far ahead can be forgotten.

use std::ops::Range;

use crate::engine::arch::ring::Ring;
use crate::gpu::{Arena, Purpose, Slice};
use crate::kernels::experts::Groups;
use crate::kernels::hyper_mix::n_mix;
use crate::model::shape::{Projection, Shape};

/// What a layer keeps from step to step.
#[derive(Clone, Debug)]
pub struct LayerState {
    /// 0, 4 or 128.
    pub ratio: u32,
    /// Which rows of the stacked matrices are which projection.
    pub layout: Projection,
    /// What queries and keys are made of.
    pub projections: Projections,
    /// What entries are made of, and the weights of the indexer's heads. The same buffer, or another where two products write
    /// them: those in one would wait for each other.
    pub pooled: Projections,
    /// Ring `[window_ring, head_dim]` over positions: keys (= values) after norm and rotation.
    pub window: Slice,
    /// Rows of the ring: the window and one step.
    pub window_ring: u32,
    /// Compressed entries `[n_entries, head_dim]`; the window's slice where the layer has none.
    pub entries: Slice,
    /// Indexer keys `[n_entries, index_head_dim]`; the window's slice where the layer has none.
    pub index_keys: Slice,
    /// Entries that fit the context.
    pub n_entries: u32,
    /// Numbers in an entry and in an indexer key.
    widths: [u32; 2],
    /// The rings above that a token looks back on; entries and keys are only ever added to.
    pub rings: Vec<Ring>,
}

/// A ring `[ring, stride]` over positions: a step's projections, and as many earlier ones as somebody looks back on.
#[derive(Clone, Copy, Debug)]
pub struct Projections {
    /// The values, f32.
    pub values: Slice,
    /// Elements in a row, a multiple of 4.
    pub stride: u32,
    /// Rows.
    pub ring: u32,
    /// The first row of the stacked matrices whose results these are.
    first: u32,
}

impl Projections {
    /// The element of a row that has the result of a row of the stacked matrices.
    pub fn at(&self, row: u32) -> u32 {
        row - self.first
    }
}

impl LayerState {
    /// Plans a layer's state for `n_context` positions and steps of up to `n_chunk` tokens, with what is pooled in a buffer of
    /// its own or not.
    pub fn plan(arena: &mut Arena, shape: &Shape, layer: usize, [n_context, n_chunk]: [u32; 2], apart: bool) -> Self {
        let ratio = shape.ratios[layer];
        let layout = shape.projection(layer);
        let look_back = match ratio {
            0 => 0,
            4 => 8,
            ratio => ratio,
        };
        let window_ring = shape.window + n_chunk;
        let mut words = |what: &str, rows: u32, width: u32| {
            let label = format!("layers.{layer}.{what}");
            arena.words(label, u64::from(rows) * u64::from(width), Purpose::Cache)
        };
        let mut projections = |what: &str, ring: u32, rows: Range<u32>| {
            let stride = (rows.end - rows.start).next_multiple_of(4);
            Projections { values: words(what, ring, stride), stride, ring, first: rows.start }
        };
        let (own, all, ring) = (layout.kv.end, layout.n_rows(), n_chunk + look_back);
        let (projections, pooled) = if apart {
            (projections("projections", n_chunk, 0..own), projections("pooled", ring, own..all))
        } else {
            let whole = projections("projections", ring, 0..all);
            (whole, whole)
        };
        let window = words("window", window_ring, shape.head_dim);
        let n_entries = n_context.checked_div(ratio).map_or(0, |n| n + 1);
        let entries = if ratio > 0 { words("entries", n_entries, shape.head_dim) } else { window };
        let index_keys = if ratio == 4 { words("index_keys", n_entries, shape.index_head_dim) } else { window };
        let mut ring = |what: &str, rows, (look_back, stride)| {
            Ring::plan(arena, &format!("layers.{layer}.{what}"), rows, (look_back, stride), n_chunk)
        };
        let mut rings = vec![ring("window", window, (shape.window, shape.head_dim))];
        if look_back > 0 {
            rings.push(ring("pooled", pooled.values, (look_back, pooled.stride)));
        }
        Self {
            ratio,
            layout,
            projections,
            pooled,
            window,
            window_ring,
            entries,
            index_keys,
            n_entries,
            widths: [shape.head_dim, shape.index_head_dim],
            rings,
        }
    }
}

impl LayerState {
    /// The first `n` compressed entries, or all.
    pub fn first_entries(&self, n: u32) -> Slice {
        let bytes = u64::from(n) * u64::from(self.widths[0]) * 4;
        Slice { bytes: bytes.min(self.entries.bytes), ..self.entries }
    }

    /// What a text of `n` tokens left here: the rings, and the entries and keys that it filled.
    pub fn held(&self, n: u32) -> Vec<Slice> {
        let n_entries = n.checked_div(self.ratio).map_or(0, |n| n.min(self.n_entries));
        let filled = |of: Slice, width: u32| Slice { bytes: u64::from(n_entries) * u64::from(width) * 4, ..of };
        let mut held: Vec<Slice> = self.rings.iter().flat_map(Ring::held).collect();
        held.extend((self.ratio > 0).then(|| filled(self.entries, self.widths[0])));
        held.extend((self.ratio == 4).then(|| filled(self.index_keys, self.widths[1])));
        held
    }
}

/// The values of one step, shared by all layers; `[n_chunk, …]` each.
#[derive(Clone, Copy, Debug)]
pub struct Scratch {
    /// Residual streams before and after a sub-layer, `[4, n_embd]` f32.
    pub streams: [Slice; 2],
    /// Unscaled mixing coefficients, `[24]` or parts of them.
    pub mix: Slice,
    /// pre | post | comb, `[24]`.
    pub coefficients: Slice,
    /// Normalised input of a sub-layer, `[n_embd]`.
    pub x: Slice,
    /// Normalised latent query, `[q_lora]`.
    pub qr: Slice,
    /// Queries of heads, then of index heads.
    pub queries: Slice,
    /// Elements in a row of `queries`.
    pub queries_stride: u32,
    /// Index scores, `[n_index_entries]`.
    pub index_scores: Slice,
    /// Entries that fit the context in a layer of ratio 4.
    pub n_index_entries: u32,
    /// Selected entries, `[index_top_k]` u32.
    pub selected: Slice,
    /// Attention scores, `[n_heads, scores_stride]`.
    pub scores: Slice,
    /// Keys that a query sees at most, and the sink.
    pub scores_stride: u32,
    /// Attention output of the heads, `[n_heads, head_dim]`.
    pub attended: Slice,
    /// Latent output of the groups, `[o_groups, o_lora]`.
    pub o_latent: Slice,
    /// Output of a sub-layer, `[n_slots, n_embd]`.
    pub outputs: Slice,
    /// Router logits, `[n_experts]`.
    pub router: Slice,
    /// Chosen experts, `[n_slots]` u32.
    pub experts: Slice,
    /// Their weights, `[n_slots]`.
    pub expert_weights: Slice,
    /// Hidden values of the experts, `[n_slots, n_hidden]`.
    pub hidden: Slice,
    /// Gate and up of a shared expert that is a network of its own, `[2, n_hidden]`.
    pub shared_gate_up: Slice,
    /// Its hidden values, `[n_hidden]`.
    pub shared_hidden: Slice,
    /// Tokens by expert, for steps of many tokens.
    pub groups: Groups,
    /// Collapsed and normalised output, `[n_embd]`.
    pub head_x: Slice,
    /// Logits, `[n_logits, n_vocab]`.
    pub logits: Slice,
    /// Tokens whose logits fit.
    pub n_logits: u32,
}

impl Scratch {
    /// Slots of a token in the experts' buffers: those routed to, and the shared one.
    pub fn n_slots(shape: &Shape) -> u32 {
        shape.n_used + 1
    }

    /// Keys that a query sees at most.
    fn keys(shape: &Shape, n_context: u32) -> u32 {
        let entries = |ratio: &u32| match *ratio {
            0 => 0,
            4 => (n_context / 4).min(shape.index_top_k),
            ratio => n_context / ratio,
        };
        shape.window + shape.ratios.iter().map(entries).max().unwrap_or(0)
    }

    /// Elements of a token's queries: heads, then index heads.
    fn queries_stride(shape: &Shape) -> u32 {
        let has_index = shape.ratios.contains(&4);
        shape.n_heads * shape.head_dim + if has_index { shape.index_heads * shape.index_head_dim } else { 0 }
    }

    /// The largest step whose largest buffer still fits a binding, and whose scratch stays within 1 GiB.
    pub fn chunk_that_fits(shape: &Shape, n_context: u32, binding_bytes: u64, wanted: u32) -> u32 {
        let slots = u64::from(Self::n_slots(shape));
        let heads = u64::from(shape.n_heads);
        let per_token = [
            heads * u64::from(Self::keys(shape, n_context) + 1),
            u64::from(Self::queries_stride(shape)),
            u64::from(shape.o_groups * shape.o_lora),
            u64::from(n_context) / 4 + 1,
            slots * u64::from(shape.n_hidden.max(shape.n_embd)),
            u64::from(shape.n_embd) * 8,
        ];
        let largest = per_token.iter().max().map_or(1, |n| n * 4);
        let all: u64 = per_token.iter().map(|n| n * 4).sum::<u64>();
        let fits = ((binding_bytes - 256) / largest).min((1 << 30) / all.max(1));
        wanted.min(u32::try_from(fits).unwrap_or(u32::MAX)).max(1)
    }

    /// Plans the values of steps of up to `n_chunk` tokens, with shared experts that are networks of their own or not.
    pub fn plan(arena: &mut Arena, shape: &Shape, [n_context, n_chunk]: [u32; 2], has_networks: bool) -> Self {
        let n_slots = Self::n_slots(shape);
        let n_logits = ((32 << 20) / (4 * shape.n_vocab)).clamp(1, n_chunk.min(64));
        let mix = arena.words("mix", u64::from(n_mix(n_chunk)), Purpose::Scratch);
        let mut rows = |what: &str, n: u32, width: u64| arena.words(what, u64::from(n) * width, Purpose::Scratch);
        let mut each = |what: &str, width: u32| rows(what, n_chunk, u64::from(width));
        let has_index = shape.ratios.contains(&4);
        let queries_stride = Self::queries_stride(shape);
        let n_index_entries = if has_index { n_context / 4 + 1 } else { 0 };
        let scores_stride = Self::keys(shape, n_context) + 1;
        let n_lists = shape.n_experts + 1;
        let n_shared = if has_networks { shape.n_hidden } else { 0 };
        Self {
            streams: [each("streams", 4 * shape.n_embd), each("streams", 4 * shape.n_embd)],
            mix,
            coefficients: each("coefficients", 24),
            x: each("x", shape.n_embd),
            qr: each("qr", shape.q_lora),
            queries: each("queries", queries_stride),
            queries_stride,
            index_scores: each("index_scores", n_index_entries),
            n_index_entries,
            selected: each("selected", if has_index { shape.index_top_k } else { 0 }),
            scores: each("scores", shape.n_heads * scores_stride),
            scores_stride,
            attended: each("attended", shape.n_heads * shape.head_dim),
            o_latent: each("o_latent", shape.o_groups * shape.o_lora),
            outputs: each("outputs", n_slots * shape.n_embd),
            router: each("router", shape.n_experts),
            experts: each("experts", n_slots),
            expert_weights: each("expert_weights", n_slots),
            hidden: each("hidden", n_slots * shape.n_hidden),
            shared_gate_up: each("shared_gate_up", 2 * n_shared),
            shared_hidden: each("shared_hidden", n_shared),
            groups: Groups { lists: each("expert_lists", n_lists), counts: each("expert_counts", n_lists) },
            head_x: each("head_x", shape.n_embd),
            logits: rows("logits", n_logits, u64::from(shape.n_vocab)),
            n_logits,
        }
    }
}
