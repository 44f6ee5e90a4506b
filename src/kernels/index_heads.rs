//! `index_heads`: the heads of V3.2's indexer made ready, and the key of each token, normed about its mean, to the cache.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::case::CaseBuilder;
use super::rope::{self, ROPE};

crate::params! {
    /// Parameters of `index_heads`; the WGSL says what each is.
    pub struct Params {
        /// Elements from token to token of the queries.
        pub queries_stride: u32,
        /// First element of the indexer's heads in a row.
        pub queries_at: u32,
        /// The indexer's heads.
        pub n_heads: u32,
        /// Elements of a head and of the key.
        pub head_dim: u32,
        /// Elements from token to token of the projections.
        pub keys_stride: u32,
        /// First element of the key.
        pub key_at: u32,
        /// Pairs that turn.
        pub rope_pairs: u32,
        /// Factor of what turned.
        pub rope_scale: f32,
        /// Added to the variance.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "index_heads",
    variants: &[Variant::only(
        "index_heads",
        shader_text!("../../shaders/kernels/index_heads.wgsl"),
        &[STEP, ROPE],
        lower::ROW,
    )],
    bindings: &[
        ("step", Access::Read),
        ("projections", Access::Read),
        ("affine", Access::Read),
        ("rope", Access::Read),
        ("queries", Access::Write),
        ("keys", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What is read and written; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// `[max_tokens, keys_stride]`
    pub projections: Slice,
    /// Elements from token to token of the projections.
    pub keys_stride: u32,
    /// First element of the key in a row.
    pub key_at: u32,
    /// Norm and bias of the key, `[2, head_dim]`.
    pub affine: Slice,
    /// Rotation table of [`rope::table`].
    pub rope: Slice,
    /// Pairs that turn, of the first elements of a head.
    pub rope_pairs: u32,
    /// Factor of what turned; 1 but for some kinds of YaRN.
    pub rope_scale: f32,
    /// `[max_tokens, queries_stride]`, whose heads of the indexer turn in place.
    pub queries: Slice,
    /// Elements from token to token of the queries.
    pub queries_stride: u32,
    /// First element of the indexer's heads in a row.
    pub queries_at: u32,
    /// The indexer's heads.
    pub n_heads: u32,
    /// Elements of a head and of the key.
    pub head_dim: u32,
    /// The cache `[n_positions, head_dim]`.
    pub keys: Slice,
    /// Added to the variance.
    pub eps: f32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `index_heads`.
///
/// # Panics
/// When heads are narrower than what turns: shapes are checked before they come here.
pub fn record_index_heads(recording: &mut Recording, flow: &Flow) {
    assert!(2 * flow.rope_pairs <= flow.head_dim, "index_heads: heads are at least as wide as what turns");
    let params = Params {
        queries_stride: flow.queries_stride,
        queries_at: flow.queries_at,
        n_heads: flow.n_heads,
        head_dim: flow.head_dim,
        keys_stride: flow.keys_stride,
        key_at: flow.key_at,
        rope_pairs: flow.rope_pairs,
        rope_scale: flow.rope_scale,
        eps: flow.eps,
        max_tokens: flow.max_tokens,
    };
    let n_jobs = u64::from(flow.max_tokens) * u64::from(flow.n_heads + 1);
    let turned = n_jobs * 2 * u64::from(flow.rope_pairs);
    let key = u64::from(flow.max_tokens) * u64::from(flow.head_dim);
    let cost = Cost { bytes: 8 * (turned + key), ops: 4 * turned + 6 * key };
    let bindings = [flow.step, flow.projections, flow.affine, flow.rope, flow.queries, flow.keys];
    recording.push("index_heads", &OP, Spec::default(), n_jobs, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (projections, affine): (&[f32], &[f32]) = (call.input(1), call.input(2));
    let table: &[[f32; 2]] = call.input(3);
    let [queries, keys] = call.outputs::<f32, 2>();
    let n = p.head_dim as usize;
    for token in 0..step.n_tokens.min(p.max_tokens) {
        let position = step.position + token;
        for head in 0..p.n_heads {
            let at = (token * p.queries_stride + p.queries_at + head * p.head_dim) as usize;
            turn_halves(&mut queries[at..at + n], table, &p, position);
        }
        let row = &projections[(token * p.keys_stride + p.key_at) as usize..][..n];
        let mean = row.iter().sum::<f32>() / n as f32;
        let off: Vec<f32> = row.iter().map(|v| v - mean).collect();
        let factor = (super::mean_square(&off) + p.eps).sqrt().recip();
        let key = &mut keys[position as usize * n..][..n];
        let (norm, bias) = affine.split_at(n);
        for (((to, off), norm), bias) in key.iter_mut().zip(off).zip(norm).zip(bias) {
            *to = off * factor * norm + bias;
        }
        turn_halves(key, table, &p, position);
    }
}

/// Turns the first elements of a head, element i with the one half of them further on.
fn turn_halves(head: &mut [f32], table: &[[f32; 2]], p: &Params, position: u32) {
    let (low, rest) = head.split_at_mut(p.rope_pairs as usize);
    for ((pair, low), high) in (0..p.rope_pairs).zip(low).zip(rest) {
        let turned = rope::rotate([*low, *high], rope::turn(table, p.rope_pairs, position, pair));
        [*low, *high] = turned.map(|v| p.rope_scale * v);
    }
}

fn cases() -> Vec<Case> {
    vec![case(5, 20, 4, 3, 2, 254), case(2, 8, 4, 1, 1, 0), case(3, 130, 32, 4, 4, 37)]
}

fn case(n_heads: u32, head_dim: u32, rope_pairs: u32, capacity: u32, n_tokens: u32, at: u32) -> Case {
    let name =
        format!("{n_heads} heads of {head_dim} with {rope_pairs} pairs, {n_tokens} of {capacity} tokens at {at}");
    let mut case = CaseBuilder::new(name);
    let (keys_stride, queries_stride) = (head_dim + 7, n_heads * head_dim + 9);
    let flow = Flow {
        step: case.step(at, n_tokens),
        projections: case.random_input("projections", (capacity * keys_stride) as usize),
        keys_stride,
        key_at: 3,
        affine: case.random_input("affine", (2 * head_dim) as usize),
        rope: case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 10_000.0), 600)),
        rope_pairs,
        rope_scale: 1.125,
        queries: case.random_input("queries", (capacity * queries_stride) as usize),
        queries_stride,
        queries_at: 8,
        n_heads,
        head_dim,
        keys: case.output("keys", ((at + capacity) * head_dim) as usize, 1e-4),
        eps: 1e-6,
        max_tokens: capacity,
    };
    case.also_compare(flow.queries, 1e-4);
    record_index_heads(&mut case.recording, &flow);
    case.finish()
}
