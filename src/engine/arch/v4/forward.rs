//! The whole forward pass as recordings: embedding, layers, head. One `Forward` serves every kind of step.

use crate::gpu::op::Step;
use crate::gpu::{Arena, Purpose, Recording, Slice};
use crate::kernels::linear::Flow;
use crate::kernels::{Matrix, embed, head_collapse, hyper_collapse, hyper_expand, hyper_mix, rope, sample};
use crate::model::Shape;
use crate::model::shape::N_STREAMS;
use crate::model::weights::{self, TensorRef, Weights};

use super::attention::{Attention, LayerStep};
use super::buffers::{LayerState, Scratch};
use super::ffn::Ffn;
use crate::engine::arch::step::{MAX_AHEAD, record_all};
use crate::engine::load::upload::Uploads;

/// Tokens of a compressed entry in the layers that choose among them.
const INDEXED: u32 = 4;

/// A model planned on an executor: weights, state and scratch as slices of one arena.
pub struct Forward {
    /// The model's shape.
    pub shape: Shape,
    /// Positions that fit.
    pub n_context: u32,
    /// What changes from token to token.
    pub step: Slice,
    /// Token ids by position, `[n_context + 1]`, and spare for tokens computed ahead.
    pub tokens: Slice,
    /// State of each layer.
    pub states: Vec<LayerState>,
    /// Values of one step.
    pub scratch: Scratch,
    embed: Vec<Matrix>,
    layers: Vec<Layer>,
    head_hyper: Hyper,
    norm: Slice,
    head: Vec<Matrix>,
    /// Rotation tables of the layers without and with compression.
    ropes: [Slice; 2],
}

struct Layer {
    attn_hyper: Hyper,
    attention: Attention,
    ffn_hyper: Hyper,
    ffn: Ffn,
}

/// Mixing weights of one hyper-connection.
struct Hyper {
    mix: Matrix,
    /// The norm of the sub-layer behind it, if it is a layer's; what is added to the mix, and then its scales.
    affine: Slice,
}

impl Hyper {
    fn plan(arena: &mut Arena, uploads: &mut Uploads, from: &weights::Hyper, norm: Option<&TensorRef>) -> Self {
        let vectors: Vec<_> = norm.into_iter().chain([&from.base, &from.scale]).collect();
        Self { mix: uploads.whole(arena, &from.fn_), affine: uploads.vectors(arena, &vectors) }
    }
}

impl Forward {
    /// Plans everything for `n_context` positions and steps of up to `n_chunk` tokens.
    pub fn plan(
        arena: &mut Arena,
        uploads: &mut Uploads,
        shape: &Shape,
        weights: &Weights,
        n_context: u32,
        n_chunk: u32,
    ) -> Self {
        let step = arena.words("step", size_of::<Step>() as u64 / 4, Purpose::Scratch);
        let tokens = arena.words("tokens", u64::from(n_context + 1 + MAX_AHEAD), Purpose::Cache);
        let rope_words = rope::table_rows(n_context + MAX_AHEAD) * u64::from(shape.rope_dims);
        let ropes = [(); 2].map(|()| arena.words("rope", rope_words, Purpose::Weights));
        let layers = weights.layers.iter().enumerate().map(|(index, layer)| Layer {
            attn_hyper: Hyper::plan(arena, uploads, &layer.hyper_attn, Some(&layer.attn_norm)),
            attention: Attention::plan(arena, uploads, &layer.attn),
            ffn_hyper: Hyper::plan(arena, uploads, &layer.hyper_ffn, Some(&layer.ffn_norm)),
            ffn: Ffn::plan(arena, uploads, shape, index, &layer.ffn),
        });
        let layers: Vec<Layer> = layers.collect();
        let embed = uploads.stack(arena, &[&weights.embed]);
        let head_hyper = Hyper::plan(arena, uploads, &weights.hyper_head, None);
        let norm = uploads.vector(arena, &weights.norm);
        let head = uploads.stack(arena, &[&weights.head]);
        let sizes = [n_context + MAX_AHEAD, n_chunk];
        let plan =
            |(layer, of): (usize, &Layer)| LayerState::plan(arena, shape, layer, sizes, of.attention.pools_apart());
        let states = layers.iter().enumerate().map(plan).collect();
        let scratch = Scratch::plan(arena, shape, sizes, layers.iter().any(|layer| layer.ffn.has_network()));
        Self {
            shape: shape.clone(),
            n_context,
            step,
            tokens,
            states,
            scratch,
            embed,
            layers,
            head_hyper,
            norm,
            head,
            ropes,
        }
    }

    /// Constant tables to write once, each computed when it is asked for: at a million positions they are large.
    pub fn tables(&self) -> impl Iterator<Item = (Slice, Vec<[f32; 2]>)> {
        let table = |compressed| rope::table(&self.shape.rope_frequencies(compressed), self.n_context + MAX_AHEAD);
        self.ropes.into_iter().zip([false, true]).map(move |(slice, compressed)| (slice, table(compressed)))
    }

    /// The first position whose token sees more compressed entries than a layer chooses. Before it, a layer that chooses
    /// would choose all; 0 where no layer ever chooses.
    pub fn dense_until(&self) -> u32 {
        let has_ratio = |ratio| self.states.iter().any(|state| state.ratio == ratio);
        let chooses = has_ratio(INDEXED) && self.scratch.n_index_entries > self.shape.index_top_k;
        if chooses { INDEXED * (self.shape.index_top_k + 1) - 1 } else { 0 }
    }

    /// Records a step of up to `n` tokens through all layers: ids in `tokens`, streams out. A dense one is for tokens before
    /// [`Self::dense_until`].
    pub fn record_body(&self, n: u32, dense: bool) -> Recording {
        let mut recording = Recording::default();
        let scratch = &self.scratch;
        let embed = embed::Flow {
            step: self.step,
            tokens: self.tokens,
            streams: scratch.streams[0],
            n_streams: N_STREAMS,
            scale: 1.0,
            max_tokens: n,
        };
        for table in &self.embed {
            embed::record_embed(&mut recording, table, &embed);
        }
        for (index, (layer, state)) in self.layers.iter().zip(&self.states).enumerate() {
            recording.layer = Some(index as u32);
            let rope = self.ropes[usize::from(state.ratio > 0)];
            self.record_collapse(&mut recording, &layer.attn_hyper, 0, n);
            let at = LayerStep { shape: &self.shape, state, scratch, rope, step: self.step, n, dense };
            layer.attention.record(&mut recording, &at);
            self.record_expand(&mut recording, 1, 0, n);
            self.record_collapse(&mut recording, &layer.ffn_hyper, 1, n);
            layer.ffn.record(&mut recording, &self.shape, scratch, self.tokens, self.step, n);
            self.record_expand(&mut recording, Scratch::n_slots(&self.shape), 1, n);
        }
        recording.layer = None;
        recording
    }

    /// Appends the head over the streams of a step of up to `n` tokens: logits of the last token only, or of all.
    pub fn record_head(&self, recording: &mut Recording, n: u32, last_only: bool) {
        let scratch = &self.scratch;
        let shape = &self.shape;
        let mix = hyper_mix::Flow {
            step: self.step,
            streams: scratch.streams[0],
            mix: scratch.mix,
            n_rows: 4,
            n_embd: shape.n_embd,
            max_tokens: n,
        };
        let n_parts = hyper_mix::record_hyper_mix(recording, "head_mix", &self.head_hyper.mix, &mix);
        head_collapse::record_head_collapse(
            recording,
            &head_collapse::Flow {
                step: self.step,
                streams: scratch.streams[0],
                mix: scratch.mix,
                n_parts,
                affine: self.head_hyper.affine,
                norm: self.norm,
                x: scratch.head_x,
                n_embd: shape.n_embd,
                last_only,
                norm_eps: shape.norm_eps,
                hyper_eps: shape.hyper_eps,
                max_tokens: n,
            },
        );
        let logits = Flow {
            step: self.step,
            x: scratch.head_x,
            x_stride: shape.n_embd,
            y: scratch.logits,
            y_stride: shape.n_vocab,
            y_offset: 0,
            y_ring: 0,
            rows_per_group: 0,
            max_tokens: if last_only { 1 } else { n },
        };
        record_all(recording, "head", &self.head, logits);
    }

    /// Appends the choice of the next token, which also advances the step.
    pub fn record_sample(&self, recording: &mut Recording) {
        sample::record_sample(recording, self.step, self.scratch.logits, self.tokens, self.shape.n_vocab);
    }

    /// Collapses `streams[from]` to a sub-layer's normalised input.
    fn record_collapse(&self, recording: &mut Recording, hyper: &Hyper, from: usize, n: u32) {
        let (scratch, shape) = (&self.scratch, &self.shape);
        let mix = hyper_mix::Flow {
            step: self.step,
            streams: scratch.streams[from],
            mix: scratch.mix,
            n_rows: 24,
            n_embd: shape.n_embd,
            max_tokens: n,
        };
        let n_parts = hyper_mix::record_hyper_mix(recording, "hyper_mix", &hyper.mix, &mix);
        hyper_collapse::record_hyper_collapse(
            recording,
            &hyper_collapse::Flow {
                step: self.step,
                streams: scratch.streams[from],
                mix: scratch.mix,
                n_parts,
                affine: hyper.affine,
                coefficients: scratch.coefficients,
                x: scratch.x,
                n_embd: shape.n_embd,
                sinkhorn_iterations: shape.sinkhorn_iterations,
                norm_eps: shape.norm_eps,
                hyper_eps: shape.hyper_eps,
                max_tokens: n,
            },
        );
    }

    /// Adds a sub-layer's output to `streams[from]`, into the other.
    fn record_expand(&self, recording: &mut Recording, n_slots: u32, from: usize, n: u32) {
        hyper_expand::record_hyper_expand(
            recording,
            &hyper_expand::Flow {
                step: self.step,
                streams: self.scratch.streams[from],
                coefficients: self.scratch.coefficients,
                outputs: self.scratch.outputs,
                n_slots,
                next: self.scratch.streams[1 - from],
                n_embd: self.shape.n_embd,
                max_tokens: n,
            },
        );
    }
}
