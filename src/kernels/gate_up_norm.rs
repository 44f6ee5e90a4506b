//! `gate_up_norm`: the hidden values of a feed-forward network without experts, out of the residual stream. A fusion of
//! `norm_rows` and `gate_up_swiglu`, in which every group of invocations norms for itself what it reads.

use crate::format::Format;
use crate::gpu::fuse::{Rule, fuse as fuse_parts};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Stage, Variant};

use super::case::CaseBuilder;
use super::gate_up_swiglu::{self, Params};
use super::linear_norm::{norm_input, normed_facts, record_norm};
use super::rows::Needed;
use super::swiglu::Activation;
use super::{INPUT_NORMED, STEP, norm_rows};

/// The kernel. Its text and parameters are those of `gate_up_swiglu`.
pub static OP: Op = Op {
    name: "gate_up_norm",
    variants: &[Variant {
        entry: "gate_up_swiglu",
        waits: true,
        ..Variant::only("gate_up_norm", gate_up_swiglu::SOURCE, &[STEP, INPUT_NORMED], gate_up_swiglu::WAY_NORMED)
    }],
    bindings: &[
        ("step", Access::Read),
        ("x", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("hidden", Access::Write),
        ("norm", Access::Read),
        ("normed", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// Takes a norm, and the network's product that follows it. What was normed is kept for other stages.
pub static RULE: Rule = Rule { parts: &["norm_rows", "gate_up_swiglu"], fuse, writers: &[], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [norm, network] = parts else { return None };
    let (n, p): (norm_rows::Params, Params) = (norm.params(), network.params());
    let [step, values, weights, normed] = norm.bindings[..] else { return None };
    let [_, x, quants, scales, hidden] = network.bindings[..] else { return None };
    let fits = x == normed
        && (n.n_quads, n.last_only, n.ring, n.max_tokens) == (p.n_in / 4, 0, 0, p.max_tokens)
        && p.x_stride == n.n_quads;
    fits.then(|| Stage {
        op: &OP,
        spec: normed_facts(network.spec.clone(), &n),
        bindings: vec![step, values, quants, scales, hidden, weights, normed],
        cost: Cost { bytes: norm.cost.bytes + network.cost.bytes, ops: norm.cost.ops + network.cost.ops },
        ..network.clone()
    })
}

/// The rows that results need: a hidden unit's gate row, and its up row behind it.
pub(super) fn needed(call: &Call<'_>) -> Needed {
    gate_up_swiglu::needed(call)
}

/// Its parts' references, one after the other.
fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let [step, x, quants, scales, norm] = call.inputs[..] else { unreachable!("five inputs") };
    let mut outputs = std::mem::take(&mut call.outputs);
    let [hidden, normed] = &mut outputs[..] else { unreachable!("two outputs") };
    norm_input(call, [p.n_in, p.x_stride, p.max_tokens], [step, x, norm], normed);
    (gate_up_swiglu::OP.reference)(&mut Call {
        params: call.params,
        spec: call.spec,
        inputs: vec![step, &**normed, quants, scales],
        outputs: vec![&mut **hidden],
        sample: call.sample,
    });
    call.outputs = outputs;
}

fn part_cases() -> Vec<Case> {
    [Format::F16, Format::Q4_0, Format::Q4_K, Format::Q6_K]
        .map(|format| case(format, 20, 256, Activation::Silu, [3, 2]))
        .into_iter()
        .chain([
            case(Format::F32, 4, 36, Activation::Silu, [1, 1]),
            case(Format::Q4_0, 36, 96, Activation::GeluTanh, [7, 7]),
        ])
        .collect()
}

/// `tokens` are the capacity, and how many there are.
fn case(format: Format, n_hidden: u32, n_in: u32, activation: Activation, tokens: [u32; 2]) -> Case {
    let [max_tokens, n_tokens] = tokens;
    let mut case =
        CaseBuilder::new(format!("{format}, {n_hidden} hidden of {n_in}, {activation:?}, [of, tokens] {tokens:?}"));
    let w = case.matrix("w", format, 2 * n_hidden as usize, n_in as usize);
    let step = case.step(3, n_tokens);
    let x = record_norm(&mut case, step, n_in, None, max_tokens);
    gate_up_swiglu::record_parts(&mut case, &w, [step, x], n_hidden, activation, max_tokens);
    let recording = fuse_parts(&case.recording, &[&gate_up_swiglu::RULE]);
    Case { recording, ..case.finish() }
}
