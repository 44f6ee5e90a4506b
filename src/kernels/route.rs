//! `route`: which experts a token goes to, and with what weight.

use crate::format::sorted::{falling, sort};
use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::{STEP, sigmoid};

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
        /// What weights are divided by: 0 nothing, 1 the sum over the chosen experts, 2 that over all.
        pub divisor: u32,
        /// What they are multiplied by.
        pub scale: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "route",
    variants: &[Variant::only("route", shader_text!("../../shaders/kernels/route.wgsl"), &[STEP], lower::VECTOR)],
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
    /// Softmax over all experts. A group ranks by its best expert: DeepSeek V2.
    Softmax {
        /// Whether the weights of those chosen are then divided by their sum.
        normed: bool,
    },
    /// The logistic function of the logit. A group ranks by the sum of its two best experts: DeepSeek V3.
    Sigmoid {
        /// Whether the weights of those chosen are divided by their sum.
        normed: bool,
    },
}

/// The constant that is 1 where there is a bias.
pub(super) const BIASED: &str = "BIASED";
/// The constant that is 1 where the bias belongs to the logits.
pub(super) const WEIGHS_BIAS: &str = "WEIGHS_BIAS";
/// The constant that tells variants apart in the reference: [`Scoring::number`].
const SCORING: &str = "SCORING";
const ROOT: u32 = 0;
const SOFTMAX: u32 = 1;
const SIGMOID: u32 = 2;

/// Groups of experts at most: they are bits of a word.
pub const MOST_GROUPS: u32 = 32;

impl Scoring {
    fn part(self) -> &'static str {
        match self {
            Self::Root => shader_text!("../../shaders/lib/score_root.wgsl"),
            Self::Softmax { .. } => shader_text!("../../shaders/lib/score_softmax.wgsl"),
            Self::Sigmoid { .. } => shader_text!("../../shaders/lib/score_sigmoid.wgsl"),
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::Root => ROOT,
            Self::Softmax { .. } => SOFTMAX,
            Self::Sigmoid { .. } => SIGMOID,
        }
    }

    /// See [`Params::divisor`].
    fn divisor(self) -> u32 {
        match self {
            Self::Sigmoid { normed: false } => 0,
            Self::Root | Self::Softmax { normed: true } | Self::Sigmoid { normed: true } => 1,
            Self::Softmax { normed: false } => 2,
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
    /// Added to scores for the choice: `[n_experts]`, f32.
    pub bias: Option<Slice>,
    /// Whether the bias counts for the weights too, since it belongs to the logits.
    pub weighs_bias: bool,
    /// Experts by token id, `[n_vocab, n_used]`, i32, to be taken instead of those of the best scores.
    pub table: Option<Slice>,
    /// How experts are ranked and weighed.
    pub scoring: Scoring,
    /// Rows of the table.
    pub n_vocab: u32,
    /// Routed experts of a layer.
    pub n_experts: u32,
    /// Groups of equally many consecutive experts; 1 where all compete.
    pub n_groups: u32,
    /// The best groups, from which a token's experts are chosen.
    pub n_kept: u32,
    /// Routed experts of a token.
    pub n_used: u32,
    /// Shared experts, 0 or 1; a shared one has id `n_experts`.
    pub n_shared: u32,
    /// What the routed experts' weights are multiplied by.
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
    let whole = (1..=MOST_GROUPS).contains(&flow.n_groups) && flow.n_experts.is_multiple_of(flow.n_groups);
    let is_kept = (1..=flow.n_groups).contains(&flow.n_kept);
    assert!(whole && is_kept, "route: {} of {} groups", flow.n_kept, flow.n_groups);
    assert!(flow.n_experts / flow.n_groups * flow.n_kept >= flow.n_used, "route: enough experts in the groups kept");
    let params = Params {
        n_vocab: flow.n_vocab,
        n_positions: (flow.tokens.bytes / 4) as u32,
        n_experts: flow.n_experts,
        n_slots: flow.n_used + flow.n_shared,
        hash: u32::from(flow.table.is_some()),
        divisor: flow.scoring.divisor(),
        scale: flow.scale,
        max_tokens: flow.max_tokens,
    };
    let facts = Spec::default().constant("N_USED", flow.n_used).constant(SCORING, flow.scoring.number());
    let facts =
        facts.constant(WEIGHS_BIAS, u32::from(flow.weighs_bias)).constant(BIASED, u32::from(flow.bias.is_some()));
    let facts = facts.constant("N_GROUPS", flow.n_groups).constant("N_KEPT", flow.n_kept).part(flow.scoring.part());
    let tokens = u64::from(flow.max_tokens);
    let scores = tokens * u64::from(flow.n_experts);
    let cost = Cost { bytes: scores * 4 + tokens * 8 * u64::from(params.n_slots), ops: scores * 8 };
    // Where there is none, any slice will do.
    let [bias, table] = [flow.bias, flow.table].map(|slice| slice.unwrap_or(flow.logits));
    let bindings = [flow.step, flow.tokens, flow.logits, bias, table, flow.experts, flow.weights];
    recording.push("route", &OP, facts, tokens, &params, &bindings, cost);
}

/// Which of the stage's bindings are the logits, and the bias.
pub(crate) const LOGITS: usize = 2;
pub(crate) const BIAS: usize = 3;

/// Whether a bias is added to the ranks, in a variant of the kernel.
pub(crate) fn is_biased(spec: &Spec) -> bool {
    spec.value_of(BIASED) == Some(1)
}

/// What an expert is chosen by, in a variant of the kernel.
pub(crate) fn rank(spec: &Spec, logit: f32, bias: f32) -> f32 {
    let scoring = spec.value_of(SCORING).unwrap_or(ROOT);
    bias + if scoring == SOFTMAX { logit } else { weigh(scoring, logit, 0.0) }
}

/// What each group of experts is kept by, where there are several; `ranks` are those of a token's experts.
pub(crate) fn group_ranks(spec: &Spec, ranks: &[f32]) -> Vec<f32> {
    let n_groups = spec.value_of("N_GROUPS").unwrap_or(1).max(1) as usize;
    let by_best = spec.value_of(SCORING) == Some(SOFTMAX);
    let rank = |group: &[f32]| {
        let (best, second) = group.iter().fold((f32::MIN, f32::MIN), |(best, second), rank| {
            if *rank > best { (*rank, best) } else { (best, second.max(*rank)) }
        });
        if by_best || group.len() < 2 { best } else { best + second }
    };
    ranks.chunks((ranks.len() / n_groups).max(1)).map(rank).collect()
}

/// The score of an expert, that of softmax up to a common factor.
fn weigh(scoring: u32, logit: f32, greatest: f32) -> f32 {
    match scoring {
        SOFTMAX => (logit - greatest).exp(),
        SIGMOID => sigmoid(logit),
        _ => (logit.max(0.0) + (-logit.abs()).exp().ln_1p()).sqrt(),
    }
}

/// The experts of the groups that are kept.
fn candidates(spec: &Spec, ranks: &[f32], n_kept: usize) -> Vec<u32> {
    let groups = group_ranks(spec, ranks);
    let size = ranks.len() / groups.len();
    let mut kept: Vec<usize> = (0..groups.len()).collect();
    sort(&mut kept, |group| falling(groups[*group].into()));
    kept.truncate(n_kept);
    kept.sort_unstable();
    kept.into_iter().flat_map(|group| group * size..(group + 1) * size).map(|expert| expert as u32).collect()
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (n_used, n_kept) = (call.constant("N_USED") as usize, call.constant("N_KEPT") as usize);
    let (spec, scoring) = (call.spec, call.constant(SCORING));
    let (biased, weighs_bias) = (call.constant(BIASED) == 1, call.constant(WEIGHS_BIAS) == 1);
    let step = call.input::<Step>(0)[0];
    let (tokens, logits, bias) = (call.inputs[1], call.input::<f32>(2), call.input::<f32>(3));
    let bias_of = |expert: usize| if biased { bias[expert] } else { 0.0 };
    let table = call.input::<i32>(4);
    let [experts, weights] = call.outputs::<u32, 2>();
    let (n_experts, n_slots) = (p.n_experts as usize, p.n_slots as usize);
    for token in 0..step.n_tokens.min(p.max_tokens) as usize {
        let logits = &logits[token * n_experts..][..n_experts];
        let mut chosen: Vec<u32>;
        if p.hash == 1 {
            let id = tokens[(step.position as usize + token).min(p.n_positions as usize - 1)].min(p.n_vocab - 1);
            let row = &table[id as usize * n_used..][..n_used];
            chosen = row.iter().map(|e| (*e).max(0) as u32).map(|e| e.min(p.n_experts - 1)).collect();
        } else {
            let ranks = logits.iter().enumerate().map(|(expert, logit)| rank(spec, *logit, bias_of(expert)));
            let ranks: Vec<f32> = ranks.collect();
            chosen = candidates(spec, &ranks, n_kept);
            // The sort is stable, so that ties stay in order of their ids.
            sort(&mut chosen, |expert| falling(ranks[*expert as usize].into()));
        }
        chosen.truncate(n_used);
        let weighed = |e: u32| logits[e as usize] + if weighs_bias { bias_of(e as usize) } else { 0.0 };
        let greatest = chosen.iter().map(|e| weighed(*e)).fold(f32::MIN, f32::max);
        let of = |expert: u32| weigh(scoring, weighed(expert), greatest);
        let divisor = match p.divisor {
            0 => 1.0,
            1 => chosen.iter().copied().map(of).sum::<f32>() + 1e-20,
            _ => (0..p.n_experts).map(of).sum::<f32>() + 1e-20,
        };
        for (k, expert) in chosen.into_iter().enumerate() {
            experts[token * n_slots + k] = expert;
            weights[token * n_slots + k] = (of(expert) / divisor * p.scale).to_bits();
        }
        if n_slots > n_used {
            experts[token * n_slots + n_used] = p.n_experts;
            weights[token * n_slots + n_used] = 1f32.to_bits();
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        case([40, 6, 1], [1, 1], Scoring::Root, false, false, 4, 3),
        case([40, 6, 1], [1, 1], Scoring::Root, true, false, 4, 3),
        case([40, 6, 0], [1, 1], Scoring::Root, false, true, 2, 2),
        case([3, 2, 1], [1, 1], Scoring::Root, false, true, 1, 1),
        case([17, 3, 0], [1, 1], Scoring::Softmax { normed: true }, false, true, 3, 2),
        case([8, 8, 0], [1, 1], Scoring::Softmax { normed: false }, false, false, 2, 2),
        case([160, 6, 1], [8, 3], Scoring::Softmax { normed: false }, false, false, 4, 4),
        case([256, 8, 1], [8, 4], Scoring::Sigmoid { normed: true }, false, false, 4, 4),
        case([66, 4, 0], [11, 2], Scoring::Sigmoid { normed: false }, false, true, 3, 2),
        case([16, 2, 0], [16, 2], Scoring::Sigmoid { normed: true }, false, false, 2, 2),
        with_biased_logits([32, 4, 1], Scoring::Softmax { normed: true }),
        with_biased_logits([7, 2, 0], Scoring::Softmax { normed: false }),
        with(BIASED, 0, "no bias", case([16, 4, 1], [1, 1], Scoring::Softmax { normed: true }, false, false, 3, 2)),
    ]
}

/// The bias counts for the weights too.
fn with_biased_logits(experts: [u32; 3], scoring: Scoring) -> Case {
    with(WEIGHS_BIAS, 1, "biased logits", case(experts, [1, 1], scoring, false, false, 3, 2))
}

/// A case with another fact.
fn with(fact: &str, value: u32, name: &str, mut case: Case) -> Case {
    case.name = format!("{}, {name}", case.name);
    let constants = case.recording.stages.iter_mut().flat_map(|stage| &mut stage.spec.constants);
    constants.filter(|(name, _)| *name == fact).for_each(|(_, of)| *of = value);
    case
}

/// `experts` are how many there are, are used, and are shared; `groups` are how many there are and are kept. With `ties`
/// all experts of one remainder by 13 have the same logit and bias.
fn case(
    experts: [u32; 3],
    groups: [u32; 2],
    scoring: Scoring,
    hash: bool,
    ties: bool,
    max_tokens: u32,
    n_tokens: u32,
) -> Case {
    let ([n_experts, n_used, n_shared], [n_groups, n_kept]) = (experts, groups);
    let name = format!(
        "{n_used} of {n_experts} and {n_shared}, {n_kept} of {n_groups} groups, {scoring:?}, hash {hash}, ties {ties}, \
         {n_tokens} of {max_tokens}"
    );
    let mut case = CaseBuilder::new(name);
    let (n_vocab, n_slots) = (5, n_used + n_shared);
    let same = |i: u32| if ties { i % n_experts % 13 } else { i };
    let values = case.random_values((n_experts * max_tokens) as usize);
    // Logits reach from where softplus is all but zero to where it is all but its argument; sigmoids would all be one.
    let reach = if matches!(scoring, Scoring::Sigmoid { .. }) { 4.0 } else { 24.0 };
    let logits: Vec<f32> = (0..n_experts * max_tokens).map(|i| values[same(i) as usize] * reach).collect();
    let values = case.random_values(n_experts as usize);
    let bias: Vec<f32> = (0..n_experts).map(|i| values[same(i) as usize]).collect();
    let table: Vec<i32> = (0..n_vocab * n_used).map(|_| (case.random_u32() % n_experts) as i32).collect();
    let step = case.step(2, n_tokens);
    let flow = Flow {
        step,
        tokens: case.input("tokens", &[0u32, 1, 4, 2, 9, 1]),
        logits: case.input("logits", &logits),
        bias: Some(case.input("bias", &bias)),
        table: hash.then(|| case.input("table", &table)),
        weighs_bias: false,
        scoring,
        n_vocab,
        n_experts,
        n_groups,
        n_kept,
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
