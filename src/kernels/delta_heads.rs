//! `delta_heads`: queries and keys of a gated delta net brought to length 1, and the gates of its value heads.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::{STEP, dot, sigmoid};

/// Added to the square of a head's length.
const EPS: f32 = 1e-6;

crate::params! {
    /// Parameters of `delta_heads`; the WGSL says what each is.
    pub struct Params {
        /// Heads of queries, and as many of keys.
        pub n_key_heads: u32,
        /// Value heads.
        pub n_value_heads: u32,
        /// Elements of a query or key head.
        pub head_dim: u32,
        /// Elements from token to token in y.
        pub y_stride: u32,
        /// Elements from token to token of the projections.
        pub stride: u32,
        /// First element of b in them.
        pub b_at: u32,
        /// First element of a.
        pub a_at: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "delta_heads",
    variants: &[Variant::only(
        "delta_heads",
        shader_text!("../../shaders/kernels/delta_heads.wgsl"),
        &[STEP],
        lower::ROW,
    )],
    bindings: &[
        ("step", Access::Read),
        ("projections", Access::Read),
        ("affine", Access::Read),
        ("y", Access::Write),
        ("gates", Access::Write),
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
    /// `[max_tokens, stride]`
    pub projections: Slice,
    /// Elements from token to token of the projections.
    pub stride: u32,
    /// First element of b, `[n_value_heads]`, in a row of the projections.
    pub b_at: u32,
    /// First element of a, `[n_value_heads]`.
    pub a_at: u32,
    /// The decay of each value head, `-exp(A_log)`, then the bias of a: `[2, n_value_heads]`.
    pub affine: Slice,
    /// `[max_tokens, y_stride]`: queries and then keys, `[n_key_heads, head_dim]` each, are changed in place.
    pub y: Slice,
    /// Elements from token to token in `y`.
    pub y_stride: u32,
    /// Output `[max_tokens, n_value_heads, 2]`: what is kept of the state, and what of a new value is written to it.
    pub gates: Slice,
    /// Heads of queries, and as many of keys.
    pub n_key_heads: u32,
    /// Value heads.
    pub n_value_heads: u32,
    /// Elements of a query or key head.
    pub head_dim: u32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `delta_heads`.
pub fn record_delta_heads(recording: &mut Recording, flow: &Flow) {
    let params = Params {
        n_key_heads: flow.n_key_heads,
        n_value_heads: flow.n_value_heads,
        head_dim: flow.head_dim,
        y_stride: flow.y_stride,
        stride: flow.stride,
        b_at: flow.b_at,
        a_at: flow.a_at,
        max_tokens: flow.max_tokens,
    };
    let tokens = u64::from(flow.max_tokens);
    let (heads, gates) = (2 * u64::from(flow.n_key_heads), u64::from(flow.n_value_heads));
    let elements = heads * u64::from(flow.head_dim);
    let cost = Cost { bytes: 4 * tokens * (2 * elements + 4 * gates), ops: tokens * (3 * elements + 10 * gates) };
    let bindings = [flow.step, flow.projections, flow.affine, flow.y, flow.gates];
    recording.push("delta_heads", &OP, Spec::default(), tokens * (heads + 1), &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (projections, affine): (&[f32], &[f32]) = (call.input(1), call.input(2));
    let [y, gates] = call.outputs::<f32, 2>();
    let (n, width) = (p.n_value_heads as usize, p.head_dim as usize);
    for token in 0..step.n_tokens.min(p.max_tokens) as usize {
        let row = &mut y[token * p.y_stride as usize..][..2 * p.n_key_heads as usize * width];
        for (head, v) in row.chunks_exact_mut(width).enumerate() {
            let length = (dot(v, v) + EPS).sqrt();
            let scale = if head < p.n_key_heads as usize { (width as f32).sqrt() } else { 1.0 };
            v.iter_mut().for_each(|v| *v /= length * scale);
        }
        let row = &projections[token * p.stride as usize..];
        for head in 0..n {
            let a = row[p.a_at as usize + head] + affine[n + head];
            let softplus = a.max(0.0) + (-a.abs()).exp().ln_1p();
            let gate = &mut gates[2 * (token * n + head)..][..2];
            gate[0] = (affine[head] * softplus).exp();
            gate[1] = sigmoid(row[p.b_at as usize + head]);
        }
    }
}

fn cases() -> Vec<Case> {
    vec![case([2, 4, 12], 3, 2), case([1, 3, 8], 1, 1), case([3, 3, 64], 5, 5)]
}

/// `heads` are n_key_heads, n_value_heads, head_dim.
fn case([n_key_heads, n_value_heads, head_dim]: [u32; 3], max_tokens: u32, n_tokens: u32) -> Case {
    let heads = [n_key_heads, n_value_heads, head_dim];
    let mut case = CaseBuilder::new(format!("heads {heads:?}, {n_tokens} of {max_tokens}"));
    let (stride, y_stride) = (2 * n_value_heads + 7, 2 * n_key_heads * head_dim + 5);
    // Some are far beyond where exp overflows.
    let wide = |values: Vec<f32>| -> Vec<f32> { values.into_iter().map(|v| v * v * v * 200.0).collect() };
    let projections = wide(case.random_values((max_tokens * stride) as usize));
    let mut affine: Vec<f32> = case.random_values(n_value_heads as usize).into_iter().map(|v| v - 1.0).collect();
    affine.extend(case.random_values(n_value_heads as usize));
    let flow = Flow {
        step: case.step(3, n_tokens),
        projections: case.input("projections", &projections),
        stride,
        b_at: 2,
        a_at: n_value_heads + 4,
        affine: case.input("affine", &affine),
        y: case.random_input("y", (max_tokens * y_stride) as usize),
        y_stride,
        gates: case.output("gates", (max_tokens * n_value_heads * 2) as usize, 2e-5),
        n_key_heads,
        n_value_heads,
        head_dim,
        max_tokens,
    };
    case.also_compare(flow.y, 1e-5);
    record_delta_heads(&mut case.recording, &flow);
    case.finish()
}
