//! `fixed_blocks`: `fixed_point` of all that a step has room for, whatever its tokens: for the tiles of experts, whose eight bindings
//! are as many as every adapter has, and do not tell them the tokens of a step. A helper of theirs.

use bytemuck::Pod;

use crate::gpu::lower::{self, Lowered};
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::fixed_point::{self, BLOCK, FIXED, INT8, PLANES, quads};

crate::params! {
    /// Parameters of `fixed_blocks`; the WGSL says what each is.
    pub struct Params {
        /// Blocks of 32 values.
        pub n_blocks: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "fixed_blocks",
    variants: &[Variant::only(
        "fixed_blocks",
        shader_text!("../../shaders/kernels/fixed_blocks.wgsl"),
        &[BLOCK],
        lower::THREADS,
    )],
    bindings: &[("x", Access::Read), ("fixed", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// A dispatch of a stage that binds its activations first, in so many planes of fixed point as [`fixed_point::reading`] says.
pub(super) fn lowered(stage: &Stage, shape: (Spec, u64), (planes, n_blocks): (u32, u32), params: &impl Pod) -> Lowered {
    let fixed = Slice::scratch(0, bytes(n_blocks, planes));
    let mut helpers = Recording::default();
    record(&mut helpers, [stage.bindings[0], fixed], planes, n_blocks);
    fixed_point::reading(stage, shape, planes, (0, fixed), helpers, params)
}

fn bytes(n_blocks: u32, planes: u32) -> u64 {
    u64::from(n_blocks) * u64::from(quads(planes)) * 16
}

fn record(recording: &mut Recording, bindings: [Slice; 2], planes: u32, n_blocks: u32) {
    let n = u64::from(n_blocks);
    let cost = Cost { bytes: n * 128 + bytes(n_blocks, planes), ops: n * 64 };
    let spec = Spec::default().constant(PLANES, planes);
    recording.push("fixed_blocks", &OP, spec, n, &Params { n_blocks }, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, planes) = (call.input::<f32>(0), call.constant(PLANES));
    let [fixed] = call.outputs::<u32, 1>();
    let blocks = x.as_chunks().0.iter().zip(fixed.chunks_exact_mut(4 * quads(planes) as usize));
    blocks.take(p.n_blocks as usize).for_each(|(x, fixed)| fixed.copy_from_slice(&fixed_point::block(x, planes)));
}

fn cases() -> Vec<Case> {
    [(FIXED, 1), (FIXED, 70), (INT8, 33)].map(|(planes, n_blocks)| case(planes, n_blocks)).into()
}

fn case(planes: u32, n_blocks: u32) -> Case {
    let mut case = CaseBuilder::new(format!("{n_blocks} blocks, {planes} planes"));
    let x = case.random_input("x", 32 * n_blocks as usize);
    let fixed = case.output("fixed", (bytes(n_blocks, planes) / 4) as usize, 0.0);
    record(&mut case.recording, [x, fixed], planes, n_blocks);
    case.finish()
}
