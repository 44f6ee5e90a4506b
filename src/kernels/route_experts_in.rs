//! `route_experts_in`: the hidden values of a token's experts out of the logits by which they are chosen, for a few tokens. A fusion of
//! `route` and `experts_in`, in which every workgroup chooses for itself: that is thought to take less time than to wait for one that
//! does. What decides beside the logits is bound behind the rest, so there is a kernel for each list of bindings.

use crate::format::Format;
use crate::gpu::fuse::Rule;
use crate::gpu::op::Step;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Stage, Variant};

use super::case::CaseBuilder;
use super::experts::{Flow, Shard};
use super::experts_in::{self, Params, record_experts_in};
use super::linear_tiled::MIN_TOKENS;
use super::route::{self, BIASED, Scoring, WEIGHS_BIAS};
use super::rows::Needed;
use super::{INPUT_PLAIN, STEP, experts_in_fixed, fixed_point};

/// The kernel where nothing but logits decides. Its texts and parameters are those of `experts_in`.
pub static OP: Op = Op {
    name: "route_experts_in",
    variants: VARIANTS,
    bindings: &[STEP_BOUND, X, LOGITS, EXPERTS, QUANTS, SCALES, HIDDEN],
    params: Params::FIELDS,
    reference,
    cases: || cases_of(&OP),
};

/// The kernel where a bias is added to ranks.
pub static OF_BIAS: Op = Op {
    name: "route_experts_in_of_bias",
    variants: VARIANTS,
    bindings: &[STEP_BOUND, X, LOGITS, EXPERTS, QUANTS, SCALES, HIDDEN, ("bias", Access::Read)],
    params: Params::FIELDS,
    reference,
    cases: || cases_of(&OF_BIAS),
};

/// The kernel where a table has the experts of each token.
pub static OF_TABLE: Op = Op {
    name: "route_experts_in_of_table",
    variants: VARIANTS,
    bindings: &[
        STEP_BOUND,
        X,
        LOGITS,
        EXPERTS,
        QUANTS,
        SCALES,
        HIDDEN,
        ("table", Access::Read),
        ("tokens", Access::Read),
    ],
    params: Params::FIELDS,
    reference,
    cases: || cases_of(&OF_TABLE),
};

const STEP_BOUND: (&str, Access) = ("step", Access::Read);
const X: (&str, Access) = ("x", Access::Read);
const LOGITS: (&str, Access) = ("logits", Access::Read);
/// The first of what is written: lock step asks it which other results are those of another choice.
const EXPERTS: (&str, Access) = ("experts", Access::Write);
const QUANTS: (&str, Access) = ("quants", Access::Read);
const SCALES: (&str, Access) = ("scales", Access::Read);
const HIDDEN: (&str, Access) = ("hidden", Access::Write);

const CHOSEN: &str = shader_text!("../../shaders/lib/slots_chosen.wgsl");
const CHOICE_BEST: &str = shader_text!("../../shaders/lib/choice_best.wgsl");
const CHOICE_TABLE: &str = shader_text!("../../shaders/lib/choice_table.wgsl");
const BIAS_NONE: &str = shader_text!("../../shaders/lib/bias_none.wgsl");
const BIAS_BOUND: &str = shader_text!("../../shaders/lib/bias_bound.wgsl");

/// Routed experts of a layer.
const N_ROUTED: &str = "N_ROUTED";
/// What weights are multiplied by, as bits.
const SCALE: &str = "SCALE";
/// See [`route::Params::divisor`].
const DIVISOR: &str = "DIVISOR";
/// Rows of the table.
const N_VOCAB: &str = "N_VOCAB";
/// 1 where a table has the experts.
const HASH: &str = "HASH";

const VARIANTS: &[Variant] = &[
    Variant {
        entry: "experts_in",
        waits: true,
        ..Variant::only("route_experts_in", experts_in::SOURCE, &[STEP, INPUT_PLAIN, CHOSEN], experts_in::WAY)
    },
    Variant { name: "route_experts_in_fixed", parts: FIXED_PARTS, waits: true, ..experts_in_fixed::VARIANT },
    Variant { name: "route_experts_in_int8", parts: FIXED_PARTS, waits: true, ..experts_in_fixed::OF_INT8 },
];
const FIXED_PARTS: &[&str] = &[STEP, fixed_point::DOTS, CHOSEN];

/// Takes a choice of experts and the first products of all of them. What a token's weights are is not kept.
pub static RULE: Rule = Rule { parts: &["route", "experts_in"], fuse, writers: &[], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [choice, products] = parts else { return None };
    let (r, p): (route::Params, Params) = (choice.params(), products.params());
    let [step, tokens, logits, bias, table, experts, weights] = choice.bindings[..] else { return None };
    let [_, x, chosen, weighed, quants, scales, hidden] = products.bindings[..] else { return None };
    let fact = |name| choice.spec.value_of(name).unwrap_or(0);
    let fits = (experts, weights) == (chosen, weighed)
        && (r.n_slots, r.max_tokens) == (p.n_slots, p.max_tokens)
        && p.max_tokens < MIN_TOKENS
        && (fact("N_GROUPS"), fact(WEIGHS_BIAS)) == (1, 0)
        && r.divisor < 2;
    let is_biased = fact(BIASED) == 1;
    let (op, texts, more): (_, &[&'static str], _) = match (r.hash == 1, is_biased) {
        (true, _) => (&OF_TABLE, &[CHOICE_TABLE], vec![table, tokens]),
        (_, true) => (&OF_BIAS, &[CHOICE_BEST, BIAS_BOUND], vec![bias]),
        _ => (&OP, &[CHOICE_BEST, BIAS_NONE], vec![]),
    };
    let facts = products.spec.clone().with(&choice.spec);
    let facts = facts.constant(N_ROUTED, r.n_experts).constant(SCALE, r.scale.to_bits());
    let facts = facts.constant(DIVISOR, r.divisor).constant(N_VOCAB, r.n_vocab).constant(HASH, r.hash);
    let bound = [step, x, logits, experts, quants, scales, hidden];
    fits.then(|| Stage {
        op,
        spec: texts.iter().fold(facts, |facts, text| facts.part(text)),
        bindings: bound.into_iter().chain(more).collect(),
        cost: Cost { bytes: choice.cost.bytes + products.cost.bytes, ops: choice.cost.ops + products.cost.ops },
        ..products.clone()
    })
}

/// Experts and weights of each slot of a call, which may lack the planes among its inputs.
fn choose(call: &Call<'_>, p: &Params) -> [Vec<u32>; 2] {
    let [step, logits] = [call.inputs[0], call.inputs[2]];
    let n_routed = call.constant(N_ROUTED);
    let (bias, table, tokens) = match (call.constant(HASH), call.inputs.as_slice()) {
        (1, [.., table, tokens]) => (logits, *table, *tokens),
        (_, [.., bias]) => (*bias, logits, logits),
        _ => unreachable!("inputs"),
    };
    let params = route::Params {
        n_vocab: call.constant(N_VOCAB),
        n_positions: tokens.len() as u32,
        n_experts: n_routed,
        n_slots: p.n_slots,
        hash: call.constant(HASH),
        divisor: call.constant(DIVISOR),
        scale: f32::from_bits(call.constant(SCALE)),
        max_tokens: p.max_tokens,
    };
    let n = (p.max_tokens * p.n_slots) as usize;
    let mut chosen = [vec![0; n], vec![0; n]];
    let [experts, weights] = &mut chosen;
    (route::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&params),
        spec: call.spec,
        inputs: vec![step, tokens, logits, bias, table],
        outputs: vec![experts, weights],
        sample: None,
    });
    chosen
}

/// The rows that results need.
pub(super) fn needed(call: &Call<'_>) -> Needed {
    let [experts, weights] = choose(call, &call.params());
    experts_in::needed(&Call {
        params: call.params,
        spec: call.spec,
        inputs: vec![call.inputs[0], call.inputs[1], &experts, &weights],
        outputs: Vec::new(),
        sample: call.sample,
    })
}

/// Its parts' references, one after the other.
fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let [chosen, weights] = choose(call, &p);
    let [step, x, _, quants, scales, ..] = call.inputs[..] else { unreachable!("five inputs at least") };
    let mut outputs = std::mem::take(&mut call.outputs);
    let [experts, hidden] = &mut outputs[..] else { unreachable!("two outputs") };
    let n_tokens = call.input::<Step>(0)[0].n_tokens.min(p.max_tokens);
    let n = (n_tokens * p.n_slots) as usize;
    experts[..n].copy_from_slice(&chosen[..n]);
    (experts_in::OP.reference)(&mut Call {
        params: call.params,
        spec: call.spec,
        inputs: vec![step, x, &chosen, &weights, quants, scales],
        outputs: vec![&mut **hidden],
        sample: call.sample,
    });
    call.outputs = outputs;
}

fn cases_of(op: &'static Op) -> Vec<Case> {
    RULE.fused_cases().into_iter().filter(|case| case.recording.stages[0].op.name == op.name).collect()
}

/// What decides beside the logits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Nothing,
    Bias,
    Table,
}

fn part_cases() -> Vec<Case> {
    let (root, softmax, sigmoid) =
        (Scoring::Root, Scoring::Softmax { normed: true }, Scoring::Sigmoid { normed: false });
    vec![
        // One format of codes for each kernel: texts are many, and the formats' own are those of `experts_in`.
        // Experts that tie; more than there are lanes, all slots of which are routed; one that takes all.
        case(By::Nothing, softmax, [17, 3, 0], Format::F16, [64, 12], [3, 2]),
        case(By::Nothing, softmax, [260, 8, 0], Format::Q4_0, [32, 4], [1, 1]),
        case(By::Nothing, sigmoid, [3, 3, 1], Format::F32, [36, 8], [2, 2]),
        case(By::Bias, root, [40, 6, 1], Format::Q8_0, [64, 20], [4, 3]),
        case(By::Bias, sigmoid, [9, 2, 0], Format::F32, [36, 8], [1, 1]),
        case(By::Table, root, [12, 2, 1], Format::MXFP4, [64, 20], [5, 4]),
        case(By::Table, root, [7, 1, 1], Format::F16, [64, 4], [1, 1]),
    ]
}

/// `experts` are how many there are, are used, and are shared; `widths` those of the stream and of an expert; `tokens` the capacity, and
/// how many there are.
fn case(by: By, scoring: Scoring, experts: [u32; 3], format: Format, widths: [u32; 2], tokens: [u32; 2]) -> Case {
    let ([n_experts, n_used, n_shared], [n_embd, n_hidden], [max_tokens, n_tokens]) = (experts, widths, tokens);
    let mut case = CaseBuilder::new(format!(
        "{format}, {scoring:?} by {by:?}, {n_used} of {n_experts} and {n_shared}, [in, hidden] {widths:?}, [of, tokens] {tokens:?}"
    ));
    let (n_vocab, n_slots) = (5, n_used + n_shared);
    // Every seventh expert is as good as the others of its kind.
    let values = case.random_values((n_experts * max_tokens) as usize);
    let logits = (0..n_experts * max_tokens).map(|i| 4.0 * values[(i % n_experts % 7 + i / n_experts) as usize]);
    let logits = case.input("logits", &logits.collect::<Vec<_>>());
    let table: Vec<i32> = (0..n_vocab * n_used).map(|_| (case.random_u32() % n_experts) as i32).collect();
    let n_entries = (max_tokens * n_slots) as usize;
    let choice = route::Flow {
        step: case.step(2, n_tokens),
        tokens: case.input("tokens", &[0u32, 1, 4, 2, 9, 1]),
        logits,
        bias: (by == By::Bias).then(|| case.random_input("bias", n_experts as usize)),
        weighs_bias: false,
        table: (by == By::Table).then(|| case.input("table", &table)),
        scoring,
        n_vocab,
        n_experts,
        n_groups: 1,
        n_kept: 1,
        n_used,
        n_shared,
        scale: 1.5,
        experts: case.output("experts", n_entries, 0.0),
        weights: case.input("weights", &vec![0u32; n_entries]),
        max_tokens,
    };
    route::record_route(&mut case.recording, &choice);
    let n_in_shard = n_experts + n_shared;
    let matrix = case.matrix("w", format, (2 * n_in_shard * n_hidden) as usize, n_embd as usize);
    let flow = Flow {
        step: choice.step,
        x: case.random_input("x", (max_tokens * n_embd) as usize),
        experts: choice.experts,
        weights: choice.weights,
        hidden: case.output("hidden", n_entries * n_hidden as usize, 1e-4),
        outputs: choice.step,
        n_embd,
        n_hidden,
        n_slots,
        n_shared,
        n_experts,
        limit: 1.0,
        groups: None,
        max_tokens,
    };
    record_experts_in(&mut case.recording, &Shard { matrix, first_expert: 0, n_experts: n_in_shard }, &flow);
    case.finish()
}
