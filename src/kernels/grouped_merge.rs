//! `grouped_merge`: the runs of `grouped_attend` become one output for each head.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::{Cost, KeyCost};
use crate::gpu::{Access, Call, Case, Op, Recording, Variant};

use super::case::CaseBuilder;
use super::grouped_attend::Flow;
use super::{STEP, grouped_merge_shared};

crate::params! {
    /// Parameters of `grouped_merge`; the WGSL says what each is.
    pub struct Params {
        /// Query heads.
        pub n_heads: u32,
        /// Vectors of 4 in a head.
        pub n_quads: u32,
        /// Runs that the keys were cut into.
        pub n_splits: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "grouped_merge",
    variants: &[
        Variant::only(
            "grouped_merge",
            shader_text!("../../shaders/kernels/grouped_merge.wgsl"),
            &[STEP],
            lower::THREADS,
        ),
        grouped_merge_shared::VARIANT,
    ],
    bindings: &[
        ("step", Access::Read),
        ("partial", Access::Read),
        ("stats", Access::Read),
        ("sinks", Access::Read),
        ("out", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// The constant that is 1 where heads have sinks.
pub(super) const SINKS: &str = "SINKS";

/// Appends the stage `attend_merge`, after the attention that `flow` describes.
pub(super) fn record_grouped_merge(recording: &mut Recording, flow: &Flow, n_splits: u32) {
    let (n_heads, n_quads) = (flow.cache.n_heads, flow.cache.value_dim / 4);
    let params = Params { n_heads, n_quads, n_splits, max_tokens: flow.max_tokens };
    let n = u64::from(flow.max_tokens) * u64::from(n_heads) * u64::from(n_quads);
    let runs = u64::from(n_splits);
    let cost = Cost { bytes: 16 * n * (runs + 1), ops: 8 * n * runs };
    let facts = Spec::default().constant(SINKS, u32::from(flow.sinks.is_some()));
    let bindings = [flow.step, flow.partial, flow.stats, flow.sinks.unwrap_or(flow.stats), flow.out];
    recording.push("attend_merge", &OP, facts, n, &params, &bindings, cost);
    // There are as many runs as the context has.
    recording.see_keys(KeyCost::default());
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (partial, stats, sinks): (&[f32], &[f32], &[f32]) = (call.input(1), call.input(2), call.input(3));
    let has_sinks = call.constant(SINKS) == 1;
    let [out] = call.outputs::<f32, 1>();
    let (width, n_splits) = (p.n_quads as usize * 4, p.n_splits as usize);
    for head in 0..step.n_tokens.min(p.max_tokens) as usize * p.n_heads as usize {
        let stats = &stats[head * n_splits * 2..][..n_splits * 2];
        let sink = has_sinks.then(|| sinks[head % p.n_heads as usize]);
        let greatest = stats.chunks_exact(2).map(|stat| stat[0]).fold(sink.unwrap_or(-1e30), f32::max);
        let weights: Vec<f32> = stats.chunks_exact(2).map(|stat| (stat[0] - greatest).exp()).collect();
        let total: f32 = stats.chunks_exact(2).zip(&weights).map(|(stat, weight)| weight * stat[1]).sum();
        let total = total + sink.map_or(0.0, |sink| (sink - greatest).exp());
        for (i, out) in out[head * width..][..width].iter_mut().enumerate() {
            let of = |run: usize| weights[run] * partial[(head * n_splits + run) * width + i];
            let sum: f32 = (0..n_splits).filter(|run| stats[2 * run + 1] > 0.0).map(of).sum();
            *out = sum / total;
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        case([3, 3, 5], false, 2, 2),
        case([2, 8, 1], false, 3, 1),
        case([2, 20, 100], false, 1, 1),
        case([3, 130, 7], false, 2, 2),
        case([3, 3, 5], true, 2, 2),
        case([5, 2, 1], true, 3, 2),
        case([3, 20, 100], true, 1, 1),
    ]
}

/// `of` are n_heads, n_quads, n_splits. The last run has no keys, and no numbers lie there.
fn case(of: [u32; 3], has_sinks: bool, max_tokens: u32, n_tokens: u32) -> Case {
    let [n_heads, n_quads, n_splits] = of;
    let mut case = CaseBuilder::new(format!("{of:?}, sinks {has_sinks}, {n_tokens} of {max_tokens}"));
    let step = case.step(5, n_tokens);
    let n_runs = max_tokens * n_heads * n_splits;
    let is_empty = |run: u32| n_splits > 1 && run % n_splits == n_splits - 1;
    let width = 4 * n_quads;
    let random = case.random_values((n_runs * width) as usize);
    let partial: Vec<f32> =
        (0..n_runs * width).map(|i| if is_empty(i / width) { f32::NAN } else { random[i as usize] }).collect();
    let stat = |run: u32| if is_empty(run) { [-1e30, 0.0] } else { [run as f32 / 4.0, 1.0 + run as f32] };
    let stats: Vec<[f32; 2]> = (0..n_runs).map(stat).collect();
    let partial = case.input("partial", &partial);
    let stats = case.input("stats", &stats);
    let out = case.output("out", (max_tokens * n_heads * width) as usize, 1e-4);
    let sinks = case.random_input("sinks", n_heads as usize);
    let facts = Spec::default().constant(SINKS, u32::from(has_sinks));
    let bindings = [step, partial, stats, sinks, out];
    let params = Params { n_heads, n_quads, n_splits, max_tokens };
    let n = u64::from(max_tokens * n_heads * n_quads);
    case.recording.push("attend_merge", &OP, facts, n, &params, &bindings, Cost::default());
    case.finish()
}
