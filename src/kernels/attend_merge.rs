//! `attend_merge`: the runs of `attend_decode` become one output for each head, turned back by the query's position.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::attend::TURN_QUAD;
use super::case::CaseBuilder;
use super::rope::{self, ROPE};

crate::params! {
    /// Parameters of `attend_merge`; the WGSL says what each is.
    pub struct Params {
        /// Query heads.
        pub n_heads: u32,
        /// Vectors of 4 in a head.
        pub n_quads: u32,
        /// Runs that the keys were cut into.
        pub n_runs: u32,
        /// Pairs that turn back, the last of a head.
        pub rope_pairs: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

impl Params {
    fn n_results(&self) -> u64 {
        u64::from(self.max_tokens) * u64::from(self.n_heads) * u64::from(self.n_quads)
    }

    /// Bytes of the runs: of each its sums, and a vector with its greatest score and the sum of its weights.
    pub(super) fn bytes(&self) -> u64 {
        16 * u64::from(self.n_runs) * (self.n_results() + u64::from(self.max_tokens) * u64::from(self.n_heads))
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "attend_merge",
    variants: &[Variant::only(
        "attend_merge",
        shader_text!("../../shaders/kernels/attend_merge.wgsl"),
        &[STEP, ROPE, TURN_QUAD],
        lower::THREADS,
    )],
    bindings: &[("step", Access::Read), ("runs", Access::Read), ("rope", Access::Read), ("out", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Appends the stage `attend_merge`; bindings as the kernel declares them.
pub(super) fn record_attend_merge(recording: &mut Recording, bindings: [Slice; 4], params: &Params) {
    let n = params.n_results();
    let runs = u64::from(params.n_runs);
    let cost = Cost { bytes: 16 * n * (runs + 1), ops: 8 * n * runs };
    recording.push("attend_merge", &OP, Spec::default(), n, params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (runs, table): (&[f32], &[[f32; 2]]) = (call.input(1), call.input(2));
    let [out] = call.outputs::<f32, 1>();
    let (n_heads, width) = (p.n_heads as usize, 4 * p.n_quads as usize);
    let heads = runs.chunks_exact(p.n_runs as usize * (width + 4)).zip(out.chunks_exact_mut(width));
    let n = step.n_tokens.min(p.max_tokens) as usize * n_heads;
    for (head, (runs, out)) in heads.take(n).enumerate() {
        let runs = || runs.chunks_exact(width + 4).map(|run| run.split_at(width));
        let greatest = runs().map(|(_, stat)| stat[0]).fold(-1e30, f32::max);
        let total: f32 = runs().map(|(_, stat)| (stat[0] - greatest).exp() * stat[1]).sum();
        for (i, out) in out.iter_mut().enumerate() {
            let sum: f32 = runs().map(|(sums, stat)| (stat[0] - greatest).exp() * sums[i]).sum();
            *out = sum / total;
        }
        rope::rotate_head(out, table, p.rope_pairs, step.position + (head / n_heads) as u32, -1.0);
    }
}

fn cases() -> Vec<Case> {
    vec![case([3, 7, 5, 2], [2, 3]), case([1, 1, 2, 0], [1, 1]), case([5, 33, 32, 4], [1, 2])]
}

/// `shape` are heads, vectors of 4 in one, runs and pairs; `tokens` are how many there are, and the capacity.
fn case(shape: [u32; 4], tokens: [u32; 2]) -> Case {
    let ([n_heads, n_quads, n_runs, rope_pairs], [n_tokens, max_tokens]) = (shape, tokens);
    let mut case = CaseBuilder::new(format!("[heads, quads, runs, pairs] {shape:?}, {n_tokens} of {max_tokens}"));
    let params = Params { n_heads, n_quads, n_runs, rope_pairs, max_tokens };
    let mut runs = case.random_values(params.bytes() as usize / 4);
    // The last run of each head has no keys; the first always has the sink.
    let each = 4 * n_quads as usize + 4;
    for (index, run) in runs.chunks_exact_mut(each).enumerate() {
        let (sums, stat) = run.split_at_mut(each - 4);
        let is_empty = (index + 1) % n_runs as usize == 0;
        stat[1] = 1.0 + stat[1].abs();
        stat[0] *= 4.0;
        if is_empty {
            sums.fill(0.0);
            stat.copy_from_slice(&[-1e30, 0.0, 0.0, 0.0]);
        }
    }
    let step = case.step(300, n_tokens);
    let runs = case.input("runs", &runs);
    let rope = case.input("rope", &rope::table(&rope::frequencies(rope_pairs.max(1), 160_000.0), 600));
    let out = case.output("out", (max_tokens * n_heads * n_quads * 4) as usize, 1e-4);
    record_attend_merge(&mut case.recording, [step, runs, rope, out], &params);
    case.finish()
}
