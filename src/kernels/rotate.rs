//! `rotate`: normalises each query head by its root mean square and turns its end to the token's position, in place;
//! turns the indexer's heads, which are not normalised.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::rope::{self, ROPE};
use super::{STEP, dot};

crate::params! {
    /// Parameters of `rotate`; the WGSL says what each is.
    pub struct Params {
        /// Elements from token to token.
        pub stride: u32,
        /// Heads that are normalised and turned.
        pub n_heads: u32,
        /// Elements of such a head.
        pub head_dim: u32,
        /// Heads after them that are turned only.
        pub n_index_heads: u32,
        /// Elements of such a head.
        pub index_head_dim: u32,
        /// Pairs that turn, the last of a head.
        pub rope_pairs: u32,
        /// Added to the mean square.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// What one group of lanes does.
pub(super) const HEAD: &str = shader_text!("../../shaders/lib/rotate_head.wgsl");

/// The kernel.
pub static OP: Op = Op {
    name: "rotate",
    variants: &[Variant::only(
        "rotate",
        shader_text!("../../shaders/kernels/rotate.wgsl"),
        &[STEP, ROPE, HEAD],
        lower::ROW,
    )],
    bindings: &[("step", Access::Read), ("rope", Access::Read), ("queries", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Which heads are turned.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Rotation table of [`rope::table`].
    pub rope: Slice,
    /// Pairs that turn, the last of every head.
    pub rope_pairs: u32,
    /// `[max_tokens, stride]`, f32, changed in place: the query heads, then the indexer's.
    pub queries: Slice,
    /// Elements from token to token, even.
    pub stride: u32,
    /// Query heads.
    pub n_heads: u32,
    /// Elements of a query head, even.
    pub head_dim: u32,
    /// The indexer's heads; 0 where there is none.
    pub n_index_heads: u32,
    /// Elements of an indexer's head, even.
    pub index_head_dim: u32,
    /// Added to the mean square.
    pub eps: f32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `rotate`.
///
/// # Panics
/// When widths are odd, or heads are narrower than what turns: shapes are checked before they come here.
pub fn record_rotate(recording: &mut Recording, flow: &Flow) {
    assert!(
        flow.stride.is_multiple_of(2) && flow.head_dim.is_multiple_of(2) && flow.index_head_dim.is_multiple_of(2),
        "rotate: whole pairs"
    );
    let narrow = |dim: u32| 2 * flow.rope_pairs > dim;
    assert!(!narrow(flow.head_dim) && (flow.n_index_heads == 0 || !narrow(flow.index_head_dim)), "rotate: wide heads");
    let width = flow.n_heads * flow.head_dim + flow.n_index_heads * flow.index_head_dim;
    assert!(width <= flow.stride, "rotate: the heads fit a row");
    let params = Params {
        stride: flow.stride,
        n_heads: flow.n_heads,
        head_dim: flow.head_dim,
        n_index_heads: flow.n_index_heads,
        index_head_dim: flow.index_head_dim,
        rope_pairs: flow.rope_pairs,
        eps: flow.eps,
        max_tokens: flow.max_tokens,
    };
    let tokens = u64::from(flow.max_tokens);
    let cost = Cost { bytes: 8 * u64::from(width) * tokens, ops: 4 * u64::from(width) * tokens };
    let n_heads = tokens * u64::from(flow.n_heads + flow.n_index_heads);
    recording.push("rotate", &OP, Spec::default(), n_heads, &params, &[flow.step, flow.rope, flow.queries], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let table: &[[f32; 2]] = call.input(1);
    let [queries] = call.outputs::<f32, 1>();
    for token in 0..step.n_tokens.min(p.max_tokens) {
        let row = &mut queries[(token * p.stride) as usize..];
        let (heads, rest) = row.split_at_mut((p.n_heads * p.head_dim) as usize);
        for head in heads.chunks_exact_mut(p.head_dim as usize) {
            let factor = 1.0 / (dot(head, head) / p.head_dim as f32 + p.eps).sqrt();
            head.iter_mut().for_each(|x| *x *= factor);
            rope::rotate_head(head, table, p.rope_pairs, step.position + token, 1.0);
        }
        for head in rest.chunks_exact_mut(p.index_head_dim.max(1) as usize).take(p.n_index_heads as usize) {
            rope::rotate_head(head, table, p.rope_pairs, step.position + token, 1.0);
        }
    }
}

fn cases() -> Vec<Case> {
    vec![case([3, 12, 5, 8], 2, 3, 2, 255), case([2, 72, 0, 0], 32, 1, 1, 511), case([1, 8, 1, 8], 4, 2, 2, 0)]
}

/// `heads` are n_heads, head_dim, n_index_heads, index_head_dim.
fn case(heads: [u32; 4], rope_pairs: u32, capacity: u32, n_tokens: u32, position: u32) -> Case {
    let [n_heads, head_dim, n_index_heads, index_head_dim] = heads;
    let name = format!("heads {heads:?} with {rope_pairs} pairs, {n_tokens} of {capacity} tokens at {position}");
    let mut case = CaseBuilder::new(name);
    let stride = n_heads * head_dim + n_index_heads * index_head_dim + 2;
    let flow = Flow {
        step: case.step(position, n_tokens),
        rope: case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 10_000.0), 600)),
        rope_pairs,
        queries: case.random_input("queries", (capacity * stride) as usize),
        stride,
        n_heads,
        head_dim,
        n_index_heads,
        index_head_dim,
        eps: 1e-6,
        max_tokens: capacity,
    };
    case.also_compare(flow.queries, 1e-4);
    record_rotate(&mut case.recording, &flow);
    case.finish()
}
