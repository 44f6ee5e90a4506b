//! `index_top_k`: the compressed entries that each token attends to, by the indexer's scores.

use crate::format::sorted::{falling, sort};
use crate::gpu::lower::{self, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::{Cost, KeyCost};
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::index_top_k_parts::PART;
use super::{STEP, index_top_k_radix};

crate::params! {
    /// Parameters of `index_top_k`; the WGSL says what each is.
    pub struct Params {
        /// Scores from token to token.
        pub n_entries: u32,
        /// Tokens of an entry.
        pub ratio: u32,
        /// Entries to select.
        pub top_k: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "index_top_k",
    variants: &[
        Variant::only(
            "index_top_k",
            shader_text!("../../shaders/kernels/index_top_k.wgsl"),
            &[STEP, FLOAT_ORDER],
            Way { lower: |stage, caps, config| lower::long_vector(stage, caps, config, turns(stage)), ..lower::VECTOR },
        ),
        index_top_k_radix::VARIANT,
        index_top_k_radix::TOURNAMENT,
    ],
    bindings: &[("step", Access::Read), ("scores", Access::Read), ("selected", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// The order that scores are compared in.
pub(super) const FLOAT_ORDER: &str = shader_text!("../../shaders/lib/float_order.wgsl");

/// Of how many parts' size so many scores are, as a power of two: a fact by which a tuner tells many from few.
pub(super) fn n_parts(n_entries: u32) -> u32 {
    n_entries.div_ceil(PART).next_power_of_two()
}

/// Turns of loops of one invocation alone: it goes over the scores for each bit of the threshold, and twice more.
fn turns(stage: &Stage) -> u64 {
    34 * u64::from(stage.params::<Params>().n_entries)
}

/// Where the selection is read and written.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Scores `[max_tokens, n_entries]`, f32.
    pub scores: Slice,
    /// Scores from token to token: entries that there can be.
    pub n_entries: u32,
    /// Tokens of an entry.
    pub ratio: u32,
    /// Entries to select.
    pub top_k: u32,
    /// Output `[max_tokens, top_k]`, u32, ascending; beyond the visible entries a row is left as it was.
    pub selected: Slice,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `index_top_k`.
///
/// # Panics
/// When there is no ratio: shapes are checked before they come here.
pub fn record_index_top_k(recording: &mut Recording, flow: &Flow) {
    assert!(flow.ratio > 0, "index_top_k: entries of some tokens");
    let params =
        Params { n_entries: flow.n_entries, ratio: flow.ratio, top_k: flow.top_k, max_tokens: flow.max_tokens };
    let tokens = u64::from(flow.max_tokens);
    let cost = Cost { bytes: 4 * tokens * u64::from(flow.top_k), ops: 0 };
    // A score is read once, and counted once for each bit of the threshold.
    let scores =
        KeyCost { n_tokens: flow.max_tokens, ratio: flow.ratio, score_bytes: 4, score_ops: 32, ..KeyCost::default() };
    let bindings = [flow.step, flow.scores, flow.selected];
    recording.push(
        "index_top_k",
        &OP,
        Spec::default().constant("PARTS", n_parts(flow.n_entries)),
        tokens,
        &params,
        &bindings,
        cost,
    );
    recording.see_keys(scores);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let scores: &[f32] = call.input(1);
    let [selected] = call.outputs::<u32, 1>();
    for token in 0..step.n_tokens.min(p.max_tokens) {
        let visible = (step.position + token + 1) / p.ratio;
        let mut indices: Vec<u32> = (0..visible).collect();
        if visible > p.top_k {
            // Adding zero makes one of both zeros, which the total order tells apart. The sort keeps ties in order.
            let score = |i: &u32| scores[(token * p.n_entries + i) as usize] + 0.0;
            sort(&mut indices, |i| falling(score(i).into()));
            indices.truncate(p.top_k as usize);
            indices.sort_unstable();
        }
        selected[(token * p.top_k) as usize..][..indices.len()].copy_from_slice(&indices);
    }
}

fn cases() -> Vec<Case> {
    // Scores apart, in runs of unequal length; many ties, where a token sees fewer, as many and more than top_k;
    // ties between zeros of both signs; one of many; many more than a workgroup takes in one turn, with ties among them.
    vec![
        case(|r| r as f32, 4, 24, [602, 2, 3]),
        case(|r| (r % 3) as f32 - 1.0, 2, 16, [30, 4, 4]),
        case(|r| if r % 2 == 0 { 0.0 } else { -0.0 }, 1, 7, [50, 1, 1]),
        case(|r| -(r as f32), 4, 1, [163, 1, 1]),
        case(|r| (r % 5000) as f32, 1, 300, [4500, 1, 1]),
        // More than a part, its last one with fewer than are chosen; all visible entries in the first.
        case(|r| (r % 9000) as f32, 1, 40, [16_390, 2, 3]),
        case(|r| r as f32, 2, 9, [16_400, 1, 1]),
    ]
}

/// `value` makes a score of a random number; `tokens` are position, n_tokens and capacity.
fn case(value: fn(i32) -> f32, ratio: u32, top_k: u32, tokens: [u32; 3]) -> Case {
    let name = format!("ratio {ratio}, top {top_k}, [position, tokens, of] {tokens:?}");
    let mut case = CaseBuilder::new(name);
    let [position, n_tokens, max_tokens] = tokens;
    let n_entries = (position + max_tokens) / ratio + 3;
    let scores: Vec<f32> = (0..max_tokens * n_entries).map(|_| value(case.random_u32() as i32 >> 8)).collect();
    let flow = Flow {
        step: case.step(position, n_tokens),
        scores: case.input("scores", &scores),
        n_entries,
        ratio,
        top_k,
        selected: case.output("selected", (max_tokens * top_k) as usize, 0.0),
        max_tokens,
    };
    record_index_top_k(&mut case.recording, &flow);
    case.finish()
}
