//! `sample_parts`: the greatest logits of each part of the vocabulary, among which `sample` chooses.

use crate::format::sorted::{falling, sort};
use crate::gpu::config::REDUCE_WORKGROUP;
use crate::gpu::lower::Way;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::case::CaseBuilder;
use super::index_top_k::FLOAT_ORDER;
use super::index_top_k_radix::{COPIES, DIGITS, TOP_K};
use super::sample::{self, LOGITS, Params};

/// Logits of a part.
pub(super) const PART: u32 = 4096;
/// How many of them are left: as many as people let `top_k` keep, since they may all be of one part.
pub(super) const KEPT: u32 = 64;

/// The kernel.
pub static OP: Op = Op {
    name: "sample_parts",
    variants: &[Variant::only(
        "sample_parts",
        shader_text!("../../shaders/kernels/sample_parts.wgsl"),
        &[STEP, LOGITS, FLOAT_ORDER, TOP_K, REDUCE_WORKGROUP],
        Way {
            lower: |stage, _, _| {
                (
                    Spec::default().constant("LANES", DIGITS).constant("COPIES", COPIES),
                    n_parts(stage.params::<Params>().n_vocab, &stage.spec),
                )
                    .into()
            },
            space: |_| Vec::new(),
        },
    )],
    bindings: &[
        ("step", Access::Read),
        ("logits", Access::Write),
        ("tokens", Access::Read),
        ("left", Access::Write),
        ("shares", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

fn n_parts(n_vocab: u32, spec: &Spec) -> u64 {
    n_vocab.div_ceil(spec.value_of("PART").unwrap_or(PART)).into()
}

/// Words that are left of a part: of the least that is kept, and in a vector with it nothing; of values; ids.
const fn words(kept: u32) -> u32 {
    4 + 2 * kept
}

/// Bytes of `left`, `[n_parts, 4 + 2 · KEPT]`, and of `shares`, `[n_parts, 2]`.
pub(super) fn bytes(n_vocab: u32) -> [u64; 2] {
    [words(KEPT), 2].map(|words| 4 * u64::from(words) * u64::from(n_vocab.div_ceil(PART)))
}

/// Appends the stage `sample_parts`; bindings as the kernel declares them, parameters as `sample` has them.
pub(super) fn record_sample_parts(recording: &mut Recording, bindings: [Slice; 5], p: &Params) {
    record(recording, bindings, p, [PART, KEPT]);
}

fn record(recording: &mut Recording, bindings: [Slice; 5], p: &Params, [part, kept]: [u32; 2]) {
    let spec = Spec::default().constant("PART", part).constant("KEPT", kept);
    let cost = Cost { bytes: 4 * u64::from(p.n_vocab) + bindings[3].bytes, ops: u64::from(p.n_vocab) };
    recording.push("sample_parts", &OP, spec, 1, p, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let (p, part, kept): (Params, u32, u32) = (call.params(), call.constant("PART"), call.constant("KEPT"));
    let step = call.input::<Step>(0)[0];
    let tokens: &[u32] = call.input(1);
    let mut outputs = call.outputs.iter_mut();
    let [logits, left, shares] = std::array::from_fn(|_| outputs.next().expect("a bound output"));
    if step.n_tokens == 0 {
        return;
    }
    let logits: &mut [f32] = &mut bytemuck::cast_slice_mut(logits)[..p.n_vocab as usize];
    sample::penalize(logits, sample::recent(tokens, &step), &step);
    let rows = left.chunks_exact_mut(words(kept) as usize).zip(bytemuck::cast_slice_mut(shares).chunks_exact_mut(2));
    for (number, (logits, (left, share))) in logits.chunks(part as usize).zip(rows).enumerate() {
        let values: Vec<f32> = logits.iter().copied().map(sample::finite).collect();
        let mut places: Vec<u32> = (0..values.len() as u32).collect();
        // As in `index_top_k`: both zeros are one.
        sort(&mut places, |i| falling((values[*i as usize] + 0.0).into()));
        places.truncate(kept as usize);
        let least = places.last().map_or(0.0, |i| values[*i as usize]);
        places.sort_unstable();
        left[0] = if values.len() > kept as usize { least } else { -3e38 }.to_bits();
        let (of_values, of_ids) = left[4..].split_at_mut(kept as usize);
        of_values.fill((-2e30f32).to_bits());
        of_ids.fill(0);
        for (place, i) in places.into_iter().enumerate() {
            of_values[place] = values[i as usize].to_bits();
            of_ids[place] = number as u32 * part + i;
        }
        let greatest = values.iter().copied().fold(f32::MIN, f32::max);
        share[0] = greatest;
        share[1] = values.iter().map(|value| (value - greatest).exp()).sum();
    }
}

fn cases() -> Vec<Case> {
    let plain =
        Step { position: 3, n_tokens: 4, repeat_penalty: 1.0, repeat_window: 4, ..bytemuck::Zeroable::zeroed() };
    // What is scaled and taken off is exact, so that the words are the same everywhere.
    let penalized = Step { repeat_penalty: 4.0, presence_penalty: 0.5, repeat_window: 7, ..plain };
    // A last part with fewer than are kept, one of a whole part, one with as many as are kept; ties at what is kept.
    vec![
        case(|r| r as f32 * 1e-6, [64, 8], 197, plain),
        case(|r| (r % 7) as f32 - 3.0, [32, 12], 128, penalized),
        case(|r| if r % 2 == 0 { 0.0 } else { -0.0 }, [16, 4], 20, plain),
        case(|r| if r % 5 == 0 { f32::NAN } else { (r % 90) as f32 }, [256, 64], 1027, penalized),
        case(|r| (r % 3000) as f32 * 0.25, [PART, KEPT], 9_001, penalized),
    ]
}

/// `value` makes a logit of a random number; logits of a part, and how many of them are left.
fn case(value: fn(i32) -> f32, [part, kept]: [u32; 2], n_vocab: u32, step: Step) -> Case {
    let name =
        format!("{kept} of parts of {part}, {n_vocab} ids, penalty {}, {} tokens", step.repeat_penalty, step.n_tokens);
    let mut case = CaseBuilder::new(name);
    let logits: Vec<f32> = (0..n_vocab).map(|_| value(case.random_u32() as i32 >> 8)).collect();
    let tokens: Vec<u32> = (0..9).map(|_| case.random_u32() % n_vocab.min(70)).collect();
    let step = case.step_with(step);
    let logits = case.input("logits", &logits);
    let tokens = case.input("tokens", &tokens);
    let n_parts = n_vocab.div_ceil(part);
    let left = case.output("left", (n_parts * words(kept)) as usize, 0.0);
    let shares = case.output("shares", 2 * n_parts as usize, 1e-4);
    record(
        &mut case.recording,
        [step, logits, tokens, left, shares],
        &Params { n_vocab, n_positions: 9 },
        [part, kept],
    );
    case.finish()
}
