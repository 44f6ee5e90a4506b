//! `probe_read`: reads a slice once and adds up its words. How fast memory can be read, when the slice is larger than
//! the caches.

use crate::gpu::lower;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Reduce, Slice, Variant};

use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `probe_read`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 words in the slice.
        pub n_quads: u32,
        /// Invocations that share them.
        pub n_threads: u32,
        /// Vectors that one reads at most.
        pub n_per_thread: u32,
        /// Vectors from thread to thread.
        pub thread_step: u32,
        /// Vectors from one that a thread reads to its next.
        pub step: u32,
        /// Where this dispatch's sums begin.
        pub first_sum: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "probe_read",
    variants: &[Variant::only(
        "probe_read",
        shader_text!("../../shaders/kernels/probe_read.wgsl"),
        &[],
        lower::THREADS,
    )],
    bindings: &[("words", Access::Read), ("sums", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// How threads share the vectors of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Invocations.
    pub n_threads: u32,
    /// Vectors that one takes at most.
    pub n_per_thread: u32,
    /// Vectors from thread to thread.
    pub thread_step: u32,
    /// Vectors from one that a thread takes to its next.
    pub step: u32,
}

impl Sharing {
    /// On GPUs threads take vectors side by side, so that one access of many threads is one run of memory; where each
    /// thread has a result to itself, a program on the CPU, each takes a run of its own.
    #[must_use]
    pub fn new(reduce: Reduce, n_quads: u32) -> Self {
        let is_run = reduce == Reduce::Thread;
        let n_per_thread = if is_run { 1024 } else { 32 };
        let n_threads = n_quads.div_ceil(n_per_thread);
        let (thread_step, step) = if is_run { (n_per_thread, 1) } else { (1, n_threads) };
        Self { n_threads, n_per_thread, thread_step, step }
    }

    /// The vectors that a thread takes, of `n_quads`.
    pub(super) fn quads(self, thread: u32, n_quads: u32) -> impl Iterator<Item = usize> {
        let at = move |k| thread * self.thread_step + k * self.step;
        (0..self.n_per_thread).map(at).take_while(move |at| *at < n_quads).map(|at| at as usize)
    }
}

/// Appends a dispatch that reads the first `n_quads` vectors of 4 words of a slice, and writes a sum for each of the
/// threads that share them, from `first_sum` on. Says how many threads those are.
pub fn record_probe_read(
    recording: &mut Recording,
    reduce: Reduce,
    words: Slice,
    n_quads: u32,
    sums: Slice,
    first_sum: u32,
) -> u32 {
    let Sharing { n_threads, n_per_thread, thread_step, step } = Sharing::new(reduce, n_quads);
    let params = Params { n_quads, n_threads, n_per_thread, thread_step, step, first_sum };
    let cost = Cost { bytes: u64::from(n_quads) * 16, ops: 0 };
    recording.push("probe_read", &OP, Spec::default(), u64::from(n_threads), &params, &[words, sums], cost);
    n_threads
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let quads = call.input::<[u32; 4]>(0);
    let [sums] = call.outputs::<u32, 1>();
    let sharing =
        Sharing { n_threads: p.n_threads, n_per_thread: p.n_per_thread, thread_step: p.thread_step, step: p.step };
    for thread in 0..p.n_threads {
        let words = sharing.quads(thread, p.n_quads).flat_map(|at| quads[at]);
        sums[(p.first_sum + thread) as usize] = words.fold(0, u32::wrapping_add);
    }
}

fn cases() -> Vec<Case> {
    let shapes = [(33, 0), (2_051, 3), (1, 1)];
    let both = [Reduce::Thread, Reduce::Workgroup];
    both.into_iter().flat_map(|reduce| shapes.map(|(n_quads, first_sum)| case(reduce, n_quads, first_sum))).collect()
}

fn case(reduce: Reduce, n_quads: u32, first_sum: u32) -> Case {
    let mut case = CaseBuilder::new(format!("{n_quads} vectors for {reduce:?}, sums from {first_sum}"));
    let random: Vec<u32> = (0..n_quads * 4).map(|_| case.random_u32()).collect();
    let words = case.input("words", &random);
    let sums = case.output("sums", (n_quads + first_sum) as usize, 0.0);
    record_probe_read(&mut case.recording, reduce, words, n_quads, sums, first_sum);
    case.finish()
}
