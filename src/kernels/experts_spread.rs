//! `experts_spread`: the input of a token, once for each of its experts.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `experts_spread`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in x.
        pub n_quads: u32,
        /// Experts of a token.
        pub n_slots: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "experts_spread",
    variants: &[Variant::only(
        "experts_spread",
        shader_text!("../../shaders/kernels/experts_spread.wgsl"),
        &[STEP],
        lower::THREADS,
    )],
    bindings: &[("step", Access::Read), ("x", Access::Read), ("rows", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Appends `rows[t, slot] = x[t]`: `x` `[max_tokens, n_embd]`, `rows` `[max_tokens, n_slots, n_embd]`, f32.
///
/// # Panics
/// When the width is no multiple of 4: shapes are checked before they come here.
pub fn record_experts_spread(
    recording: &mut Recording,
    step: Slice,
    [x, rows]: [Slice; 2],
    n_embd: u32,
    n_slots: u32,
    max_tokens: u32,
) {
    assert!(n_embd.is_multiple_of(4), "experts_spread: the width is a multiple of 4");
    let params = Params { n_quads: n_embd / 4, n_slots, max_tokens };
    let n = u64::from(max_tokens) * u64::from(n_embd);
    let cost = Cost { bytes: 4 * n * (1 + u64::from(n_slots)), ops: 0 };
    let n_results = n / 4 * u64::from(n_slots);
    recording.push("experts_spread", &OP, Spec::default(), n_results, &params, &[step, x, rows], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let x: &[f32] = call.input(1);
    let [rows] = call.outputs::<f32, 1>();
    let (n, n_slots) = (p.n_quads as usize * 4, p.n_slots as usize);
    for entry in 0..step.n_tokens.min(p.max_tokens) as usize * n_slots {
        rows[entry * n..][..n].copy_from_slice(&x[entry / n_slots * n..][..n]);
    }
}

fn cases() -> Vec<Case> {
    vec![case(36, 3, 5, 4), case(256, 1, 1, 1)]
}

fn case(n_embd: u32, n_slots: u32, max_tokens: u32, n_tokens: u32) -> Case {
    let mut case = CaseBuilder::new(format!("width {n_embd}, {n_slots} slots, {n_tokens} of {max_tokens}"));
    let step = case.step(3, n_tokens);
    let x = case.random_input("x", (max_tokens * n_embd) as usize);
    let rows = case.output("rows", (max_tokens * n_slots * n_embd) as usize, 0.0);
    record_experts_spread(&mut case.recording, step, [x, rows], n_embd, n_slots, max_tokens);
    case.finish()
}
