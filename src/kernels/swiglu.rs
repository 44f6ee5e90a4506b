//! `swiglu`: the hidden values of a feed-forward network without experts.

use std::f32::consts::{FRAC_2_SQRT_PI, SQRT_2};

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::{STEP, sigmoid};

crate::params! {
    /// Parameters of `swiglu`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in the hidden values.
        pub n_quads: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "swiglu",
    variants: &[Variant::only("swiglu", shader_text!("../../shaders/kernels/swiglu.wgsl"), &[STEP], lower::THREADS)],
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

/// Appends `hidden = act(gate) ⊙ up`: `gate_up` `[max_tokens, 2 * n_hidden]`, gate first, `hidden`
/// `[max_tokens, n_hidden]`, f32.
///
/// # Panics
/// When the width is no multiple of 4: shapes are checked before they come here.
pub fn record_swiglu(
    recording: &mut Recording,
    step: Slice,
    gate_up: Slice,
    hidden: Slice,
    n_hidden: u32,
    activation: Activation,
    max_tokens: u32,
) {
    assert!(n_hidden.is_multiple_of(4), "swiglu: the width is a multiple of 4");
    let params = Params { n_quads: n_hidden / 4, max_tokens };
    let n = u64::from(max_tokens) * u64::from(n_hidden);
    let cost = Cost { bytes: 12 * n, ops: 5 * n };
    let facts = Spec::default().constant(GELU, u32::from(activation == Activation::GeluTanh));
    recording.push("swiglu", &OP, facts, n / 4, &params, &[step, gate_up, hidden], cost);
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
            *hidden = gate[i] * sigmoid(turn(gate[i])) * up[i];
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        case(36, Activation::Silu, 5, 4),
        case(256, Activation::Silu, 1, 1),
        case(36, Activation::GeluTanh, 5, 4),
        case(256, Activation::GeluTanh, 1, 1),
    ]
}

fn case(n_hidden: u32, activation: Activation, max_tokens: u32, n_tokens: u32) -> Case {
    let mut case = CaseBuilder::new(format!("width {n_hidden}, {activation:?}, {n_tokens} of {max_tokens}"));
    let step = case.step(3, n_tokens);
    let n = (max_tokens * n_hidden) as usize;
    // Some gates are far below where exp overflows.
    let values: Vec<f32> = case.random_values(2 * n).into_iter().map(|v| v * v * v * 200.0).collect();
    let gate_up = case.input("gate_up", &values);
    let hidden = case.output("hidden", n, 1e-5);
    record_swiglu(&mut case.recording, step, gate_up, hidden, n_hidden, activation, max_tokens);
    case.finish()
}
