//! `mla_queries`: the part of each query head that turns, put behind the part that meets the latents, or the whole head with
//! that part turned.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::case::CaseBuilder;
use super::rope::{self, ROPE};

crate::params! {
    /// Parameters of `mla_queries`; the WGSL says what each is.
    pub struct Params {
        /// Query heads.
        pub n_heads: u32,
        /// Elements from token to token in queries.
        pub stride: u32,
        /// Elements of a query head.
        pub head_dim: u32,
        /// Pairs of a head that are written, its last.
        pub n_pairs: u32,
        /// Pairs that turn, the last of them.
        pub rope_pairs: u32,
        /// Elements from head to head in absorbed.
        pub absorbed_stride: u32,
        /// Factor of what turned.
        pub rope_scale: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "mla_queries",
    variants: &[Variant::only(
        "mla_queries",
        shader_text!("../../shaders/kernels/mla_queries.wgsl"),
        &[STEP, ROPE],
        lower::THREADS,
    )],
    bindings: &[("step", Access::Read), ("rope", Access::Read), ("queries", Access::Read), ("absorbed", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Where queries are read and written.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Rotation table of [`rope::table`].
    pub rope: Slice,
    /// Pairs that turn, the last of a head.
    pub rope_pairs: u32,
    /// Factor of what turned; 1 but for some kinds of YaRN.
    pub rope_scale: f32,
    /// `[max_tokens, stride]`, f32: the query heads first in each row.
    pub queries: Slice,
    /// Elements from token to token in `queries`.
    pub stride: u32,
    /// Query heads.
    pub n_heads: u32,
    /// Elements of a query head.
    pub head_dim: u32,
    /// Whether the part that does not turn is copied, too.
    pub whole: bool,
    /// Output `[max_tokens, n_heads, absorbed_stride]`, f32: the last elements of each row.
    pub absorbed: Slice,
    /// Elements of such a row.
    pub absorbed_stride: u32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `queries`.
///
/// # Panics
/// When heads are narrower than what turns: shapes are checked before they come here.
pub fn record_mla_queries(recording: &mut Recording, flow: &Flow) {
    let narrowest = flow.head_dim.min(flow.absorbed_stride);
    assert!(2 * flow.rope_pairs <= narrowest, "mla_queries: heads are at least as wide as what turns");
    assert!(!flow.whole || flow.head_dim <= flow.absorbed_stride, "mla_queries: whole heads have room");
    let n_pairs = if flow.whole { flow.head_dim / 2 } else { flow.rope_pairs };
    let params = Params {
        n_heads: flow.n_heads,
        stride: flow.stride,
        head_dim: flow.head_dim,
        n_pairs,
        rope_pairs: flow.rope_pairs,
        absorbed_stride: flow.absorbed_stride,
        rope_scale: flow.rope_scale,
        max_tokens: flow.max_tokens,
    };
    let n = u64::from(flow.max_tokens) * u64::from(flow.n_heads) * u64::from(n_pairs);
    let bindings = [flow.step, flow.rope, flow.queries, flow.absorbed];
    let cost = Cost { bytes: 16 * n, ops: 8 * n };
    recording.push("queries", &OP, Spec::default(), n, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (table, queries): (&[[f32; 2]], &[f32]) = (call.input(1), call.input(2));
    let [absorbed] = call.outputs::<f32, 1>();
    let n_written = 2 * p.n_pairs as usize;
    let n_copied = n_written - 2 * p.rope_pairs as usize;
    for token in 0..step.n_tokens.min(p.max_tokens) {
        for head in 0..p.n_heads {
            let end = (token * p.stride + (head + 1) * p.head_dim) as usize;
            let mut written = queries[end - n_written..end].to_vec();
            rope::rotate_head(&mut written, table, p.rope_pairs, step.position + token, 1.0);
            written[n_copied..].iter_mut().for_each(|v| *v *= p.rope_scale);
            let end = ((token * p.n_heads + head + 1) * p.absorbed_stride) as usize;
            absorbed[end - n_written..end].copy_from_slice(&written);
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        case([3, 12, 20], 2, false, [3, 2], 255),
        case([2, 40, 36], 16, false, [1, 1], 511),
        case([3, 12, 12], 2, true, [3, 2], 255),
        case([5, 48, 48], 8, true, [4, 4], 90),
    ]
}

/// `heads` are n_heads, head_dim, absorbed_stride.
fn case(
    [n_heads, head_dim, absorbed_stride]: [u32; 3],
    pairs: u32,
    whole: bool,
    [capacity, n_tokens]: [u32; 2],
    at: u32,
) -> Case {
    let mut case = CaseBuilder::new(format!(
        "{n_heads} heads of {head_dim} to {absorbed_stride} with {pairs} pairs, whole {whole}, {n_tokens} of {capacity} at {at}"
    ));
    let stride = n_heads * head_dim + 3;
    let flow = Flow {
        step: case.step(at, n_tokens),
        rope: case.input("rope", &rope::table(&rope::frequencies(pairs, 10_000.0), 600)),
        rope_pairs: pairs,
        rope_scale: 1.125,
        queries: case.random_input("queries", (capacity * stride) as usize),
        stride,
        n_heads,
        head_dim,
        whole,
        absorbed: case.output("absorbed", (capacity * n_heads * absorbed_stride) as usize, 1e-4),
        absorbed_stride,
        max_tokens: capacity,
    };
    record_mla_queries(&mut case.recording, &flow);
    case.finish()
}
