//! `probe_dispatch`: adds one to a few counters. What a dispatch costs that has next to nothing to do.

use crate::gpu::lower;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `probe_dispatch`; the WGSL says what each is.
    pub struct Params {
        /// Counters.
        pub n_threads: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "probe_dispatch",
    variants: &[Variant::only(
        "probe_dispatch",
        shader_text!("../../shaders/kernels/probe_dispatch.wgsl"),
        &[],
        lower::THREADS,
    )],
    bindings: &[("counters", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Appends a dispatch that adds one to each of the first `n_threads` counters.
pub fn record_probe_dispatch(recording: &mut Recording, counters: Slice, n_threads: u32) {
    let cost = Cost { bytes: u64::from(n_threads) * 8, ops: u64::from(n_threads) };
    recording.push("probe_dispatch", &OP, Spec::default(), n_threads.into(), &Params { n_threads }, &[counters], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let [counters] = call.outputs::<u32, 1>();
    for counter in &mut counters[..p.n_threads as usize] {
        *counter = counter.wrapping_add(1);
    }
}

fn cases() -> Vec<Case> {
    [5, 67].map(case).into()
}

fn case(n_threads: u32) -> Case {
    let mut case = CaseBuilder::new(format!("{n_threads} counters"));
    let counts: Vec<u32> = (0..n_threads).map(|_| case.random_u32()).collect();
    let counters = case.input("counters", &counts);
    case.also_compare(counters, 0.0);
    record_probe_dispatch(&mut case.recording, counters, n_threads);
    case.finish()
}
