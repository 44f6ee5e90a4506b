//! `rotate`: normalises each query head by its root mean square and turns its end to the token's position, in place; the
//! indexer's heads, which are not normalised, turn only.

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
        /// First element of the heads in a row.
        pub first: u32,
        /// Heads.
        pub n_heads: u32,
        /// Elements of a head.
        pub head_dim: u32,
        /// 1: heads are normalised.
        pub normalised: u32,
        /// Pairs that turn, the last of a head.
        pub rope_pairs: u32,
        /// Added to the mean square.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "rotate",
    variants: &[Variant::only("rotate", shader_text!("../../shaders/kernels/rotate.wgsl"), &[STEP, ROPE], lower::ROW)],
    bindings: &[("step", Access::Read), ("rope", Access::Read), ("queries", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Which heads are made ready.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Rotation table of [`rope::table`].
    pub rope: Slice,
    /// Pairs that turn, the last of every head.
    pub rope_pairs: u32,
    /// `[max_tokens, stride]`, f32, changed in place.
    pub queries: Slice,
    /// Elements from token to token, even.
    pub stride: u32,
    /// First element of the heads in a row, even.
    pub first: u32,
    /// Heads.
    pub n_heads: u32,
    /// Elements of a head, even.
    pub head_dim: u32,
    /// What is added to the mean square, where heads are normalised.
    pub eps: Option<f32>,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `rotate`, or one of another name.
///
/// # Panics
/// When widths are odd, or heads are narrower than what turns: shapes are checked before they come here.
pub fn record_rotate(recording: &mut Recording, name: &'static str, flow: &Flow) {
    let whole = [flow.stride, flow.first, flow.head_dim].iter().all(|n| n.is_multiple_of(2));
    assert!(whole && 2 * flow.rope_pairs <= flow.head_dim, "rotate: whole pairs, and heads as wide as what turns");
    assert!(flow.first + flow.n_heads * flow.head_dim <= flow.stride, "rotate: the heads fit a row");
    let params = Params {
        stride: flow.stride,
        first: flow.first,
        n_heads: flow.n_heads,
        head_dim: flow.head_dim,
        normalised: flow.eps.is_some().into(),
        rope_pairs: flow.rope_pairs,
        eps: flow.eps.unwrap_or_default(),
        max_tokens: flow.max_tokens,
    };
    let n_heads = u64::from(flow.max_tokens) * u64::from(flow.n_heads);
    let width = if flow.eps.is_some() { flow.head_dim } else { 2 * flow.rope_pairs };
    let n_elements = n_heads * u64::from(width);
    let cost = Cost { bytes: 8 * n_elements, ops: 4 * n_elements };
    recording.push(name, &OP, Spec::default(), n_heads, &params, &[flow.step, flow.rope, flow.queries], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let table: &[[f32; 2]] = call.input(1);
    let [queries] = call.outputs::<f32, 1>();
    let head_dim = p.head_dim as usize;
    for token in 0..step.n_tokens.min(p.max_tokens) {
        let heads = queries[(token * p.stride + p.first) as usize..].chunks_exact_mut(head_dim);
        for head in heads.take(p.n_heads as usize) {
            if p.normalised == 1 {
                let factor = 1.0 / (dot(head, head) / p.head_dim as f32 + p.eps).sqrt();
                head.iter_mut().for_each(|x| *x *= factor);
            }
            rope::rotate_head(head, table, p.rope_pairs, step.position + token, 1.0);
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        case([0, 3, 12], Some(1e-6), 2, [255, 2, 3]),
        case([36, 5, 8], None, 2, [255, 2, 3]),
        case([0, 2, 72], Some(1e-6), 32, [511, 1, 1]),
        case([8, 1, 8], None, 4, [0, 2, 2]),
    ]
}

/// `heads` are the first element, how many, and their width; `tokens` are position, n_tokens and capacity.
fn case(heads: [u32; 3], eps: Option<f32>, rope_pairs: u32, tokens: [u32; 3]) -> Case {
    let ([first, n_heads, head_dim], [position, n_tokens, max_tokens]) = (heads, tokens);
    let name = format!(
        "[first, heads, wide] {heads:?}, {rope_pairs} pairs, normalised: {}, [position, tokens, of] {tokens:?}",
        eps.is_some()
    );
    let mut case = CaseBuilder::new(name);
    let stride = first + n_heads * head_dim + 2;
    let flow = Flow {
        step: case.step(position, n_tokens),
        rope: case.input("rope", &rope::table(&rope::frequencies(rope_pairs, 10_000.0), 600)),
        rope_pairs,
        queries: case.random_input("queries", (max_tokens * stride) as usize),
        stride,
        first,
        n_heads,
        head_dim,
        eps,
        max_tokens,
    };
    case.also_compare(flow.queries, 1e-4);
    record_rotate(&mut case.recording, "rotate", &flow);
    case.finish()
}
