//! `index_score`: how much each token's indexer wants each compressed entry.

use std::borrow::Cow;

use crate::gpu::fuse;
use crate::gpu::lower::{self, Lowered, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::{Cost, KeyCost};
use crate::gpu::space;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Reduce, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::linear_tiled::MIN_TOKENS;
use super::rope;
use super::rotate::{self, record_rotate};
use super::{STEP, dot, index_score_shared};

crate::params! {
    /// Parameters of `index_score`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 from token to token of the queries.
        pub queries_stride: u32,
        /// First vector of the indexer's heads in a row.
        pub queries_at: u32,
        /// The indexer's heads.
        pub n_heads: u32,
        /// Vectors of 4 in a head and in a key.
        pub n_quads: u32,
        /// Pairs that turn, the last of a head, where queries are made ready here.
        pub rope_pairs: u32,
        /// Elements from row to row of the projections.
        pub projection_stride: u32,
        /// Rows of the projections, a ring over positions; 0 where a row is a token of the step.
        pub projection_ring: u32,
        /// First of a token's weights in a row.
        pub weights_at: u32,
        /// Entries that there can be.
        pub n_entries: u32,
        /// Tokens of an entry.
        pub ratio: u32,
        /// Entries that will be selected.
        pub top_k: u32,
        /// Factor of every score.
        pub scale: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "index_score",
    variants: &[
        Variant {
            // An invocation would turn each head for each of its entries.
            allows: |stage| stage.spec.value_of(READY) == Some(1),
            ..Variant::only("index_score", shader_text!("../../shaders/kernels/index_score.wgsl"), &[STEP], WAY)
        },
        index_score_shared::VARIANT,
    ],
    bindings: &[
        ("step", Access::Read),
        ("queries", Access::Read),
        ("projections", Access::Read),
        ("keys", Access::Read),
        ("rope", Access::Read),
        ("scores", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases: || shapes().map(|shape| case(shape, false)).chain(OF_QUERIES.fused_cases()).collect(),
};

/// Takes what turns the indexer's heads. They are not kept so: what is next to turn heads of these queries turns others of them.
pub static OF_QUERIES: fuse::Rule =
    fuse::Rule { parts: &["rotate", "index_score"], fuse, writers: &["linear"], cases: query_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [rotate, score] = parts else { return None };
    let (r, s): (rotate::Params, Params) = (rotate.params(), score.params());
    let [step, rope, queries] = rotate.bindings[..] else { return None };
    let mut bindings = score.bindings.clone();
    let fits = [step, queries] == bindings[..2] && s.rope_pairs == 0 && s.max_tokens < MIN_TOKENS;
    bindings[4] = rope;
    let p = Params { rope_pairs: r.rope_pairs, ..s };
    (fits && bytemuck::bytes_of(&p.rotate()) == rotate.params).then(|| Stage {
        spec: Spec::default().constant(READY, 0),
        params: bytemuck::bytes_of(&p).to_vec(),
        bindings,
        // Read where they were read and written before.
        cost: Cost { ops: rotate.cost.ops + score.cost.ops, ..score.cost },
        ..score.clone()
    })
}

impl Params {
    fn rotate(&self) -> rotate::Params {
        rotate::Params {
            stride: 4 * self.queries_stride,
            first: 4 * self.queries_at,
            n_heads: self.n_heads,
            head_dim: 4 * self.n_quads,
            normalised: 0,
            rope_pairs: self.rope_pairs,
            eps: 0.0,
            max_tokens: self.max_tokens,
        }
    }
}

/// Fact: 1 where queries are ready, 0 where they turn here.
const READY: &str = "READY";

/// Where the indexer's scores are read and written.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Queries `[max_tokens, queries_stride]`, f32.
    pub queries: Slice,
    /// Elements from token to token of the queries, a multiple of 4.
    pub queries_stride: u32,
    /// First element of the indexer's heads in a row, a multiple of 4.
    pub queries_at: u32,
    /// The indexer's heads.
    pub n_heads: u32,
    /// Elements of a head and of a key, a multiple of 4.
    pub head_dim: u32,
    /// Projections `[projection_ring, projection_stride]`, f32; a token's row is its position modulo the ring, or with no
    /// ring its place in the step.
    pub projections: Slice,
    /// Elements from row to row of the projections.
    pub projection_stride: u32,
    /// Rows of the projections; 0 for no ring.
    pub projection_ring: u32,
    /// First of a token's `n_heads` weights in a row of the projections.
    pub weights_at: u32,
    /// The indexer's compressed entries `[n_entries, head_dim]`, f32.
    pub keys: Slice,
    /// Entries that there can be.
    pub n_entries: u32,
    /// Tokens of an entry.
    pub ratio: u32,
    /// Entries that will be selected; tokens that see no more are skipped.
    pub top_k: u32,
    /// Factor of every score.
    pub scale: f32,
    /// The layer's rotation table, for the fusion with what turns the heads.
    pub rope: Slice,
    /// Output `[max_tokens, n_entries]`, f32.
    pub scores: Slice,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Heads that one invocation takes together where it has a result to itself, since they share the key. Lanes of a workgroup take one.
const HEADS: u32 = 4;

/// Appends the stage `index_score`; nothing where there can be no more entries than are selected.
///
/// # Panics
/// When there is no ratio, or widths are no multiples of 4: shapes are checked before they come here.
pub fn record_index_score(recording: &mut Recording, flow: &Flow) {
    let whole = [flow.queries_stride, flow.queries_at, flow.head_dim].iter().all(|n| n.is_multiple_of(4));
    assert!(whole && flow.ratio > 0, "index_score: queries in vectors of 4, entries of some tokens");
    if flow.n_entries <= flow.top_k {
        return;
    }
    let params = Params {
        queries_stride: flow.queries_stride / 4,
        queries_at: flow.queries_at / 4,
        n_heads: flow.n_heads,
        n_quads: flow.head_dim / 4,
        rope_pairs: 0,
        projection_stride: flow.projection_stride,
        projection_ring: flow.projection_ring,
        weights_at: flow.weights_at,
        n_entries: flow.n_entries,
        ratio: flow.ratio,
        top_k: flow.top_k,
        scale: flow.scale,
        max_tokens: flow.max_tokens,
    };
    let (tokens, heads) = (u64::from(flow.max_tokens), u64::from(flow.n_heads));
    let head_dim = u64::from(flow.head_dim);
    let cost = Cost { bytes: 4 * tokens * heads * (head_dim + 1), ops: 0 };
    let entries = KeyCost {
        n_tokens: flow.max_tokens,
        ratio: flow.ratio,
        key_bytes: 4 * head_dim,
        score_bytes: 4,
        score_ops: 2 * heads * head_dim,
        ..KeyCost::default()
    };
    let bindings = [flow.step, flow.queries, flow.projections, flow.keys, flow.rope, flow.scores];
    let n_scores = u64::from(flow.max_tokens) * u64::from(flow.n_entries);
    recording.push("index_score", &OP, Spec::default().constant(READY, 1), n_scores, &params, &bindings, cost);
    recording.see_keys(entries);
}

const WAY: Way = Way { lower, space: space::row };

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let heads = if config.reduce == Reduce::Thread { HEADS } else { 1 };
    let lowered = (lower::ROW.lower)(stage, caps, config);
    Lowered { spec: lowered.spec.constant("HEADS", heads), ..lowered }
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (queries, projections, keys): (&[f32], &[f32], &[f32]) = (call.input(1), call.input(2), call.input(3));
    let tokens = call.tokens(step.n_tokens.min(p.max_tokens));
    let mut ready = Cow::Borrowed(queries);
    if p.rope_pairs > 0 {
        (rotate::OP.reference)(&mut Call {
            params: bytemuck::bytes_of(&p.rotate()),
            spec: call.spec,
            inputs: vec![call.inputs[0], call.inputs[4]],
            outputs: vec![bytemuck::cast_slice_mut(ready.to_mut())],
            sample: None,
        });
    }
    let [scores] = call.outputs::<f32, 1>();
    let head_dim = 4 * p.n_quads as usize;
    for token in tokens {
        let position = step.position + token;
        let visible = (position + 1) / p.ratio;
        if visible <= p.top_k {
            continue;
        }
        let row = position.checked_rem(p.projection_ring).unwrap_or(token);
        let weights_at = row * p.projection_stride + p.weights_at;
        let weights = &projections[weights_at as usize..][..p.n_heads as usize];
        let q_at = 4 * (token * p.queries_stride + p.queries_at) as usize;
        for (entry, key) in (0..visible).zip(keys.chunks_exact(head_dim)) {
            let heads = ready[q_at..].chunks_exact(head_dim);
            let sum: f32 = weights.iter().zip(heads).map(|(weight, q)| weight * dot(q, key).max(0.0)).sum();
            scores[(token * p.n_entries + entry) as usize] = p.scale * sum;
        }
    }
}

/// Of a case: heads, elements of one, the ratio, the top, whether there is a ring; then position, n_tokens and capacity.
type Shape = ([u32; 4], bool, [u32; 3]);

fn shapes() -> impl Iterator<Item = Shape> {
    // Of the second case's three tokens the first sees too few entries to score, and the third one more.
    [
        ([5, 20, 4, 3], true, [38, 2, 3]),
        ([33, 8, 4, 2], true, [10, 3, 3]),
        ([2, 4, 1, 1], true, [6, 1, 1]),
        ([3, 8, 1, 5], false, [9, 3, 3]),
        // Several tiles of entries, of heads and of their depth, none of them whole.
        ([37, 44, 2, 7], true, [139, 2, 2]),
    ]
    .into_iter()
}

fn query_cases() -> Vec<Case> {
    shapes().map(|shape| case(shape, true)).collect()
}

/// `turns`: with what makes the queries ready before.
fn case(shape: Shape, turns: bool) -> Case {
    let ([n_heads, head_dim, ratio, top_k], is_ring, tokens) = shape;
    let ring = if is_ring { ", a ring" } else { "" };
    let ready = if turns { "turned" } else { "ready" };
    let name = format!(
        "{n_heads} heads of {head_dim}, {ready}, ratio {ratio}, top {top_k}{ring}, [position, tokens, of] {tokens:?}"
    );
    let mut case = CaseBuilder::new(name);
    let [position, n_tokens, max_tokens] = tokens;
    let n_entries = (position + max_tokens) / ratio + 2;
    let (queries_at, queries_stride) = (4, n_heads * head_dim + 8);
    let (n_rows, projection_stride) = (max_tokens + 2, n_heads + 5);
    let (step, rope_pairs) = (case.step(position, n_tokens), head_dim / 4 + 1);
    let queries = case.random_input("queries", (max_tokens * queries_stride) as usize);
    let rope = case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 10_000.0), 256));
    if turns {
        let flow = rotate::Flow {
            step,
            rope,
            rope_pairs,
            queries,
            stride: queries_stride,
            first: queries_at,
            n_heads,
            head_dim,
            eps: None,
            max_tokens,
        };
        record_rotate(&mut case.recording, "rotate", &flow);
    }
    let flow = Flow {
        step,
        queries,
        queries_stride,
        queries_at,
        n_heads,
        head_dim,
        projections: case.random_input("projections", (n_rows * projection_stride) as usize),
        projection_stride,
        projection_ring: if is_ring { n_rows } else { 0 },
        weights_at: 3,
        keys: case.random_input("keys", (n_entries * head_dim) as usize),
        n_entries,
        ratio,
        top_k,
        scale: 0.7,
        rope,
        scores: case.output("scores", (max_tokens * n_entries) as usize, 1e-4),
        max_tokens,
    };
    record_index_score(&mut case.recording, &flow);
    case.finish()
}
