//! `hyper_expand`: a sub-layer's output goes back into the four residual streams, which mix among themselves.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::hyper_collapse::N_COEFFICIENTS;
use super::{N_STREAMS, STEP};

crate::params! {
    /// Parameters of `hyper_expand`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in a stream.
        pub n_quads: u32,
        /// Outputs to add up for a token.
        pub n_slots: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "hyper_expand",
    variants: &[Variant::only(
        "hyper_expand",
        shader_text!("../../shaders/kernels/hyper_expand.wgsl"),
        &[STEP],
        lower::THREADS,
    )],
    bindings: &[
        ("step", Access::Read),
        ("streams", Access::Read),
        ("coefficients", Access::Read),
        ("outputs", Access::Read),
        ("next", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What `hyper_expand` reads and writes; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Residual streams before the sub-layer: `[max_tokens, 4, n_embd]`.
    pub streams: Slice,
    /// What `hyper_collapse` wrote: `[max_tokens, 24]`.
    pub coefficients: Slice,
    /// The sub-layer's outputs, to be added up: `[max_tokens, n_slots, n_embd]`.
    pub outputs: Slice,
    /// Outputs of a token.
    pub n_slots: u32,
    /// Residual streams after the sub-layer, another buffer: `[max_tokens, 4, n_embd]`.
    pub next: Slice,
    /// Width of a stream, a multiple of 4.
    pub n_embd: u32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends the way back into the streams after a sub-layer.
///
/// # Panics
/// When the width is no multiple of 4 or `next` is `streams`: shapes are checked before they come here.
pub fn record_hyper_expand(recording: &mut Recording, flow: &Flow) {
    assert!(flow.n_embd.is_multiple_of(4), "hyper_expand: the width is a multiple of 4");
    assert!(flow.next.buffer != flow.streams.buffer, "hyper_expand: next is another buffer than streams");
    let params = Params { n_quads: flow.n_embd / 4, n_slots: flow.n_slots, max_tokens: flow.max_tokens };
    let values = u64::from(flow.max_tokens) * u64::from(flow.n_embd);
    let slots = u64::from(flow.n_slots);
    let cost = Cost { bytes: values * 4 * (8 + slots), ops: values * (40 + slots) };
    let bindings = [flow.step, flow.streams, flow.coefficients, flow.outputs, flow.next];
    recording.push("hyper_expand", &OP, Spec::default(), values / 4, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (streams, coefficients, outputs) = (call.input::<f32>(1), call.input::<f32>(2), call.input::<f32>(3));
    let tokens = call.tokens(step.n_tokens.min(p.max_tokens));
    let [next] = call.outputs::<f32, 1>();
    let (n_embd, n_slots) = (p.n_quads as usize * 4, p.n_slots as usize);
    for token in tokens.into_iter().map(|token| token as usize) {
        let post = &coefficients[token * 24 + 4..][..4];
        let comb = &coefficients[token * 24 + 8..][..16];
        for i in 0..n_embd {
            let f: f32 = (0..n_slots).map(|slot| outputs[(token * n_slots + slot) * n_embd + i]).sum();
            for k in 0..4 {
                let mixed: f32 = (0..4).map(|j| comb[4 * j + k] * streams[(token * 4 + j) * n_embd + i]).sum();
                next[(token * 4 + k) * n_embd + i] = post[k] * f + mixed;
            }
        }
    }
}

fn cases() -> Vec<Case> {
    vec![case(36, 1, 3, 2), case(128, 7, 1, 1), case(4, 3, 5, 5)]
}

fn case(n_embd: u32, n_slots: u32, max_tokens: u32, n_tokens: u32) -> Case {
    let name = format!("width {n_embd}, {n_slots} slots, {n_tokens} of {max_tokens}");
    let mut case = CaseBuilder::new(name);
    let step = case.step(2, n_tokens);
    let values = max_tokens * n_embd;
    let flow = Flow {
        step,
        streams: case.random_input("streams", (values * N_STREAMS) as usize),
        coefficients: case.random_input("coefficients", (max_tokens * N_COEFFICIENTS) as usize),
        outputs: case.random_input("outputs", (values * n_slots) as usize),
        n_slots,
        next: case.output("next", (values * N_STREAMS) as usize, 1e-4),
        n_embd,
        max_tokens,
    };
    record_hyper_expand(&mut case.recording, &flow);
    case.finish()
}
