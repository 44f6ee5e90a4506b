//! `probe_copy`: copies a slice. How fast memory can be read and written at once, when the slices are larger than the
//! caches.

use crate::gpu::lower;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Reduce, Slice, Variant};

use super::case::CaseBuilder;
use super::probe_read::Sharing;

crate::params! {
    /// Parameters of `probe_copy`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 words in each slice.
        pub n_quads: u32,
        /// Invocations that share them.
        pub n_threads: u32,
        /// Vectors that one copies at most.
        pub n_per_thread: u32,
        /// Vectors from thread to thread.
        pub thread_step: u32,
        /// Vectors from one that a thread copies to its next.
        pub step: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "probe_copy",
    variants: &[Variant::only(
        "probe_copy",
        shader_text!("../../shaders/kernels/probe_copy.wgsl"),
        &[],
        lower::THREADS,
    )],
    bindings: &[("source", Access::Read), ("copied", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Appends a dispatch that copies the first `n_quads` vectors of 4 words from one slice to another.
pub fn record_probe_copy(recording: &mut Recording, reduce: Reduce, source: Slice, copied: Slice, n_quads: u32) {
    let Sharing { n_threads, n_per_thread, thread_step, step } = Sharing::new(reduce, n_quads);
    let params = Params { n_quads, n_threads, n_per_thread, thread_step, step };
    let cost = Cost { bytes: u64::from(n_quads) * 32, ops: 0 };
    recording.push("probe_copy", &OP, Spec::default(), u64::from(n_threads), &params, &[source, copied], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let source = call.inputs[0];
    let [copied] = call.outputs::<u32, 1>();
    let n_words = p.n_quads as usize * 4;
    copied[..n_words].copy_from_slice(&source[..n_words]);
}

fn cases() -> Vec<Case> {
    let both = [Reduce::Thread, Reduce::Workgroup];
    both.into_iter().flat_map(|reduce| [33, 2_051, 1].map(|n_quads| case(reduce, n_quads))).collect()
}

fn case(reduce: Reduce, n_quads: u32) -> Case {
    let mut case = CaseBuilder::new(format!("{n_quads} vectors for {reduce:?}"));
    let random: Vec<u32> = (0..n_quads * 4).map(|_| case.random_u32()).collect();
    let source = case.input("source", &random);
    let copied = case.output("copied", n_quads as usize * 4, 0.0);
    record_probe_copy(&mut case.recording, reduce, source, copied, n_quads);
    case.finish()
}
