//! `index_top_k_parts`: the greatest scores of each part of a token's entries, among which `index_top_k_radix` chooses.

use crate::format::sorted::{falling, sort};
use crate::gpu::lower::Way;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::case::CaseBuilder;
use super::index_top_k::{FLOAT_ORDER, Params};
use super::index_top_k_radix::{COPIES, TOP_K};

/// Entries of a part.
pub(super) const PART: u32 = 8192;
/// Entries that are chosen at most, so that a part leaves many fewer than it has.
pub(super) const MOST_TOP: u32 = PART / 4;

/// The kernel.
pub static OP: Op = Op {
    name: "index_top_k_parts",
    variants: &[Variant::only(
        "index_top_k_parts",
        shader_text!("../../shaders/kernels/index_top_k_parts.wgsl"),
        &[STEP, FLOAT_ORDER, TOP_K],
        Way {
            lower: |stage, _, _| {
                let p: Params = stage.params();
                let n_parts = u64::from(p.n_entries.div_ceil(stage.spec.value_of("PART").unwrap_or(PART)));
                (Spec::default().constant("COPIES", COPIES), u64::from(p.max_tokens) * n_parts).into()
            },
            space: |_| Vec::new(),
        },
    )],
    bindings: &[("step", Access::Read), ("scores", Access::Read), ("parts", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Bytes of what is left of all parts: `[max_tokens, n_parts, top_k, 2]`, an entry and its score.
pub(super) fn bytes(p: &Params) -> u64 {
    8 * u64::from(p.max_tokens) * u64::from(p.n_entries.div_ceil(PART)) * u64::from(p.top_k)
}

/// Appends the stage `index_top_k_parts`; bindings as the kernel declares them, parameters as `index_top_k` has them.
pub(super) fn record_index_top_k_parts(recording: &mut Recording, bindings: [Slice; 3], p: &Params) {
    record_parts(recording, bindings, p, PART);
}

fn record_parts(recording: &mut Recording, bindings: [Slice; 3], p: &Params, part: u32) {
    let tokens = u64::from(p.max_tokens);
    let cost = Cost { bytes: 4 * tokens * u64::from(p.n_entries) + bindings[2].bytes, ops: 0 };
    recording.push("index_top_k_parts", &OP, Spec::default().constant("PART", part), tokens, p, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let (p, part): (Params, u32) = (call.params(), call.constant("PART"));
    let step = call.input::<Step>(0)[0];
    let scores: &[f32] = call.input(1);
    let [parts] = call.outputs::<[u32; 2], 1>();
    let n_parts = p.n_entries.div_ceil(part);
    for token in 0..step.n_tokens.min(p.max_tokens) {
        let visible = (step.position + token + 1) / p.ratio;
        if visible <= p.top_k {
            continue;
        }
        for number in 0..visible.div_ceil(part) {
            let score = |i: &u32| scores[(token * p.n_entries + i) as usize];
            let mut entries: Vec<u32> = (number * part..visible.min((number + 1) * part)).collect();
            // As in `index_top_k`.
            sort(&mut entries, |i| falling((score(i) + 0.0).into()));
            entries.truncate(p.top_k as usize);
            entries.sort_unstable();
            let to = ((token * n_parts + number) * p.top_k) as usize;
            for (place, entry) in entries.into_iter().enumerate() {
                parts[to + place] = [entry, score(&entry).to_bits()];
            }
        }
    }
}

fn cases() -> Vec<Case> {
    // A last part with fewer than are chosen, and one with more; ties; no part where a token sees few.
    vec![
        case(|r| r as f32, 64, 4, 24, [602, 2, 3]),
        case(|r| (r % 3) as f32 - 1.0, 32, 1, 16, [100, 4, 4]),
        case(|r| if r % 2 == 0 { 0.0 } else { -0.0 }, 20, 2, 7, [14, 2, 2]),
        case(|r| (r % 5000) as f32, 3000, 1, 300, [4500, 1, 1]),
    ]
}

/// `value` makes a score of a random number; `tokens` are position, n_tokens and capacity.
fn case(value: fn(i32) -> f32, part: u32, ratio: u32, top_k: u32, tokens: [u32; 3]) -> Case {
    let name = format!("parts of {part}, ratio {ratio}, top {top_k}, [position, tokens, of] {tokens:?}");
    let mut case = CaseBuilder::new(name);
    let [position, n_tokens, max_tokens] = tokens;
    let n_entries = (position + max_tokens) / ratio + 3;
    let scores: Vec<f32> = (0..max_tokens * n_entries).map(|_| value(case.random_u32() as i32 >> 8)).collect();
    let step = case.step(position, n_tokens);
    let scores = case.input("scores", &scores);
    let n = 2 * max_tokens * n_entries.div_ceil(part) * top_k;
    let parts = case.output("parts", n as usize, 0.0);
    record_parts(&mut case.recording, [step, scores, parts], &Params { n_entries, ratio, top_k, max_tokens }, part);
    case.finish()
}
