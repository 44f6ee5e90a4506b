//! `experts_bias`: the biases of the outputs of a token's experts, weighted and added up.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `experts_bias`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in an output.
        pub n_quads: u32,
        /// Experts of a token, and the slot for this.
        pub n_slots: u32,
        /// Experts with a bias.
        pub n_experts: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "experts_bias",
    variants: &[Variant::only(
        "experts_bias",
        shader_text!("../../shaders/kernels/experts_bias.wgsl"),
        &[STEP],
        lower::THREADS,
    )],
    bindings: &[
        ("step", Access::Read),
        ("experts", Access::Read),
        ("weights", Access::Read),
        ("bias", Access::Read),
        ("outputs", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What `experts_bias` reads and writes; all but the experts in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Expert of each slot, `[max_tokens, n_slots]`, u32.
    pub experts: Slice,
    /// Weight of each slot, `[max_tokens, n_slots]`.
    pub weights: Slice,
    /// `[n_experts, n_embd]`
    pub bias: Slice,
    /// `[max_tokens, n_slots, n_embd]`, of which the last slot is written.
    pub outputs: Slice,
    /// Width of an output, a multiple of 4.
    pub n_embd: u32,
    /// Experts of a token, and the slot for this.
    pub n_slots: u32,
    /// Experts with a bias.
    pub n_experts: u32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends the stage `experts_bias`.
///
/// # Panics
/// When the width is no multiple of 4: shapes are checked before they come here.
pub fn record_experts_bias(recording: &mut Recording, flow: &Flow) {
    assert!(flow.n_embd.is_multiple_of(4), "experts_bias: the width is a multiple of 4");
    let Flow { n_embd, n_slots, n_experts, max_tokens, .. } = *flow;
    let params = Params { n_quads: n_embd / 4, n_slots, n_experts, max_tokens };
    let n = u64::from(max_tokens) * u64::from(n_embd);
    let cost = Cost { bytes: 4 * n * u64::from(n_slots), ops: 2 * n * u64::from(n_slots) };
    let bindings = [flow.step, flow.experts, flow.weights, flow.bias, flow.outputs];
    recording.push("experts_bias", &OP, Spec::default(), n / 4, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (experts, weights, bias) = (call.inputs[1], call.input::<f32>(2), call.input::<f32>(3));
    let [outputs] = call.outputs::<f32, 1>();
    let (n, n_slots) = (p.n_quads as usize * 4, p.n_slots as usize);
    for token in 0..step.n_tokens.min(p.max_tokens) as usize {
        let output = &mut outputs[(token * n_slots + n_slots - 1) * n..][..n];
        output.fill(0.0);
        for slot in token * n_slots..(token + 1) * n_slots - 1 {
            let bias = &bias[experts[slot].min(p.n_experts - 1) as usize * n..][..n];
            output.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += weights[slot] * bias);
        }
    }
}

fn cases() -> Vec<Case> {
    vec![case(36, 3, 5, 4), case(256, 5, 1, 1)]
}

fn case(n_embd: u32, n_slots: u32, max_tokens: u32, n_tokens: u32) -> Case {
    let mut case = CaseBuilder::new(format!("width {n_embd}, {n_slots} slots, {n_tokens} of {max_tokens}"));
    let n_experts = 7;
    let n_entries = (max_tokens * n_slots) as usize;
    let experts: Vec<u32> = (0..n_entries).map(|_| case.random_u32() % n_experts).collect();
    let step = case.step(3, n_tokens);
    let flow = Flow {
        step,
        experts: case.input("experts", &experts),
        weights: case.random_input("weights", n_entries),
        bias: case.random_input("bias", (n_experts * n_embd) as usize),
        outputs: case.output("outputs", n_entries * n_embd as usize, 1e-5),
        n_embd,
        n_slots,
        n_experts,
        max_tokens,
    };
    record_experts_bias(&mut case.recording, &flow);
    case.finish()
}
