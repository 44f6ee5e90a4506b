//! `experts_gate`: the hidden values of experts whose products have biases, of those products. Source: transformers'
//! `modeling_gpt_oss`.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::{STEP, sigmoid};

crate::params! {
    /// Parameters of `experts_gate`; the WGSL says what each is.
    pub struct Params {
        /// Hidden units of an expert.
        pub n_hidden: u32,
        /// Experts of a token.
        pub n_slots: u32,
        /// Experts with a bias.
        pub n_experts: u32,
        /// From gate to gate.
        pub stride: u32,
        /// From a gate to its up.
        pub up_at: u32,
        /// Where gate and up are cut off.
        pub limit: f32,
        /// Factor within the sigmoid.
        pub alpha: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "experts_gate",
    variants: &[Variant::only(
        "experts_gate",
        shader_text!("../../shaders/kernels/experts_gate.wgsl"),
        &[STEP],
        lower::THREADS,
    )],
    bindings: &[
        ("step", Access::Read),
        ("raw", Access::Read),
        ("experts", Access::Read),
        ("weights", Access::Read),
        ("bias", Access::Read),
        ("hidden", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What `experts_gate` reads and writes; all but the experts in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Products of gate and up, `[max_tokens, n_slots, 2 * n_hidden]`.
    pub raw: Slice,
    /// Expert of each slot, `[max_tokens, n_slots]`, u32; one of `n_experts` and more has no expert.
    pub experts: Slice,
    /// Weight of each slot, `[max_tokens, n_slots]`.
    pub weights: Slice,
    /// `[n_experts, 2 * n_hidden]`
    pub bias: Slice,
    /// Output `[max_tokens, n_slots, n_hidden]`.
    pub hidden: Slice,
    /// Hidden units of an expert.
    pub n_hidden: u32,
    /// Experts of a token.
    pub n_slots: u32,
    /// Experts with a bias.
    pub n_experts: u32,
    /// Whether gates and ups alternate in `raw` and `bias`; else all gates come first.
    pub alternates: bool,
    /// Where the gate (above) and up (both ways) are cut off.
    pub limit: f32,
    /// Factor of the gate within the sigmoid.
    pub alpha: f32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends the stage `experts_gate`.
pub fn record_experts_gate(recording: &mut Recording, flow: &Flow) {
    let (stride, up_at) = if flow.alternates { (2, 1) } else { (1, flow.n_hidden) };
    let params = Params {
        n_hidden: flow.n_hidden,
        n_slots: flow.n_slots,
        n_experts: flow.n_experts,
        stride,
        up_at,
        limit: flow.limit,
        alpha: flow.alpha,
        max_tokens: flow.max_tokens,
    };
    let n = u64::from(flow.max_tokens) * u64::from(flow.n_slots) * u64::from(flow.n_hidden);
    let cost = Cost { bytes: 20 * n, ops: 9 * n };
    let bindings = [flow.step, flow.raw, flow.experts, flow.weights, flow.bias, flow.hidden];
    recording.push("experts_gate", &OP, Spec::default(), n, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (raw, experts) = (call.input::<f32>(1), call.inputs[2]);
    let (weights, bias) = (call.input::<f32>(3), call.input::<f32>(4));
    let [hidden] = call.outputs::<f32, 1>();
    let (n, stride, up_at) = (p.n_hidden as usize, p.stride as usize, p.up_at as usize);
    for entry in 0..(step.n_tokens.min(p.max_tokens) * p.n_slots) as usize {
        if experts[entry] >= p.n_experts {
            continue;
        }
        let (raw, bias) = (&raw[entry * 2 * n..], &bias[experts[entry] as usize * 2 * n..]);
        for (i, hidden) in hidden[entry * n..][..n].iter_mut().enumerate() {
            let sum = |at: usize| raw[at] + bias[at];
            let g = sum(stride * i).min(p.limit);
            let u = sum(stride * i + up_at).clamp(-p.limit, p.limit);
            *hidden = weights[entry] * g * sigmoid(p.alpha * g) * (u + 1.0);
        }
    }
}

fn cases() -> Vec<Case> {
    vec![case(36, true, 5, 4), case(36, false, 5, 4), case(8, true, 1, 1)]
}

/// Of each token's three slots the last has no expert.
fn case(n_hidden: u32, alternates: bool, max_tokens: u32, n_tokens: u32) -> Case {
    let name = format!("{n_hidden} hidden, alternating {alternates}, {n_tokens} of {max_tokens}");
    let mut case = CaseBuilder::new(name);
    let (n_slots, n_experts) = (3, 5);
    let n_entries = (max_tokens * n_slots) as usize;
    let expert = |entry: usize, random: u32| if entry % 3 == 2 { n_experts } else { random % n_experts };
    let experts: Vec<u32> = (0..n_entries).map(|entry| expert(entry, case.random_u32())).collect();
    // Some are cut off, and some gates are far below where exp overflows.
    let raw: Vec<f32> =
        case.random_values(n_entries * 2 * n_hidden as usize).iter().map(|v| v * v * v * 200.0).collect();
    let step = case.step(3, n_tokens);
    let flow = Flow {
        step,
        raw: case.input("raw", &raw),
        experts: case.input("experts", &experts),
        weights: case.random_input("weights", n_entries),
        bias: case.random_input("bias", (n_experts * 2 * n_hidden) as usize),
        hidden: case.output("hidden", n_entries * n_hidden as usize, 1e-5),
        n_hidden,
        n_slots,
        n_experts,
        alternates,
        limit: 7.0,
        alpha: 1.702,
        max_tokens,
    };
    record_experts_gate(&mut case.recording, &flow);
    case.finish()
}
