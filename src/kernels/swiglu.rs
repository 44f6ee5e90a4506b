//! `swiglu`: the hidden values of a feed-forward network without experts.

use std::f32::consts::{FRAC_2_SQRT_PI, SQRT_2};

use crate::gpu::lower::{self, Lowered, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::{FINISH_PLAIN, STEP, sigmoid};

crate::params! {
    /// Parameters of `swiglu`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in the hidden values.
        pub n_quads: u32,
        /// Where the gate (above) and up (both ways) are cut off.
        pub limit: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

pub(super) const SOURCE: &str = shader_text!("../../shaders/kernels/swiglu.wgsl");

/// Invocations that take so many vectors each.
pub(super) const fn way<const QUADS: u32>() -> Way {
    let lower = |stage: &Stage, caps: &Caps, config: &Config| {
        let alone = (lower::THREADS.lower)(stage, caps, config);
        Lowered { spec: alone.spec.constant("QUADS", QUADS), ..alone }
    };
    Way { lower, space: lower::THREADS.space }
}

/// The kernel.
pub static OP: Op = Op {
    name: "swiglu",
    variants: &[Variant::only("swiglu", SOURCE, &[STEP, FINISH_PLAIN], way::<1>())],
    bindings: &[("step", Access::Read), ("gate_up", Access::Read), ("hidden", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What a gate goes through before it multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `v · sigmoid(v)`.
    Silu,
    /// `v/2 · (1 + tanh(√(2/π) (v + 0.044715 v³)))`, which is `v` times the sigmoid of twice what tanh is taken of.
    GeluTanh,
}

/// The constant that is 1 for [`Activation::GeluTanh`].
const GELU: &str = "GELU";

/// What `swiglu` reads and writes; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// `[max_tokens, 2 * n_hidden]`, the gate first.
    pub gate_up: Slice,
    /// Output `[max_tokens, n_hidden]`.
    pub hidden: Slice,
    /// Hidden units, a multiple of 4.
    pub n_hidden: u32,
    /// What the gate goes through.
    pub activation: Activation,
    /// Where the gate (above) and up (both ways) are cut off.
    pub limit: f32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends `hidden = act(min(gate, limit)) ⊙ clamp(up, ±limit)`.
///
/// # Panics
/// When the width is no multiple of 4: shapes are checked before they come here.
pub fn record_swiglu(recording: &mut Recording, flow: &Flow) {
    assert!(flow.n_hidden.is_multiple_of(4), "swiglu: the width is a multiple of 4");
    let params = Params { n_quads: flow.n_hidden / 4, limit: flow.limit, max_tokens: flow.max_tokens };
    let n = u64::from(flow.max_tokens) * u64::from(flow.n_hidden);
    let cost = Cost { bytes: 12 * n, ops: 5 * n };
    let facts = Spec::default().constant(GELU, u32::from(flow.activation == Activation::GeluTanh));
    recording.push("swiglu", &OP, facts, n / 4, &params, &[flow.step, flow.gate_up, flow.hidden], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let is_gelu = call.constant(GELU) == 1;
    // 2 √(2/π)
    let factor = FRAC_2_SQRT_PI * SQRT_2;
    let turn = |v: f32| if is_gelu { factor * (v + 0.044_715 * v * v * v) } else { v };
    let step = call.input::<Step>(0)[0];
    let gate_up: &[f32] = call.input(1);
    let tokens = call.tokens(step.n_tokens.min(p.max_tokens));
    let [hidden] = call.outputs::<f32, 1>();
    let n = p.n_quads as usize * 4;
    for token in tokens.into_iter().map(|token| token as usize) {
        let (gate, up) = gate_up[token * 2 * n..][..2 * n].split_at(n);
        for (i, hidden) in hidden[token * n..][..n].iter_mut().enumerate() {
            let (g, u) = (gate[i].min(p.limit), up[i].clamp(-p.limit, p.limit));
            *hidden = g * sigmoid(turn(g)) * u;
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        case(36, Activation::Silu, f32::MAX, 5, 4),
        case(256, Activation::Silu, 10.0, 1, 1),
        case(36, Activation::GeluTanh, f32::MAX, 5, 4),
        case(256, Activation::GeluTanh, f32::MAX, 1, 1),
    ]
}

fn case(n_hidden: u32, activation: Activation, limit: f32, max_tokens: u32, n_tokens: u32) -> Case {
    let mut case =
        CaseBuilder::new(format!("width {n_hidden}, {activation:?} up to {limit:?}, {n_tokens} of {max_tokens}"));
    let step = case.step(3, n_tokens);
    let n = (max_tokens * n_hidden) as usize;
    // Some gates are far below where exp overflows.
    let values: Vec<f32> = case.random_values(2 * n).into_iter().map(|v| v * v * v * 200.0).collect();
    let gate_up = case.input("gate_up", &values);
    let hidden = case.output("hidden", n, 1e-5);
    let flow = Flow { step, gate_up, hidden, n_hidden, activation, limit, max_tokens };
    record_swiglu(&mut case.recording, &flow);
    case.finish()
}
