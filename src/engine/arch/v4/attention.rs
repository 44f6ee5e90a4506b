//! Attention of one layer, in the order of the paper: projections, queries and window key, compression, index, attention,
//! grouped output. Queries are made ready where they are read, so that the two may become one.

use std::borrow::Cow;

use crate::gpu::{Arena, Recording, Slice};
use crate::kernels::attend::record_attend;
use crate::kernels::attend_score::record_attend_score;
use crate::kernels::keys::Keys;
use crate::kernels::linear::Flow;
use crate::kernels::{Matrix, compress, index_score, index_top_k, norm_rows, rotate, window_keys};
use crate::model::Shape;
use crate::model::weights;

use super::buffers::{LayerState, Scratch};
use crate::engine::arch::step::record_all;
use crate::engine::load::upload::Uploads;

/// What a layer's stages have in common in one recording.
#[derive(Clone, Copy)]
pub struct LayerStep<'a> {
    /// The model's shape.
    pub shape: &'a Shape,
    /// The layer's state.
    pub state: &'a LayerState,
    /// Values of the step.
    pub scratch: &'a Scratch,
    /// The layer's rotation table.
    pub rope: Slice,
    /// The step buffer.
    pub step: Slice,
    /// Tokens in the step at most.
    pub n: u32,
    /// Whether no token sees more entries than are chosen: then all are, and what chooses is left out.
    pub dense: bool,
}

/// Weights of a layer's attention, on the executor.
pub struct Attention {
    /// Everything that reads the layer's input, stacked in the order of `model::shape::Projection`.
    project: Vec<Matrix>,
    /// The last of them, where their results go to a buffer of their own: `pooled` of the layer's state.
    pool: Vec<Matrix>,
    /// q up-projection, and the indexer's.
    q: Vec<Matrix>,
    q_norm: Slice,
    kv_norm: Slice,
    sinks: Slice,
    o_a: Vec<Matrix>,
    o_b: Vec<Matrix>,
    compress: Option<Compress>,
    index_compress: Option<Compress>,
}

struct Compress {
    ape: Slice,
    norm: Slice,
}

impl Attention {
    /// Plans the upload.
    pub fn plan(arena: &mut Arena, uploads: &mut Uploads, from: &weights::Attention) -> Self {
        let mut project = vec![&from.q_a, &from.kv];
        let mut q = vec![&from.q_b];
        let mut compress = None;
        let mut index_compress = None;
        if let Some(compressor) = &from.compressor {
            project.extend([&compressor.kv, &compressor.gate]);
            compress = Some(Compress::plan(arena, uploads, compressor));
        }
        if let Some(indexer) = &from.indexer {
            project.extend([&indexer.weights, &indexer.compressor.kv, &indexer.compressor.gate]);
            q.push(&indexer.q_b);
            index_compress = Some(Compress::plan(arena, uploads, &indexer.compressor));
        }
        let mut project = uploads.stack(arena, &project);
        // Matrices of one format are one product; where keys and compressors are two, each writes to its own buffer.
        let n_own = from.q_a.n_rows + from.kv.n_rows;
        let split = project.iter().position(|matrix| matrix.first_row == n_own).unwrap_or(project.len());
        let pool = project.split_off(split);
        let pool = pool.into_iter().map(|matrix| Matrix { first_row: matrix.first_row - n_own, ..matrix }).collect();
        Self {
            project,
            pool,
            q: uploads.stack(arena, &q),
            q_norm: uploads.vector(arena, &from.q_norm),
            kv_norm: uploads.vector(arena, &from.kv_norm),
            sinks: uploads.vector(arena, &from.sinks),
            o_a: uploads.stack(arena, &[&from.o_a]),
            o_b: uploads.stack(arena, &[&from.o_b]),
            compress,
            index_compress,
        }
    }

    /// Whether what compressors read comes of a product of its own.
    pub fn pools_apart(&self) -> bool {
        !self.pool.is_empty()
    }

    /// Appends the sub-layer: `scratch.x` in, `scratch.outputs` (one slot) out.
    pub fn record(&self, recording: &mut Recording, at: &LayerStep<'_>) {
        let LayerStep { shape, state, scratch, rope, step, n, dense } = *at;
        let layout = &state.layout;
        let rope_pairs = shape.rope_dims / 2;
        let LayerState { projections, pooled, .. } = *state;
        let input = Flow {
            step,
            x: scratch.x,
            x_stride: shape.n_embd,
            y: projections.values,
            y_stride: projections.stride,
            y_offset: 0,
            y_ring: projections.ring,
            rows_per_group: 0,
            max_tokens: n,
        };
        record_all(recording, "project", &self.project, input);
        let to_pool = Flow { y: pooled.values, y_stride: pooled.stride, y_ring: pooled.ring, ..input };
        record_all(recording, "project", &self.pool, to_pool);
        // The query latent is the first part of a row.
        debug_assert_eq!(layout.q_a.start, 0, "project: q first");
        norm_rows::record_norm_rows(
            recording,
            "q_norm",
            &norm_rows::Flow {
                step,
                values: projections.values,
                ring: Some([projections.ring, projections.stride]),
                norm: self.q_norm,
                x: scratch.qr,
                width: shape.q_lora,
                last_only: false,
                eps: shape.norm_eps,
                max_tokens: n,
            },
        );
        let rows = |x, x_stride, y, y_stride| Flow { x, x_stride, y, y_stride, y_ring: 0, ..input };
        let indexed = state.ratio == 4;
        // Where all entries that there can be are attended to, there is nothing to choose.
        let chooses = indexed && !dense && scratch.n_index_entries > shape.index_top_k;
        let heads = shape.n_heads * shape.head_dim;
        let q = if chooses { Cow::Borrowed(&self.q) } else { Cow::Owned(first_rows(&self.q, heads)) };
        record_all(recording, "q", &q, rows(scratch.qr, shape.q_lora, scratch.queries, scratch.queries_stride));
        window_keys::record_window_keys(
            recording,
            &window_keys::Flow {
                step,
                projections: projections.values,
                projection_stride: projections.stride,
                projection_ring: projections.ring,
                key_at: projections.at(layout.kv.start),
                key_dim: shape.head_dim,
                kv_norm: self.kv_norm,
                rope,
                rope_pairs,
                window: state.window,
                window_ring: state.window_ring,
                eps: shape.norm_eps,
                max_tokens: n,
            },
        );
        self.record_compression(recording, at);
        if chooses {
            record_index(recording, at);
        }
        let keys = Keys {
            step,
            window: state.window,
            window_len: shape.window,
            window_ring: state.window_ring,
            entries: if indexed && !chooses { state.first_entries(shape.index_top_k) } else { state.entries },
            selected: if chooses { scratch.selected } else { state.window },
            ratio: state.ratio,
            top_k: if chooses { shape.index_top_k } else { 0 },
            n_heads: shape.n_heads,
            head_dim: shape.head_dim,
            scores: scratch.scores,
            scores_stride: scratch.scores_stride,
            max_tokens: n,
        };
        let scale = (shape.head_dim as f32).sqrt().recip();
        let rotate = rotate::Flow {
            step,
            rope,
            rope_pairs,
            queries: scratch.queries,
            stride: scratch.queries_stride,
            first: 0,
            n_heads: shape.n_heads,
            head_dim: shape.head_dim,
            eps: Some(shape.norm_eps),
            max_tokens: n,
        };
        rotate::record_rotate(recording, "rotate", &rotate);
        record_attend_score(recording, &keys, scratch.queries, scratch.queries_stride, self.sinks, scale);
        record_attend(recording, &keys, rope, rope_pairs, scratch.attended);
        let latent = shape.o_groups * shape.o_lora;
        let grouped = Flow { rows_per_group: shape.o_lora, ..rows(scratch.attended, heads, scratch.o_latent, latent) };
        record_all(recording, "o_a", &self.o_a, grouped);
        record_all(recording, "o_b", &self.o_b, rows(scratch.o_latent, latent, scratch.outputs, shape.n_embd));
    }

    fn record_compression(&self, recording: &mut Recording, at: &LayerStep<'_>) {
        let LayerStep { shape, state, rope, step, n, .. } = *at;
        let LayerState { layout, pooled, .. } = state;
        let flow = |from: &Compress, kv_at, gate_at, width, entries| compress::Flow {
            step,
            projections: pooled.values,
            projection_stride: pooled.stride,
            projection_ring: pooled.ring,
            kv_at: pooled.at(kv_at),
            gate_at: pooled.at(gate_at),
            ratio: state.ratio,
            overlap: state.ratio == 4,
            n: width,
            ape: from.ape,
            norm: from.norm,
            rope,
            rope_pairs: shape.rope_dims / 2,
            entries,
            eps: shape.norm_eps,
            max_tokens: n,
        };
        if let Some(from) = &self.compress {
            let (kv_at, gate_at) = (layout.compress_kv.start, layout.compress_gate.start);
            let flow = flow(from, kv_at, gate_at, shape.head_dim, state.entries);
            compress::record_compress(recording, "compress", &flow);
        }
        if let Some(from) = &self.index_compress {
            let (kv_at, gate_at) = (layout.index_kv.start, layout.index_gate.start);
            let flow = flow(from, kv_at, gate_at, shape.index_head_dim, state.index_keys);
            compress::record_compress(recording, "index_compress", &flow);
        }
    }
}

/// The matrices that have the first `n` rows of a stack, the last one cut.
fn first_rows(stack: &[Matrix], n: u32) -> Vec<Matrix> {
    let within = stack.iter().take_while(|matrix| matrix.first_row < n);
    within.map(|matrix| matrix.first_rows(n - matrix.first_row)).collect()
}

impl Compress {
    fn plan(arena: &mut Arena, uploads: &mut Uploads, from: &weights::Compressor) -> Self {
        Self { ape: uploads.vector(arena, &from.ape), norm: uploads.vector(arena, &from.norm) }
    }
}

fn record_index(recording: &mut Recording, at: &LayerStep<'_>) {
    let LayerStep { shape, state, scratch, rope, step, n, .. } = *at;
    let rotate = rotate::Flow {
        step,
        rope,
        rope_pairs: shape.rope_dims / 2,
        queries: scratch.queries,
        stride: scratch.queries_stride,
        first: shape.n_heads * shape.head_dim,
        n_heads: shape.index_heads,
        head_dim: shape.index_head_dim,
        eps: None,
        max_tokens: n,
    };
    rotate::record_rotate(recording, "index_rotate", &rotate);
    let scale = ((shape.index_head_dim * shape.index_heads) as f32).sqrt().recip();
    index_score::record_index_score(
        recording,
        &index_score::Flow {
            step,
            queries: scratch.queries,
            queries_stride: scratch.queries_stride,
            queries_at: shape.n_heads * shape.head_dim,
            n_heads: shape.index_heads,
            head_dim: shape.index_head_dim,
            projections: state.pooled.values,
            projection_stride: state.pooled.stride,
            projection_ring: state.pooled.ring,
            weights_at: state.pooled.at(state.layout.index_weights.start),
            keys: state.index_keys,
            n_entries: scratch.n_index_entries,
            ratio: state.ratio,
            top_k: shape.index_top_k,
            scale,
            rope,
            scores: scratch.index_scores,
            max_tokens: n,
        },
    );
    index_top_k::record_index_top_k(
        recording,
        &index_top_k::Flow {
            step,
            scores: scratch.index_scores,
            n_entries: scratch.n_index_entries,
            ratio: state.ratio,
            top_k: shape.index_top_k,
            selected: scratch.selected,
            max_tokens: n,
        },
    );
}
