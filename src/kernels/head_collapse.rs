//! `head_collapse`: the last collapse of the four residual streams, and the norm before the output head.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::mix_sums::{MIX_PART, MIX_SUMS, case_mix, mix_sums};
use super::{N_STREAMS, STEP, mean_square, sigmoid};

crate::params! {
    /// Parameters of `head_collapse`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in a stream.
        pub n_quads: u32,
        /// Parts of the mix; 0 where it is whole.
        pub n_parts: u32,
        /// 1 to do only the last token.
        pub last_only: u32,
        /// Added to mean squares.
        pub norm_eps: f32,
        /// Added to `pre`.
        pub hyper_eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "head_collapse",
    variants: &[Variant::only(
        "head_collapse",
        shader_text!("../../shaders/kernels/head_collapse.wgsl"),
        &[STEP, MIX_PART, MIX_SUMS],
        lower::VECTOR,
    )],
    bindings: &[
        ("step", Access::Read),
        ("streams", Access::Read),
        ("mix", Access::Read),
        ("affine", Access::Read),
        ("norm", Access::Read),
        ("x", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What `head_collapse` reads and writes; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Residual streams `[max_tokens, 4, n_embd]`.
    pub streams: Slice,
    /// The mixing matrix times the flattened streams, not yet divided by their root mean square, `[max_tokens, 4]`; or parts
    /// of it to be added up, each with the squares of the streams behind it, `[max_tokens, n_parts, 8]`.
    pub mix: Slice,
    /// Parts of the mix, 0 where it is whole, as [`record_hyper_mix`](super::hyper_mix::record_hyper_mix) tells.
    pub n_parts: u32,
    /// Added to the scaled mix, `[4]`, and then its scales: `[1]`.
    pub affine: Slice,
    /// Weights of the output norm: `[n_embd]`.
    pub norm: Slice,
    /// Output `[max_tokens, n_embd]`, or `[1, n_embd]` with `last_only`.
    pub x: Slice,
    /// Width of a stream, a multiple of 4.
    pub n_embd: u32,
    /// Do only the step's last token, and write it to row 0.
    pub last_only: bool,
    /// Added to mean squares.
    pub norm_eps: f32,
    /// Added to `pre`.
    pub hyper_eps: f32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends the collapse of the streams before the output head.
///
/// # Panics
/// When the width is no multiple of 4: shapes are checked before they come here.
pub fn record_head_collapse(recording: &mut Recording, flow: &Flow) {
    assert!(flow.n_embd.is_multiple_of(4), "head_collapse: the width is a multiple of 4");
    let params = Params {
        n_quads: flow.n_embd / 4,
        n_parts: flow.n_parts,
        last_only: u32::from(flow.last_only),
        norm_eps: flow.norm_eps,
        hyper_eps: flow.hyper_eps,
        max_tokens: flow.max_tokens,
    };
    let n_groups = if flow.last_only { 1 } else { u64::from(flow.max_tokens) };
    let width = u64::from(flow.n_embd);
    let cost = Cost { bytes: n_groups * 20 * width + width * 4, ops: n_groups * 20 * width };
    let bindings = [flow.step, flow.streams, flow.mix, flow.affine, flow.norm, flow.x];
    recording.push("head_collapse", &OP, Spec::default(), n_groups, &params, &bindings, cost);
}

/// `x = norm ⊙ y / sqrt(mean(y²) + eps)`, `y = Σ_i pre_i · streams_i`: what both collapses end with.
pub(super) fn collapse(streams: &[f32], pre: &[f32], norm: &[f32], eps: f32, x: &mut [f32]) {
    let n_embd = x.len();
    for (i, y) in x.iter_mut().enumerate() {
        *y = (0..4).map(|stream| pre[stream] * streams[stream * n_embd + i]).sum();
    }
    let scale = 1.0 / (mean_square(x) + eps).sqrt();
    x.iter_mut().zip(norm).for_each(|(x, norm)| *x *= scale * norm);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (streams, mix) = (call.input::<f32>(1), call.input::<f32>(2));
    let (affine, norm) = (call.input::<f32>(3), call.input::<f32>(4));
    let (base, scale) = affine.split_at(4);
    let [x] = call.outputs::<f32, 1>();
    let n_embd = p.n_quads as usize * 4;
    let n_tokens = step.n_tokens.min(p.max_tokens) as usize;
    let first = if p.last_only == 1 { n_tokens.saturating_sub(1) } else { 0 };
    for token in first..n_tokens {
        let streams = &streams[token * 4 * n_embd..][..4 * n_embd];
        let (mix, mean_square) = mix_sums::<4>(mix, p.n_parts, token, streams);
        let rho = 1.0 / (mean_square + p.norm_eps).sqrt();
        let of = |i: usize| sigmoid(rho * mix[i] * scale[0] + base[i]) + p.hyper_eps;
        let pre: [f32; 4] = std::array::from_fn(of);
        collapse(streams, &pre, norm, p.norm_eps, &mut x[(token - first) * n_embd..][..n_embd]);
    }
}

fn cases() -> Vec<Case> {
    vec![case(36, true, 0, [5, 4]), case(256, false, 0, [3, 2]), case(4, true, 16, [1, 1]), case(36, false, 3, [4, 3])]
}

/// `tokens` are the capacity, and how many there are.
fn case(n_embd: u32, last_only: bool, n_parts: u32, tokens: [u32; 2]) -> Case {
    let [max_tokens, n_tokens] = tokens;
    let name = format!("width {n_embd}, last only {last_only}, {n_parts} parts, {n_tokens} of {max_tokens}");
    let mut case = CaseBuilder::new(name);
    let step = case.step(9, n_tokens);
    let flow = Flow {
        step,
        streams: case.random_input("streams", (max_tokens * N_STREAMS * n_embd) as usize),
        mix: case_mix(&mut case, [N_STREAMS, n_parts, max_tokens], n_embd, 1.0),
        n_parts,
        affine: case.random_input("affine", N_STREAMS as usize + 1),
        norm: case.random_input("norm", n_embd as usize),
        x: case.output("x", (max_tokens * n_embd) as usize, 1e-4),
        n_embd,
        last_only,
        norm_eps: 1e-6,
        hyper_eps: 1e-6,
        max_tokens,
    };
    record_head_collapse(&mut case.recording, &flow);
    case.finish()
}
