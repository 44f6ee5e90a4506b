//! The shape of a V4 model: everything that the architecture leaves open, as one value. Read from the keys of a
//! GGUF or from a `config.json`, checked once; a [`Shape`] that passed need not be checked again.
//!
//! What V4 fixes has no field: four residual streams, one key-value head that is both key and value, one shared
//! expert, ratios out of 0, 4 and 128, a router of sqrt(softplus) with weights normed to one.

mod check;
pub(super) mod config;
mod export;
pub(super) mod gguf;
pub(super) mod keys;
mod rope;

use std::ops::Range;

/// Residual streams; the hyper-connections of V4 always have four.
pub const N_STREAMS: u32 = 4;
/// Tokens in one entry of a layer with compressed sparse attention: entries overlap, and an indexer selects them.
pub const RATIO_SPARSE: u32 = 4;
/// Tokens in one entry of a layer with heavily compressed attention: no overlap, no indexer.
pub const RATIO_HEAVY: u32 = 128;
/// The limit of a layer whose SwiGLU is not clamped: clamping to it changes nothing, and it is finite.
pub const NO_LIMIT: f32 = f32::MAX;

/// YaRN's stretching of the rotary frequencies of compressed layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// How many times longer the context became; 1 leaves the frequencies as they are.
    pub factor: f64,
    /// Context before, in tokens.
    pub original: u32,
    /// Turns within the original context above which a pair keeps its frequency.
    pub beta_fast: f64,
    /// Turns below which its frequency is divided by `factor`.
    pub beta_slow: f64,
    /// Whether the pairs between which frequencies are interpolated are rounded to whole ones, apart from each other.
    pub rounds: bool,
}

/// What a V4 model may choose. Widths are counts of elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Tokens in the vocabulary.
    pub n_vocab: u32,
    /// Width of a residual stream.
    pub n_embd: u32,
    /// Query heads.
    pub n_heads: u32,
    /// Width of a head, and of the one key that is also the value.
    pub head_dim: u32,
    /// How many dims at the end of a head are rotated, in adjacent pairs.
    pub rope_dims: u32,
    /// Width of the latent that queries are made from.
    pub q_lora: u32,
    /// Groups of adjacent heads in the output projection.
    pub o_groups: u32,
    /// Width that the output projection takes each group to.
    pub o_lora: u32,
    /// Tokens that attention sees uncompressed, the query's own among them.
    pub window: u32,
    /// Tokens to a compressed entry, for each layer: 0 (none), [`RATIO_SPARSE`] or [`RATIO_HEAVY`]. Layers of
    /// multi-token prediction are not among them.
    pub ratios: Vec<u32>,
    /// Heads of the indexer.
    pub index_heads: u32,
    /// Width of an indexer's head and of its keys.
    pub index_head_dim: u32,
    /// How many compressed entries the indexer lets a query see.
    pub index_top_k: u32,
    /// Routed experts in a layer.
    pub n_experts: u32,
    /// Routed experts that a token uses.
    pub n_used: u32,
    /// Hidden width of an expert, routed or shared.
    pub n_hidden: u32,
    /// How many layers, from the first, route by token id.
    pub n_hash_layers: u32,
    /// What the normed weights of the routed experts are multiplied by.
    pub routed_scale: f32,
    /// For each layer, where SwiGLU is clamped in routed experts: gate to at most this, up to both sides of it.
    /// [`NO_LIMIT`] where it is not.
    pub swiglu_limit: Vec<f32>,
    /// The same for the shared expert.
    pub swiglu_limit_shared: Vec<f32>,
    /// Rounds of Sinkhorn's normalization in the hyper-connections.
    pub sinkhorn_iterations: u32,
    /// Added in the hyper-connections where something might vanish.
    pub hyper_eps: f32,
    /// Added to the mean square in every norm.
    pub norm_eps: f32,
    /// Base of the rotary frequencies in layers of ratio 0, which YaRN does not touch.
    pub rope_base: f64,
    /// Base of the rotary frequencies in compressed layers, for all that is rotated there.
    pub compress_rope_base: f64,
    /// What stretches the frequencies of compressed layers.
    pub yarn: Yarn,
    /// The longest context, in tokens, that the model was made for.
    pub context_length: u32,
    /// The token that begins a text. As the file has it: it may name no token of the vocabulary.
    pub bos: u32,
    /// The token that ends one; likewise.
    pub eos: u32,
}

/// The rows of all that a layer computes from its normed input, as if they were one matrix, in this order. What a
/// layer does not have is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The query's latent, `[q_lora]`.
    pub q_a: Range<u32>,
    /// The window's key and value, `[head_dim]`.
    pub kv: Range<u32>,
    /// The compressor's values, `[overlap * head_dim]`.
    pub compress_kv: Range<u32>,
    /// The compressor's scores, as many.
    pub compress_gate: Range<u32>,
    /// The indexer's weights of its heads, `[index_heads]`.
    pub index_weights: Range<u32>,
    /// The values of the indexer's compressor, `[overlap * index_head_dim]`.
    pub index_kv: Range<u32>,
    /// Its scores, as many.
    pub index_gate: Range<u32>,
}

impl Projection {
    /// All rows together.
    #[must_use]
    pub fn n_rows(&self) -> u32 {
        self.index_gate.end
    }
}

impl Shape {
    /// Layers, those of multi-token prediction not counted.
    #[must_use]
    pub fn n_layers(&self) -> usize {
        self.ratios.len()
    }

    /// Whether a layer has a compressor, and with it the compressed layers' rotary frequencies.
    #[must_use]
    pub fn is_compressed(&self, layer: usize) -> bool {
        self.ratios[layer] != 0
    }

    /// Whether a layer has an indexer.
    #[must_use]
    pub fn has_indexer(&self, layer: usize) -> bool {
        self.ratios[layer] == RATIO_SPARSE
    }

    /// Whether a layer routes by token id.
    #[must_use]
    pub fn is_hash_layer(&self, layer: usize) -> bool {
        layer < self.n_hash_layers as usize
    }

    /// How many entries each token of a layer contributes to: two where they overlap, one where they do not, none
    /// without a compressor. A compressor is that many times as wide as its entries.
    #[must_use]
    pub fn overlap(&self, layer: usize) -> u32 {
        match self.ratios[layer] {
            0 => 0,
            RATIO_SPARSE => 2,
            _ => 1,
        }
    }

    /// Width of all query heads.
    #[must_use]
    pub fn q_width(&self) -> u32 {
        self.n_heads * self.head_dim
    }

    /// Width of the heads of one output group.
    #[must_use]
    pub fn group_width(&self) -> u32 {
        self.q_width() / self.o_groups
    }

    /// Width between the two output projections.
    #[must_use]
    pub fn o_width(&self) -> u32 {
        self.o_groups * self.o_lora
    }

    /// Width of all heads of the indexer.
    #[must_use]
    pub fn index_width(&self) -> u32 {
        self.index_heads * self.index_head_dim
    }

    /// What a layer computes from its normed input.
    #[must_use]
    pub fn projection(&self, layer: usize) -> Projection {
        let overlap = self.overlap(layer);
        let (index_heads, index_width) =
            if self.has_indexer(layer) { (self.index_heads, overlap * self.index_head_dim) } else { (0, 0) };
        let mut end = 0;
        let mut next = |n_rows: u32| {
            let begin = end;
            end += n_rows;
            begin..end
        };
        Projection {
            q_a: next(self.q_lora),
            kv: next(self.head_dim),
            compress_kv: next(overlap * self.head_dim),
            compress_gate: next(overlap * self.head_dim),
            index_weights: next(index_heads),
            index_kv: next(index_width),
            index_gate: next(index_width),
        }
    }
}
