//! Multi-head latent attention, absorbed: of each position one row is kept, the latent and the part of the key that turns.
//! Queries are taken to the latents, all heads attend to the same rows, and what they gather is taken to values. V3.2's
//! indexer keeps a key of its own of each position, and chooses which rows a token attends to once there are too many. Steps of a
//! prompt may take the form of [`super::mla_plain`].

use crate::gpu::{Arena, Purpose, Recording, Slice};
use crate::kernels::cache::CacheTypes;
use crate::kernels::experts::Shard;
use crate::kernels::grouped_attend::{self, n_splits};
use crate::kernels::grouped_heads::Cache;
use crate::kernels::linear::{self, Parts, record_linear_parts};
use crate::kernels::linear_transposed::{self, record_linear_transposed};
use crate::kernels::selected_attend::record_selected_attend;
use crate::kernels::{Matrix, index_heads, index_score, index_top_k, mla_latents, mla_queries};
use crate::model::grouped::Activation;
use crate::model::mla::{self, IndexerShape, Keys, Queries, Shape, Weights};

use super::decoder::{Decoder, chunk_that_fits, n_positions};
use super::mla_plain::{Buffers, Makers, Plain, record_keys_and_values};
use super::step::record_all;
use super::sublayer::{Attention, LayerOutline, Outline, Sublayer};
use crate::engine::load::upload::Uploads;

/// Plans a model for `n_context` positions and steps of `wanted` tokens, or as many as fit the adapter's bindings; gives
/// how many those are. Rows are kept as `types` says of keys.
pub(in crate::engine) fn plan(
    arena: &mut Arena,
    uploads: &mut Uploads,
    (shape, weights): (&Shape, &Weights),
    [n_context, wanted]: [u32; 2],
    types: CacheTypes,
    binding_bytes: u64,
) -> (Decoder, u32) {
    // Where there can be no more positions than are chosen, all are, and the indexer has nothing to do.
    let n_positions = n_positions(n_context);
    // A row is key and value; plain keys may lie in blocks.
    let plain_types = types;
    let types = CacheTypes::both(types.keys);
    let shape = &Shape { indexer: shape.indexer.filter(|of| n_positions > of.top_k), ..shape.clone() };
    let outline = outline(shape, weights);
    let heads = |width: u32| u64::from(shape.n_heads) * u64::from(width);
    let projections = u64::from(projections_width(shape));
    // Attended latents come twice: in runs, and merged.
    let mut widths =
        [projections, u64::from(queries_width(shape)), heads(absorbed_width(shape)), heads(runs_width(shape)) * 2]
            .to_vec();
    widths.extend(index_widths(shape, n_positions).map(u64::from));
    let n_chunk = chunk_that_fits(&outline, &widths, binding_bytes, wanted);
    let scratch = Scratch::plan(arena, shape, n_positions, n_chunk);
    let plain = Plain::of(shape, n_positions, plain_types).filter(|_| n_chunk > 1);
    let buffers = plain.map(|_| Buffers::plan(arena, shape, n_positions, plain_types));
    let mut attention = |arena: &mut Arena, uploads: &mut Uploads, index: usize| {
        let rows = types.keys.words(u64::from(shape.row_dim()) * u64::from(n_positions));
        let rows = arena.words(format!("layers.{index}.latents"), rows, Purpose::Cache);
        let cache = Cache {
            types,
            keys: rows,
            values: rows,
            n_positions,
            n_heads: shape.n_heads,
            n_kv_heads: 1,
            head_dim: shape.row_dim(),
            value_dim: shape.kv_lora,
        };
        let index_keys = shape.indexer.map_or(0, |of| u64::from(of.head_dim) * u64::from(n_positions));
        let index_keys = arena.words(format!("layers.{index}.index_keys"), index_keys, Purpose::Cache);
        let from = &weights.layers[index];
        let layer = LatentAttention::plan(arena, uploads, shape, from, (cache, index_keys), (scratch, buffers));
        Box::new(layer) as Box<dyn Attention>
    };
    let mut decoder = Decoder::plan(arena, uploads, &outline, [n_context, n_chunk], types, &mut attention);
    decoder.plain = plain;
    (decoder, n_chunk)
}

fn outline<'a>(shape: &'a Shape, weights: &'a Weights) -> Outline<'a> {
    let layer = |layer: &'a mla::Layer| LayerOutline {
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

/// Width of what is made of a layer's input: queries or their latent, then the row that is kept, and for an indexer its key
/// and what each of its heads counts.
fn projections_width(shape: &Shape) -> u32 {
    query_width(shape) + shape.row_dim() + shape.indexer.map_or(0, |of| of.head_dim + of.n_heads)
}

/// Width of its first part, queries or their latent.
fn query_width(shape: &Shape) -> u32 {
    if shape.q_lora > 0 { shape.q_lora } else { shape.q_width() }
}

/// Width of the queries that are made of a latent, and behind them the indexer's.
fn queries_width(shape: &Shape) -> u32 {
    if shape.q_lora > 0 { shape.q_width() + shape.indexer.map_or(0, |of| of.width()) } else { 0 }
}

/// Elements of a head's queries as attention reads them, taken to the latents or as they are.
fn absorbed_width(shape: &Shape) -> u32 {
    shape.row_dim().max(shape.head_dim())
}

/// Elements that a head gathers over a run of keys, latents or values.
fn runs_width(shape: &Shape) -> u32 {
    shape.kv_lora.max(shape.value_dim)
}

/// Elements of a token in the indexer's buffers: its scores, and the positions that it chooses.
fn index_widths(shape: &Shape, n_positions: u32) -> [u32; 2] {
    shape.indexer.map_or([0; 2], |of| [n_positions, of.top_k])
}

/// The values of one step, shared by all layers; `[n_chunk, …]` each, f32.
#[derive(Clone, Copy)]
struct Scratch {
    /// What is made of the layer's input, `[projections_width]`.
    projections: Slice,
    /// The query latent after its norm, `[q_lora]`.
    qr: Slice,
    /// Queries that are made of it, `[n_heads * head_dim]`.
    queries: Slice,
    /// Queries taken to the latents, and their part that turns, `[n_heads, row_dim]`; or plain ones, `[n_heads, head_dim]`.
    absorbed: Slice,
    /// Attention over runs of rows, `[n_heads, n_splits, kv_lora or value_dim]`.
    partial: Slice,
    /// `[n_heads, n_splits, 2]`
    stats: Slice,
    /// Latents that the heads gather, `[n_heads, kv_lora]`.
    attended: Slice,
    /// Values that are made of them, `[n_heads * value_dim]`.
    values: Slice,
    /// How much each token's indexer wants each position, `[n_positions]`.
    index_scores: Slice,
    /// The positions that a token attends to, `[top_k]`.
    selected: Slice,
}

impl Scratch {
    fn plan(arena: &mut Arena, shape: &Shape, n_positions: u32, n_chunk: u32) -> Self {
        // One token's rows are cut into runs, those of more are not.
        let n_runs = u64::from(n_chunk.max(n_splits(1, n_positions, CacheTypes::default()))) * u64::from(shape.n_heads);
        let mut rows = |what: &str, n: u64, width: u32| arena.words(what, n * u64::from(width), Purpose::Scratch);
        let partial = rows("partial", n_runs, runs_width(shape));
        let stats = rows("stats", n_runs, 2);
        let mut each = |what: &str, width: u32| rows(what, n_chunk.into(), width);
        let [scores, top_k] = index_widths(shape, n_positions);
        Self {
            projections: each("projections", projections_width(shape)),
            qr: each("qr", shape.q_lora),
            queries: each("queries", queries_width(shape)),
            absorbed: each("absorbed", shape.n_heads * absorbed_width(shape)),
            partial,
            stats,
            attended: each("attended", shape.n_heads * shape.kv_lora),
            values: each("values", shape.n_heads * shape.value_dim),
            index_scores: each("index_scores", scores),
            selected: each("selected", top_k),
        }
    }
}

struct LatentAttention {
    /// Makes queries or their latent, and the row that is kept.
    project: Vec<Matrix>,
    /// Norm of the query latent, and what makes queries of it.
    q: Option<(Slice, Vec<Matrix>)>,
    kv_norm: Slice,
    /// What takes queries to the latents, or makes keys of these; head by head.
    keys: Vec<Shard>,
    /// Whether each head's matrix of these is transposed, see [`Keys::Columns`].
    by_columns: bool,
    values: Vec<Matrix>,
    o: Vec<Matrix>,
    cache: Cache,
    scratch: Scratch,
    plain: Option<Buffers>,
    q_lora: u32,
    head_dim: u32,
    value_dim: u32,
    projections_width: u32,
    /// First element of the row that is kept, among the projections.
    kv_at: u32,
    queries_width: u32,
    indexer: Option<Indexer>,
    rope_pairs: u32,
    rope_scale: f32,
    scale: f32,
}

/// What chooses the positions that a token attends to.
#[derive(Clone, Copy)]
struct Indexer {
    shape: IndexerShape,
    /// Norm and bias of its keys.
    affine: Slice,
    /// Its keys, `[n_positions, head_dim]`, f32.
    keys: Slice,
}

/// Added to the variance of the indexer's keys, whatever the other norms have.
const INDEX_EPS: f32 = 1e-6;

impl LatentAttention {
    fn plan(
        arena: &mut Arena,
        uploads: &mut Uploads,
        shape: &Shape,
        from: &mla::Layer,
        (cache, index_keys): (Cache, Slice),
        (scratch, plain): (Scratch, Option<Buffers>),
    ) -> Self {
        let of_indexer = shape.indexer.and(from.indexer.as_deref());
        let (first, latent) = match &from.queries {
            Queries::Plain(q) => (q, None),
            Queries::Latent { a, norm, b } => (a, Some((norm, b))),
        };
        let project = [first, &from.kv_a].into_iter().chain(of_indexer.iter().flat_map(|of| [&of.key, &of.weights]));
        let project = uploads.stack(arena, &project.collect::<Vec<_>>());
        let q = latent.map(|(norm, b)| {
            let heads: Vec<_> = [b].into_iter().chain(of_indexer.map(|of| &of.q_b)).collect();
            (uploads.vector(arena, norm), uploads.stack(arena, &heads))
        });
        let indexer = shape.indexer.zip(of_indexer).map(|(shape, of)| Indexer {
            shape,
            affine: uploads.vectors(arena, &of.key_norm.each_ref()),
            keys: index_keys,
        });
        let (keys, by_columns) = match &from.keys {
            Keys::Rows(rows) => (rows, false),
            Keys::Columns(columns) => (columns, true),
        };
        Self {
            project,
            q,
            kv_norm: uploads.vector(arena, &from.kv_norm),
            keys: uploads.experts(arena, &[keys], 0, shape.n_heads),
            by_columns,
            values: uploads.stack(arena, &[&from.values]),
            o: uploads.stack(arena, &[&from.o]),
            cache,
            scratch,
            plain,
            q_lora: shape.q_lora,
            head_dim: shape.head_dim(),
            value_dim: shape.value_dim,
            projections_width: projections_width(shape),
            kv_at: query_width(shape),
            queries_width: queries_width(shape),
            indexer,
            rope_pairs: shape.rope.n_pairs(),
            rope_scale: shape.rope.scale(),
            scale: shape.scale,
        }
    }

    fn record_latents(&self, recording: &mut Recording, at: &Sublayer) {
        let scratch = &self.scratch;
        mla_latents::record_mla_latents(
            recording,
            &mla_latents::Flow {
                step: at.step,
                projections: scratch.projections,
                stride: self.projections_width,
                q_at: 0,
                n_q: self.q_lora,
                kv_at: self.kv_at,
                n_kv: self.cache.value_dim,
                q_norm: self.q.as_ref().map_or(self.kv_norm, |(norm, _)| *norm),
                kv_norm: self.kv_norm,
                rope: at.rope,
                rope_pairs: self.rope_pairs,
                rope_scale: self.rope_scale,
                qr: scratch.qr,
                keys: self.cache.keys,
                cache: self.cache.types.keys,
                eps: at.eps,
                max_tokens: at.n,
            },
        );
    }

    /// Makes the queries of a step, whole or only the part that turns; gives where all of them are, and their stride.
    fn record_queries(&self, recording: &mut Recording, at: &Sublayer, whole: bool) -> (Slice, u32) {
        let scratch = &self.scratch;
        let (queries, stride) = match &self.q {
            None => (scratch.projections, self.projections_width),
            Some((_, b)) => {
                let width = self.queries_width;
                record_all(recording, "q", b, at.rows(scratch.qr, self.q_lora, scratch.queries, width));
                (scratch.queries, width)
            }
        };
        mla_queries::record_mla_queries(
            recording,
            &mla_queries::Flow {
                step: at.step,
                rope: at.rope,
                rope_pairs: self.rope_pairs,
                rope_scale: self.rope_scale,
                queries,
                stride,
                n_heads: self.cache.n_heads,
                head_dim: self.head_dim,
                whole,
                absorbed: scratch.absorbed,
                absorbed_stride: if whole { self.head_dim } else { self.cache.head_dim },
                max_tokens: at.n,
            },
        );
        (queries, stride)
    }

    /// Takes queries to the latents.
    fn record_absorb(&self, recording: &mut Recording, at: &Sublayer, (queries, stride): (Slice, u32)) {
        let scratch = &self.scratch;
        let (n_heads, row_dim, kv_lora) = (self.cache.n_heads, self.cache.head_dim, self.cache.value_dim);
        let absorbed_stride = n_heads * row_dim;
        for shard in &self.keys {
            if self.by_columns {
                let flow = at.rows(queries, stride, scratch.absorbed, absorbed_stride);
                let flow = linear::Flow { rows_per_group: kv_lora, ..flow };
                let parts = Parts { x_stride: self.head_dim, y_gap: row_dim - kv_lora };
                let matrix = Matrix { first_row: shard.first_expert * kv_lora, ..shard.matrix };
                record_linear_parts(recording, "absorb", &matrix, flow, parts);
            } else {
                let flow = linear_transposed::Flow {
                    step: at.step,
                    x: queries,
                    x_stride: stride,
                    x_group_stride: self.head_dim,
                    y: scratch.absorbed,
                    y_stride: absorbed_stride,
                    y_group_stride: row_dim,
                    max_tokens: at.n,
                };
                record_linear_transposed(recording, "absorb", shard, &flow);
            }
        }
    }
}

impl LatentAttention {
    /// Attention of all heads to the rows that are kept: queries in, values out.
    fn record_absorbed(&self, recording: &mut Recording, at: &Sublayer, queries: (Slice, u32)) {
        let (scratch, cache) = (&self.scratch, self.cache);
        self.record_absorb(recording, at, queries);
        let flow = self.attend(at, cache, scratch.attended);
        match &self.indexer {
            Some(indexer) => {
                self.record_choice(recording, at, indexer);
                record_selected_attend(recording, &flow, scratch.selected, indexer.shape.top_k);
            }
            None => grouped_attend::record_grouped_attend(recording, &flow),
        }
        let (attended, width) = (cache.n_heads * cache.value_dim, cache.n_heads * self.value_dim);
        let values = at.rows(scratch.attended, attended, scratch.values, width);
        record_all(recording, "values", &self.values, linear::Flow { rows_per_group: self.value_dim, ..values });
    }

    /// Attention of each head to keys and values of its own.
    fn record_plain(&self, recording: &mut Recording, at: &Sublayer, buffers: &Buffers) {
        let latents = (self.cache.keys, self.cache.head_dim, self.cache.value_dim);
        let makers = Makers { keys: &self.keys, by_columns: self.by_columns, values: &self.values };
        record_keys_and_values(recording, at, buffers, latents, &makers);
        grouped_attend::record_grouped_attend(recording, &self.attend(at, buffers.heads, self.scratch.values));
    }

    /// Queries to keys and values.
    fn attend(&self, at: &Sublayer, cache: Cache, out: Slice) -> grouped_attend::Flow {
        let Scratch { absorbed: heads, partial, stats, .. } = self.scratch;
        grouped_attend::Flow {
            step: at.step,
            heads,
            heads_stride: cache.n_heads * cache.head_dim,
            cache,
            partial,
            stats,
            out,
            window: None,
            sinks: None,
            scale: self.scale,
            max_tokens: at.n,
        }
    }

    /// Keeps the indexer's keys, and makes its queries.
    fn record_index_heads(&self, recording: &mut Recording, at: &Sublayer, indexer: &Indexer) {
        let (scratch, IndexerShape { n_heads, head_dim, .. }) = (&self.scratch, indexer.shape);
        let (key_at, queries_at) = self.index_places();
        index_heads::record_index_heads(
            recording,
            &index_heads::Flow {
                step: at.step,
                projections: scratch.projections,
                keys_stride: self.projections_width,
                key_at,
                affine: indexer.affine,
                rope: at.rope,
                rope_pairs: self.rope_pairs,
                rope_scale: self.rope_scale,
                queries: scratch.queries,
                queries_stride: self.queries_width,
                queries_at,
                n_heads,
                head_dim,
                keys: indexer.keys,
                eps: INDEX_EPS,
                max_tokens: at.n,
            },
        );
    }

    /// Where the indexer's key stands among the projections, and its heads among the queries.
    fn index_places(&self) -> (u32, u32) {
        (self.kv_at + self.cache.head_dim, self.cache.n_heads * self.head_dim)
    }

    /// Chooses the positions that each token attends to.
    fn record_choice(&self, recording: &mut Recording, at: &Sublayer, indexer: &Indexer) {
        let (scratch, IndexerShape { n_heads, head_dim, top_k }) = (&self.scratch, indexer.shape);
        let (step, max_tokens) = (at.step, at.n);
        let (key_at, queries_at) = self.index_places();
        index_score::record_index_score(
            recording,
            &index_score::Flow {
                step,
                queries: scratch.queries,
                queries_stride: self.queries_width,
                queries_at,
                n_heads,
                head_dim,
                projections: scratch.projections,
                projection_stride: self.projections_width,
                projection_ring: 0,
                weights_at: key_at + head_dim,
                keys: indexer.keys,
                n_entries: self.cache.n_positions,
                ratio: 1,
                top_k,
                scale: ((n_heads * head_dim) as f32).sqrt().recip(),
                rope: at.rope,
                scores: scratch.index_scores,
                max_tokens,
            },
        );
        index_top_k::record_index_top_k(
            recording,
            &index_top_k::Flow {
                step,
                scores: scratch.index_scores,
                n_entries: self.cache.n_positions,
                ratio: 1,
                top_k,
                selected: scratch.selected,
                max_tokens,
            },
        );
    }
}

impl Attention for LatentAttention {
    fn held(&self, n: u32) -> Vec<Slice> {
        let index_keys = self.indexer.map(|of| {
            let row_bytes = 4 * u64::from(of.shape.head_dim);
            Slice { bytes: u64::from(n.min(self.cache.n_positions)) * row_bytes, ..of.keys }
        });
        self.cache.held(n).chain(index_keys).collect()
    }

    fn record(&self, recording: &mut Recording, at: &Sublayer) {
        let (scratch, cache) = (&self.scratch, self.cache);
        let project = at.rows(at.x, at.n_embd, scratch.projections, self.projections_width);
        record_all(recording, "project", &self.project, project);
        self.record_latents(recording, at);
        let plain = self.plain.filter(|_| at.plain);
        let queries = self.record_queries(recording, at, plain.is_some());
        if let Some(indexer) = &self.indexer {
            self.record_index_heads(recording, at, indexer);
        }
        match plain {
            Some(buffers) => self.record_plain(recording, at, &buffers),
            None => self.record_absorbed(recording, at, queries),
        }
        let width = cache.n_heads * self.value_dim;
        record_all(recording, "o", &self.o, at.rows(scratch.values, width, at.outputs, at.n_embd));
    }
}
