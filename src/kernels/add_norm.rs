//! `add_norm`: a sub-layer's output joins the residual stream, and the next sub-layer's input is normed.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::{STEP, mean_square};

crate::params! {
    /// Parameters of `add_norm`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in the stream.
        pub n_quads: u32,
        /// Outputs of a token.
        pub n_slots: u32,
        /// 1 to do only the last token.
        pub last_only: u32,
        /// Added to the mean square.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "add_norm",
    variants: &[Variant::only("add_norm", shader_text!("../../shaders/kernels/add_norm.wgsl"), &[STEP], lower::VECTOR)],
    bindings: &[
        ("step", Access::Read),
        ("outputs", Access::Read),
        ("norm", Access::Read),
        ("stream", Access::Write),
        ("x", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What `add_norm` reads and writes; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// What joins the stream: `[max_tokens, n_slots, n_embd]`.
    pub outputs: Slice,
    /// Outputs of a token that are added up; 0 where nothing joins.
    pub n_slots: u32,
    /// Weights of the norm: `[n_embd]`; with `has_bias` and after them what joins the stream of every token, as long.
    pub norm: Slice,
    /// Whether there is such a bias.
    pub has_bias: bool,
    /// The residual stream `[max_tokens, n_embd]`, changed in place.
    pub stream: Slice,
    /// Output `[max_tokens, n_embd]`, or `[1, n_embd]` with `last_only`.
    pub x: Slice,
    /// Width of the stream, a multiple of 4.
    pub n_embd: u32,
    /// Do only the step's last token, and write its input to row 0.
    pub last_only: bool,
    /// Added to the mean square.
    pub eps: f32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends the stage, under the name of the norm: `attn_norm`, `ffn_norm`, `norm`.
///
/// # Panics
/// When the width is no multiple of 4: shapes are checked before they come here.
pub fn record_add_norm(recording: &mut Recording, name: &'static str, flow: &Flow) {
    assert!(flow.n_embd.is_multiple_of(4), "add_norm: the width is a multiple of 4");
    let params = Params {
        n_quads: flow.n_embd / 4,
        n_slots: flow.n_slots,
        last_only: u32::from(flow.last_only),
        eps: flow.eps,
        max_tokens: flow.max_tokens,
    };
    let n_groups = if flow.last_only { 1 } else { u64::from(flow.max_tokens) };
    let (width, slots) = (u64::from(flow.n_embd), u64::from(flow.n_slots));
    let cost = Cost { bytes: 4 * width * (n_groups * (3 + slots) + 1), ops: n_groups * width * (4 + slots) };
    let facts = Spec::default().constant("BIAS", u32::from(flow.has_bias));
    let bindings = [flow.step, flow.outputs, flow.norm, flow.stream, flow.x];
    recording.push(name, &OP, facts, n_groups, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let has_bias = call.constant("BIAS") == 1;
    let step = call.input::<Step>(0)[0];
    let (outputs, norm) = (call.input::<f32>(1), call.input::<f32>(2));
    let [stream, x] = call.outputs::<f32, 2>();
    let (n_embd, n_slots) = (p.n_quads as usize * 4, p.n_slots as usize);
    let n_tokens = step.n_tokens.min(p.max_tokens) as usize;
    let first = if p.last_only == 1 { n_tokens.saturating_sub(1) } else { 0 };
    for token in first..n_tokens {
        let row = &mut stream[token * n_embd..][..n_embd];
        for slot in 0..n_slots {
            let output = &outputs[(token * n_slots + slot) * n_embd..][..n_embd];
            row.iter_mut().zip(output).for_each(|(v, output)| *v += output);
        }
        if has_bias {
            row.iter_mut().zip(&norm[n_embd..]).for_each(|(v, bias)| *v += bias);
        }
        let scale = 1.0 / (mean_square(row) + p.eps).sqrt();
        let x = &mut x[(token - first) * n_embd..][..n_embd];
        x.iter_mut().zip(row.iter().zip(norm)).for_each(|(x, (v, norm))| *x = scale * norm * *v);
    }
}

fn cases() -> Vec<Case> {
    vec![
        case(36, 0, true, false, 5, 4),
        case(256, 1, false, false, 3, 2),
        case(4, 3, true, false, 1, 1),
        case(36, 1, false, true, 5, 4),
    ]
}

fn case(n_embd: u32, n_slots: u32, last_only: bool, has_bias: bool, max_tokens: u32, n_tokens: u32) -> Case {
    let name =
        format!("width {n_embd}, {n_slots} slots, last only {last_only}, bias {has_bias}, {n_tokens} of {max_tokens}");
    let mut case = CaseBuilder::new(name);
    let step = case.step(9, n_tokens);
    let flow = Flow {
        step,
        outputs: case.random_input("outputs", (max_tokens * n_slots.max(1) * n_embd) as usize),
        n_slots,
        norm: case.random_input("norm", n_embd as usize * (1 + usize::from(has_bias))),
        has_bias,
        stream: case.random_input("stream", (max_tokens * n_embd) as usize),
        x: case.output("x", (max_tokens * n_embd) as usize, 1e-4),
        n_embd,
        last_only,
        eps: 1e-6,
        max_tokens,
    };
    case.also_compare(flow.stream, 1e-5);
    record_add_norm(&mut case.recording, "attn_norm", &flow);
    case.finish()
}
