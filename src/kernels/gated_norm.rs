//! `gated_norm`: the norm of a gated delta net's heads, and the gate on what it gives.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::{STEP, rms_norm, sigmoid};

crate::params! {
    /// Parameters of `gated_norm`; the WGSL says what each is.
    pub struct Params {
        /// Heads.
        pub n_heads: u32,
        /// Elements of a head.
        pub head_dim: u32,
        /// Elements from token to token of the projections.
        pub z_stride: u32,
        /// First element of the gate in them.
        pub z_at: u32,
        /// Added to mean squares.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "gated_norm",
    variants: &[Variant::only(
        "gated_norm",
        shader_text!("../../shaders/kernels/gated_norm.wgsl"),
        &[STEP],
        lower::ROW,
    )],
    bindings: &[
        ("step", Access::Read),
        ("x", Access::Read),
        ("projections", Access::Read),
        ("norm", Access::Read),
        ("y", Access::Write),
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
    /// `[max_tokens, n_heads, head_dim]`
    pub x: Slice,
    /// `[max_tokens, z_stride]`, with the gate `[n_heads, head_dim]` in each row.
    pub projections: Slice,
    /// Elements from token to token of the projections.
    pub z_stride: u32,
    /// First element of the gate.
    pub z_at: u32,
    /// Weights `[head_dim]`, the same for all heads.
    pub norm: Slice,
    /// Output, as `x`.
    pub y: Slice,
    /// Heads.
    pub n_heads: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Added to the mean square.
    pub eps: f32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `gated_norm`.
pub fn record_gated_norm(recording: &mut Recording, flow: &Flow) {
    let params = Params {
        n_heads: flow.n_heads,
        head_dim: flow.head_dim,
        z_stride: flow.z_stride,
        z_at: flow.z_at,
        eps: flow.eps,
        max_tokens: flow.max_tokens,
    };
    let heads = u64::from(flow.max_tokens) * u64::from(flow.n_heads);
    let n = heads * u64::from(flow.head_dim);
    let bindings = [flow.step, flow.x, flow.projections, flow.norm, flow.y];
    recording.push("gated_norm", &OP, Spec::default(), heads, &params, &bindings, Cost { bytes: 12 * n, ops: 9 * n });
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (x, projections, norm): (&[f32], &[f32], &[f32]) = (call.input(1), call.input(2), call.input(3));
    let tokens = call.tokens(step.n_tokens.min(p.max_tokens));
    let [y] = call.outputs::<f32, 1>();
    let (n_heads, n) = (p.n_heads as usize, p.head_dim as usize);
    for token in tokens.into_iter().map(|token| token as usize) {
        let z = &projections[token * p.z_stride as usize + p.z_at as usize..];
        for head in 0..n_heads {
            let at = (token * n_heads + head) * n;
            let normed = rms_norm(&x[at..at + n], &norm[..n], p.eps);
            for (i, v) in normed.into_iter().enumerate() {
                let z = z[head * n + i];
                y[at + i] = v * z * sigmoid(z);
            }
        }
    }
}

fn cases() -> Vec<Case> {
    vec![case(3, 20, 4, 3), case(1, 64, 1, 1), case(5, 7, 2, 2)]
}

fn case(n_heads: u32, head_dim: u32, max_tokens: u32, n_tokens: u32) -> Case {
    let mut case = CaseBuilder::new(format!("{n_heads} heads of {head_dim}, {n_tokens} of {max_tokens}"));
    let width = n_heads * head_dim;
    let z_stride = width + 9;
    // Some gates are far below where exp overflows.
    let projections = case.random_values((max_tokens * z_stride) as usize);
    let projections: Vec<f32> = projections.into_iter().map(|v| v * v * v * 200.0).collect();
    let flow = Flow {
        step: case.step(2, n_tokens),
        x: case.random_input("x", (max_tokens * width) as usize),
        projections: case.input("projections", &projections),
        z_stride,
        z_at: 4,
        norm: case.random_input("norm", head_dim as usize),
        y: case.output("y", (max_tokens * width) as usize, 1e-5),
        n_heads,
        head_dim,
        eps: 1e-6,
        max_tokens,
    };
    record_gated_norm(&mut case.recording, &flow);
    case.finish()
}
