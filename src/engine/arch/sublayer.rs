//! What the parts of a decoder share: a model as planning sees it, and a sub-layer as recording does.

use crate::gpu::{Recording, Slice};
use crate::kernels::linear::Flow;
use crate::model::grouped::{self, Activation, ExpertsShape, Rope};
use crate::model::weights::TensorRef;

use super::state::State;

/// A model of this kind, as planning sees it.
pub(in crate::engine) struct Outline<'a> {
    pub n_vocab: u32,
    pub n_embd: u32,
    /// Hidden width of a layer without experts.
    pub n_hidden: u32,
    pub experts: Option<&'a ExpertsShape>,
    pub rope: &'a Rope,
    /// The rotation of the layers that turn by one of their own.
    pub local_rope: Option<&'a Rope>,
    /// Factor of the embedding in the stream.
    pub embed_scale: f32,
    /// What the gates of networks without experts go through.
    pub activation: Activation,
    /// Added to the mean square in every norm.
    pub eps: f32,
    pub embed: &'a TensorRef,
    /// Absent where the embedding serves again.
    pub head: Option<&'a TensorRef>,
    pub norm: &'a TensorRef,
    pub layers: Vec<LayerOutline<'a>>,
}

/// A layer, but for its attention.
pub(in crate::engine) struct LayerOutline<'a> {
    pub attn_norm: &'a TensorRef,
    /// What joins the stream of every token after attention, if anything.
    pub output_bias: Option<&'a TensorRef>,
    pub ffn_norm: &'a TensorRef,
    /// Norms of what attention and feed-forward network give, before it joins the stream.
    pub post_norms: Option<&'a [TensorRef; 2]>,
    /// Whether heads turn by [`Outline::local_rope`].
    pub turns_apart: bool,
    pub ffn: &'a grouped::Ffn,
}

/// The attention of a layer: weights, cache and scratch as slices of one arena.
pub(in crate::engine) trait Attention {
    /// Appends the sub-layer: `at.x` in, `at.outputs` (one of a token) out.
    fn record(&self, recording: &mut Recording, at: &Sublayer);

    /// What the first `n` positions left in the cache.
    fn held(&self, n: u32) -> Vec<Slice>;

    /// What it keeps that a text cannot go back in at will.
    fn states(&self) -> Vec<State> {
        Vec::new()
    }
}

/// What sub-layers share in one recording.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Sublayer {
    pub step: Slice,
    /// Token ids by position.
    pub tokens: Slice,
    /// The layer's rotation table.
    pub rope: Slice,
    /// Normed input, `[n_chunk, n_embd]`.
    pub x: Slice,
    /// Outputs, `[n_chunk, n_slots, n_embd]`.
    pub outputs: Slice,
    pub n_vocab: u32,
    pub n_embd: u32,
    /// Added to the mean square in every norm.
    pub eps: f32,
    /// Tokens in the step at most.
    pub n: u32,
    /// Whether latent attention is taken in plain form.
    pub plain: bool,
}

impl Sublayer {
    /// A product that reads and writes a row for each token.
    pub(in crate::engine) fn rows(&self, x: Slice, x_stride: u32, y: Slice, y_stride: u32) -> Flow {
        let (step, max_tokens) = (self.step, self.n);
        Flow { step, x, x_stride, y, y_stride, y_offset: 0, y_ring: 0, rows_per_group: 0, max_tokens }
    }
}
