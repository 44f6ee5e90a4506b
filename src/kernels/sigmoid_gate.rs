//! `sigmoid_gate`: values times the logistic function of their gates.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::{STEP, sigmoid};

crate::params! {
    /// Parameters of `sigmoid_gate`; the WGSL says what each is.
    pub struct Params {
        /// Elements of a token.
        pub width: u32,
        /// Elements that share a gate.
        pub run: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "sigmoid_gate",
    variants: &[Variant::only(
        "sigmoid_gate",
        shader_text!("../../shaders/kernels/sigmoid_gate.wgsl"),
        &[STEP],
        lower::THREADS,
    )],
    bindings: &[("step", Access::Read), ("gates", Access::Read), ("values", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What is read and written; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// `[max_tokens, width / run]`
    pub gates: Slice,
    /// `[max_tokens, width]`, changed in place.
    pub values: Slice,
    /// Elements of a token.
    pub width: u32,
    /// Consecutive elements that share a gate.
    pub run: u32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage, under the name of what it gates.
///
/// # Panics
/// When gates do not share the elements evenly: a mistake in this program.
pub fn record_sigmoid_gate(recording: &mut Recording, name: &'static str, flow: &Flow) {
    assert!(flow.run > 0 && flow.width.is_multiple_of(flow.run), "sigmoid_gate: as many elements to each gate");
    let params = Params { width: flow.width, run: flow.run, max_tokens: flow.max_tokens };
    let n = u64::from(flow.max_tokens) * u64::from(flow.width);
    let cost = Cost { bytes: 8 * n + 4 * n / u64::from(flow.run), ops: 4 * n };
    let bindings = [flow.step, flow.gates, flow.values];
    recording.push(name, &OP, Spec::default(), n, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let gates: &[f32] = call.input(1);
    let [values] = call.outputs::<f32, 1>();
    let n = (step.n_tokens.min(p.max_tokens) * p.width) as usize;
    for (run, gate) in values[..n].chunks_mut(p.run as usize).zip(gates) {
        run.iter_mut().for_each(|v| *v *= sigmoid(*gate));
    }
}

fn cases() -> Vec<Case> {
    vec![case(20, 1, 3, 2), case(36, 36, 4, 4), case(12, 4, 1, 1)]
}

fn case(width: u32, run: u32, max_tokens: u32, n_tokens: u32) -> Case {
    let mut case = CaseBuilder::new(format!("{width} elements in runs of {run}, {n_tokens} of {max_tokens}"));
    let gates = case.random_values((max_tokens * width / run) as usize);
    // Some are far below where exp overflows.
    let gates: Vec<f32> = gates.into_iter().map(|v| v * v * v * 200.0).collect();
    let flow = Flow {
        step: case.step(1, n_tokens),
        gates: case.input("gates", &gates),
        values: case.random_input("values", (max_tokens * width) as usize),
        width,
        run,
        max_tokens,
    };
    case.also_compare(flow.values, 1e-5);
    record_sigmoid_gate(&mut case.recording, "gated", &flow);
    case.finish()
}
