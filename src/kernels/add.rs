//! `add`: a sub-layer's outputs join the residual stream.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `add`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in the stream.
        pub n_quads: u32,
        /// Outputs of a token.
        pub n_slots: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "add",
    variants: &[Variant::only("add", shader_text!("../../shaders/kernels/add.wgsl"), &[STEP], lower::THREADS)],
    bindings: &[
        ("step", Access::Read),
        ("stream", Access::Read),
        ("outputs", Access::Read),
        ("bias", Access::Read),
        ("next", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What `add` reads and writes; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// The residual stream, `[max_tokens, n_embd]`.
    pub stream: Slice,
    /// What joins it: `[max_tokens, n_slots, n_embd]`.
    pub outputs: Slice,
    /// Outputs of a token.
    pub n_slots: u32,
    /// What joins the stream of every token, if anything: `[n_embd]`.
    pub bias: Option<Slice>,
    /// The stream after that, in another buffer.
    pub next: Slice,
    /// Width of the stream, a multiple of 4.
    pub n_embd: u32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// The constant that is 1 where there is a bias.
pub(super) const BIAS: &str = "BIAS";

/// Appends the stage.
///
/// # Panics
/// When the width is no multiple of 4: shapes are checked before they come here.
pub fn record_add(recording: &mut Recording, name: &'static str, flow: &Flow) {
    assert!(flow.n_embd.is_multiple_of(4), "{name}: the width is a multiple of 4");
    let params = Params { n_quads: flow.n_embd / 4, n_slots: flow.n_slots, max_tokens: flow.max_tokens };
    let n = u64::from(flow.max_tokens) * u64::from(flow.n_embd);
    let slots = u64::from(flow.n_slots);
    let cost = Cost { bytes: 4 * n * (slots + 2), ops: n * slots };
    let facts = Spec::default().constant(BIAS, u32::from(flow.bias.is_some()));
    let bindings = [flow.step, flow.stream, flow.outputs, flow.bias.unwrap_or(flow.stream), flow.next];
    recording.push(name, &OP, facts, n / 4, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let has_bias = call.constant(BIAS) == 1;
    let step = call.input::<Step>(0)[0];
    let (stream, outputs, bias) = (call.input::<f32>(1), call.input::<f32>(2), call.input::<f32>(3));
    let [next] = call.outputs::<f32, 1>();
    let (width, n_slots) = (p.n_quads as usize * 4, p.n_slots as usize);
    for token in 0..step.n_tokens.min(p.max_tokens) as usize {
        let row = &mut next[token * width..][..width];
        row.copy_from_slice(&stream[token * width..][..width]);
        for output in outputs[token * n_slots * width..].chunks_exact(width).take(n_slots) {
            row.iter_mut().zip(output).for_each(|(v, output)| *v += output);
        }
        if has_bias {
            row.iter_mut().zip(bias).for_each(|(v, bias)| *v += bias);
        }
    }
}

fn cases() -> Vec<Case> {
    [(36, 1, false, 5, 4), (256, 3, false, 3, 2), (4, 1, true, 1, 1), (36, 2, true, 5, 4)]
        .map(|(n_embd, n_slots, has_bias, max_tokens, n_tokens)| {
            let name = format!("width {n_embd}, {n_slots} slots, bias {has_bias}, {n_tokens} of {max_tokens}");
            let mut case = CaseBuilder::new(name);
            let flow = flow(&mut case, n_embd, n_slots, has_bias, [max_tokens, n_tokens]);
            record_add(&mut case.recording, "add", &flow);
            case.finish()
        })
        .into()
}

/// Random values; `tokens` are the capacity, and how many there are.
pub(super) fn flow(case: &mut CaseBuilder, n_embd: u32, n_slots: u32, has_bias: bool, tokens: [u32; 2]) -> Flow {
    let [max_tokens, n_tokens] = tokens;
    let n = (max_tokens * n_embd) as usize;
    Flow {
        step: case.step(9, n_tokens),
        stream: case.random_input("stream", n),
        outputs: case.random_input("outputs", n * n_slots as usize),
        n_slots,
        bias: has_bias.then(|| case.random_input("bias", n_embd as usize)),
        next: case.output("next", n, 1e-5),
        n_embd,
        max_tokens,
    }
}
