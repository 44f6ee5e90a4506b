//! `route`: which experts a token goes to, and with what weight.

use crate::gpu::kernel::{Spec, Step};
use crate::gpu::lower;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Kernel, Recording, Slice, Variant};

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
        /// 1 to divide by the sum over all experts.
        pub sum_all: u32,
        /// Sum of a token's weights.
        pub scale: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static KERNEL: Kernel = Kernel {
    name: "route",
    variants: &[Variant::only("route", include_str!("../../shaders/kernels/route.wgsl"), &[STEP], lower::VECTOR)],
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

/// How experts are ranked and weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scoring {
    /// `sqrt(softplus(logit))`, the weights divided by the sum of those chosen: DeepSeek V4.
    Root,
    /// Softmax over all experts.
    Softmax {
        /// Whether the weights of those chosen are then divided by their sum.
        normed: bool,
    },
}

impl Scoring {
    fn part(self) -> &'static str {
        match self {
            Self::Root => include_str!("../../shaders/lib/score_root.wgsl"),
            Self::Softmax { .. } => include_str!("../../shaders/lib/score_softmax.wgsl"),
        }
    }
}

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
    /// How experts are ranked and weighed.
    pub scoring: Scoring,
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
        sum_all: u32::from(flow.scoring == Scoring::Softmax { normed: false }),
        scale: flow.scale,
        max_tokens: flow.max_tokens,
    };
    let is_softmax = u32::from(flow.scoring != Scoring::Root);
    let facts = Spec::default().constant("N_USED", flow.n_used).constant("SOFTMAX", is_softmax);
    let facts = facts.part(flow.scoring.part());
    let tokens = u64::from(flow.max_tokens);
    let scores = tokens * u64::from(flow.n_experts);
    let cost = Cost { bytes: scores * 4 + tokens * 8 * u64::from(params.n_slots), ops: scores * 8 };
    let bindings = [flow.step, flow.tokens, flow.logits, flow.bias, flow.table, flow.experts, flow.weights];
    recording.push("route", &KERNEL, facts, tokens, &params, &bindings, cost);
}

/// Which of the stage's bindings are the logits, and the bias.
pub(crate) const LOGITS: usize = 2;
pub(crate) const BIAS: usize = 3;

/// What an expert is chosen by, in a variant of the kernel.
pub(crate) fn rank(spec: &Spec, logit: f32, bias: f32) -> f32 {
    if spec.constants.contains(&("SOFTMAX", 1)) { logit + bias } else { weigh(false, logit, 0.0) + bias }
}

/// `sqrt(softplus(logit))`, or softmax up to a common factor.
fn weigh(is_softmax: bool, logit: f32, greatest: f32) -> f32 {
    if is_softmax { (logit - greatest).exp() } else { (logit.max(0.0) + (-logit.abs()).exp().ln_1p()).sqrt() }
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (n_used, is_softmax) = (call.constant("N_USED") as usize, call.constant("SOFTMAX") == 1);
    let step = call.input::<Step>(0)[0];
    let (tokens, logits, bias) = (call.inputs[1], call.input::<f32>(2), call.input::<f32>(3));
    let table = call.input::<i32>(4);
    let [experts, weights] = call.outputs::<u32, 2>();
    let (n_experts, n_slots) = (p.n_experts as usize, p.n_slots as usize);
    for token in 0..step.n_tokens.min(p.max_tokens) as usize {
        let logits = &logits[token * n_experts..][..n_experts];
        let mut chosen: Vec<u32> = (0..p.n_experts).collect();
        if p.hash == 1 {
            let id = tokens[(step.position as usize + token).min(p.n_positions as usize - 1)].min(p.n_vocab - 1);
            let row = &table[id as usize * n_used..][..n_used];
            chosen = row.iter().map(|e| (*e).max(0) as u32).map(|e| e.min(p.n_experts - 1)).collect();
        } else {
            let rank = |logit: f32| if is_softmax { logit } else { weigh(false, logit, 0.0) };
            let of = |e: &u32| rank(logits[*e as usize]) + bias[*e as usize];
            // The sort is stable, so that ties stay in order of their ids.
            chosen.sort_by(|a, b| of(b).total_cmp(&of(a)));
        }
        chosen.truncate(n_used);
        let greatest = chosen.iter().map(|e| logits[*e as usize]).fold(f32::MIN, f32::max);
        let of = |expert: u32| weigh(is_softmax, logits[expert as usize], greatest);
        let sum: f32 =
            if p.sum_all == 1 { (0..p.n_experts).map(of).sum() } else { chosen.iter().copied().map(of).sum() };
        for (k, expert) in chosen.into_iter().enumerate() {
            experts[token * n_slots + k] = expert;
            weights[token * n_slots + k] = (of(expert) / (sum + 1e-20) * p.scale).to_bits();
        }
        if n_slots > n_used {
            experts[token * n_slots + n_used] = p.n_experts;
            weights[token * n_slots + n_used] = 1f32.to_bits();
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        case([40, 6, 1], Scoring::Root, false, false, 4, 3),
        case([40, 6, 1], Scoring::Root, true, false, 4, 3),
        case([40, 6, 0], Scoring::Root, false, true, 2, 2),
        case([3, 2, 1], Scoring::Root, false, true, 1, 1),
        case([17, 3, 0], Scoring::Softmax { normed: true }, false, true, 3, 2),
        case([8, 8, 0], Scoring::Softmax { normed: false }, false, false, 2, 2),
    ]
}

/// `experts` are how many there are, are used, and are shared. With `ties` all experts of one remainder by 13 have the
/// same logit and bias.
fn case(experts: [u32; 3], scoring: Scoring, hash: bool, ties: bool, max_tokens: u32, n_tokens: u32) -> Case {
    let [n_experts, n_used, n_shared] = experts;
    let name = format!(
        "{n_used} of {n_experts} and {n_shared}, {scoring:?}, hash {hash}, ties {ties}, {n_tokens} of {max_tokens}"
    );
    let mut case = CaseBuilder::new(name);
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
        scoring,
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
