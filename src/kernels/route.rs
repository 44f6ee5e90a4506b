//! `route`: which experts a token goes to, and with what weight.

use crate::gpu::kernel::Step;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Kernel, Knobs, Recording, Slice};

use super::STEP;
use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `route`; the WGSL says what each is.
    pub struct Params {
        /// Rows of the table.
        pub n_vocab: u32,
        /// Ids that `tokens` holds.
        pub n_positions: u32,
        /// Routed experts.
        pub n_experts: u32,
        /// Experts of a token.
        pub n_slots: u32,
        /// 1 to take experts from the table.
        pub hash: u32,
        /// Sum of a token's weights.
        pub scale: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static KERNEL: Kernel = Kernel {
    name: "route",
    source: include_str!("../../shaders/kernels/route.wgsl"),
    parts: &[STEP],
    bindings: &[
        ("step", Access::Read),
        ("tokens", Access::Read),
        ("logits", Access::Read),
        ("bias", Access::Read),
        ("table", Access::Read),
        ("experts", Access::Write),
        ("weights", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What `route` reads and writes. A token has `n_slots = n_used + n_shared` slots.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Token ids by position, u32.
    pub tokens: Slice,
    /// The gate's outputs `[max_tokens, n_experts]`, f32.
    pub logits: Slice,
    /// Added to scores for the choice: `[n_experts]`, f32; any slice when `hash`.
    pub bias: Slice,
    /// Experts by token id: `[n_vocab, n_used]`, i32; any slice when not `hash`.
    pub table: Slice,
    /// Take experts from the table instead of the scores.
    pub hash: bool,
    /// Rows of the table.
    pub n_vocab: u32,
    /// Routed experts of a layer.
    pub n_experts: u32,
    /// Routed experts of a token.
    pub n_used: u32,
    /// Shared experts, 0 or 1; a shared one has id `n_experts`.
    pub n_shared: u32,
    /// Sum of the routed experts' weights.
    pub scale: f32,
    /// Output `[max_tokens, n_slots]`, u32.
    pub experts: Slice,
    /// Output `[max_tokens, n_slots]`, f32.
    pub weights: Slice,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends the choice of experts.
///
/// # Panics
/// When more experts are used than there are, or none: shapes are checked before they come here.
pub fn record_route(recording: &mut Recording, flow: &Flow) {
    assert!((1..=flow.n_experts).contains(&flow.n_used), "route: {} of {} experts", flow.n_used, flow.n_experts);
    assert!(flow.n_shared <= 1, "route: shared experts are stored as one");
    let params = Params {
        n_vocab: flow.n_vocab,
        n_positions: (flow.tokens.bytes / 4) as u32,
        n_experts: flow.n_experts,
        n_slots: flow.n_used + flow.n_shared,
        hash: u32::from(flow.hash),
        scale: flow.scale,
        max_tokens: flow.max_tokens,
    };
    let knobs = recording.knobs;
    let (spec, teams) = knobs.team_spec(knobs.vector_lanes);
    let spec = spec.constant("N_USED", flow.n_used);
    let tokens = u64::from(flow.max_tokens);
    let scores = tokens * u64::from(flow.n_experts);
    let cost = Cost { bytes: scores * 4 + tokens * 8 * u64::from(params.n_slots), ops: scores * 8 };
    let bindings = [flow.step, flow.tokens, flow.logits, flow.bias, flow.table, flow.experts, flow.weights];
    recording.push("route", &KERNEL, spec, tokens.div_ceil(u64::from(teams)), &params, &bindings, cost);
}

/// Which of the stage's bindings are the logits, and the bias.
pub(crate) const LOGITS: usize = 2;
pub(crate) const BIAS: usize = 3;

/// What an expert is chosen by.
pub(crate) fn rank(logit: f32, bias: f32) -> f32 {
    score(logit) + bias
}

/// `sqrt(softplus(logit))`.
fn score(logit: f32) -> f32 {
    (logit.max(0.0) + (-logit.abs()).exp().ln_1p()).sqrt()
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let n_used = call.constant("N_USED") as usize;
    let step = call.input::<Step>(0)[0];
    let (tokens, logits, bias) = (call.inputs[1], call.input::<f32>(2), call.input::<f32>(3));
    let table = call.input::<i32>(4);
    let [experts, weights] = call.outputs::<u32, 2>();
    let (n_experts, n_slots) = (p.n_experts as usize, p.n_slots as usize);
    for token in 0..step.n_tokens.min(p.max_tokens) as usize {
        let scores: Vec<f32> = logits[token * n_experts..][..n_experts].iter().map(|l| score(*l)).collect();
        let mut chosen: Vec<u32> = (0..p.n_experts).collect();
        if p.hash == 1 {
            let id = tokens[(step.position as usize + token).min(p.n_positions as usize - 1)].min(p.n_vocab - 1);
            let row = &table[id as usize * n_used..][..n_used];
            chosen = row.iter().map(|e| (*e).max(0) as u32).map(|e| e.min(p.n_experts - 1)).collect();
        } else {
            let of = |e: &u32| scores[*e as usize] + bias[*e as usize];
            // The sort is stable, so that ties stay in order of their ids.
            chosen.sort_by(|a, b| of(b).total_cmp(&of(a)));
        }
        chosen.truncate(n_used);
        let sum: f32 = chosen.iter().map(|e| scores[*e as usize]).sum();
        for (k, expert) in chosen.into_iter().enumerate() {
            experts[token * n_slots + k] = expert;
            let weight = scores[expert as usize] / (sum + 1e-20) * p.scale;
            weights[token * n_slots + k] = weight.to_bits();
        }
        if n_slots > n_used {
            experts[token * n_slots + n_used] = p.n_experts;
            weights[token * n_slots + n_used] = 1f32.to_bits();
        }
    }
}

fn cases(knobs: &Knobs) -> Vec<Case> {
    vec![
        case(knobs, 40, 6, 1, false, false, 4, 3),
        case(knobs, 40, 6, 1, true, false, 4, 3),
        case(knobs, 40, 6, 0, false, true, 2, 2),
        case(knobs, 3, 2, 1, false, true, 1, 1),
    ]
}

/// With `ties` all experts of one remainder by 13 have the same logit and bias.
#[allow(clippy::too_many_arguments, reason = "the odd shapes are these numbers")]
fn case(
    knobs: &Knobs,
    n_experts: u32,
    n_used: u32,
    n_shared: u32,
    hash: bool,
    ties: bool,
    max_tokens: u32,
    n_tokens: u32,
) -> Case {
    let name = format!("{n_used} of {n_experts} and {n_shared}, hash {hash}, ties {ties}, {n_tokens} of {max_tokens}");
    let mut case = CaseBuilder::new(name, knobs);
    let (n_vocab, n_slots) = (5, n_used + n_shared);
    let same = |i: u32| if ties { i % n_experts % 13 } else { i };
    let values = case.random_values((n_experts * max_tokens) as usize);
    // Logits reach from where softplus is all but zero to where it is all but its argument.
    let logits: Vec<f32> = (0..n_experts * max_tokens).map(|i| values[same(i) as usize] * 24.0).collect();
    let values = case.random_values(n_experts as usize);
    let bias: Vec<f32> = (0..n_experts).map(|i| values[same(i) as usize]).collect();
    let table: Vec<i32> = (0..n_vocab * n_used).map(|_| (case.random_u32() % n_experts) as i32).collect();
    let step = case.step(2, n_tokens);
    let flow = Flow {
        step,
        tokens: case.input("tokens", &[0u32, 1, 4, 2, 9, 1]),
        logits: case.input("logits", &logits),
        bias: case.input("bias", &bias),
        table: case.input("table", &table),
        hash,
        n_vocab,
        n_experts,
        n_used,
        n_shared,
        scale: 1.5,
        experts: case.output("experts", (max_tokens * n_slots) as usize, 0.0),
        weights: case.output("weights", (max_tokens * n_slots) as usize, 1e-4),
        max_tokens,
    };
    record_route(&mut case.recording, &flow);
    case.finish()
}
