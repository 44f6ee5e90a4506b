//! `probe_reduce`: what a group of invocations makes of its numbers by each function of the reduction contract
//! (`shaders/lib/reduce_thread.wgsl`). Whether an adapter's way to add up is right.

use crate::gpu::lower;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `probe_reduce`; the WGSL says what each is.
    pub struct Params {
        /// Groups.
        pub n_groups: u32,
        /// Numbers of a group.
        pub n: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "probe_reduce",
    variants: &[Variant::only(
        "probe_reduce",
        shader_text!("../../shaders/kernels/probe_reduce.wgsl"),
        &[],
        lower::VECTOR,
    )],
    bindings: &[
        ("values", Access::Read),
        ("words", Access::Read),
        ("floats", Access::Write),
        ("counts", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

fn reference(call: &mut Call<'_>) {
    let Params { n_groups, n } = call.params();
    let (n_groups, n) = (n_groups as usize, n as usize);
    let (values, words) = (call.input::<f32>(0), call.input::<u32>(1));
    let [floats, counts] = call.outputs::<u32, 2>();
    for group in 0..n_groups {
        let (values, words) = (&values[group * n..][..n], &words[group * n..][..n]);
        let sum: f32 = values.iter().sum();
        let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let squares: f32 = values.iter().map(|value| value * value).sum();
        floats[4 * group..][..4].copy_from_slice(&[sum, max, squares, sum].map(f32::to_bits));
        let sum = words.iter().copied().fold(0, u32::wrapping_add);
        let min = words.iter().copied().min().unwrap_or(u32::MAX);
        counts[4 * group..][..4].copy_from_slice(&[sum, min, sum, words[0]]);
    }
}

/// Fewer numbers than a group has invocations, and more.
fn cases() -> Vec<Case> {
    [(3, 5), (2, 64), (1, 259)].map(|(n_groups, n)| case(n_groups, n)).into()
}

fn case(n_groups: u32, n: u32) -> Case {
    let mut case = CaseBuilder::new(format!("{n_groups} groups of {n} numbers"));
    let n_all = (n_groups * n) as usize;
    let values = case.random_input("values", n_all);
    let words: Vec<u32> = (0..n_all).map(|_| case.random_u32()).collect();
    let words = case.input("words", &words);
    let floats = case.output("floats", 4 * n_groups as usize, 1e-4);
    let counts = case.output("counts", 4 * n_groups as usize, 0.0);
    record(&mut case.recording, [values, words, floats, counts], &Params { n_groups, n });
    case.finish()
}

fn record(recording: &mut Recording, slices: [Slice; 4], params: &Params) {
    let (n_groups, n_all) = (u64::from(params.n_groups), u64::from(params.n_groups) * u64::from(params.n));
    let cost = Cost { bytes: 8 * n_all + 32 * n_groups, ops: 6 * n_all };
    recording.push("probe_reduce", &OP, Spec::default(), n_groups, params, &slices, cost);
}
