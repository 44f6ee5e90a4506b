//! `experts_group`: the tokens of each expert, so that its weights are decoded once for several of them.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Variant};

use super::STEP;
use super::case::CaseBuilder;
use super::experts::{Flow, Groups};

crate::params! {
    /// Parameters of `experts_group`; the WGSL says what each is.
    pub struct Params {
        /// Experts, the shared one included.
        pub n_experts: u32,
        /// Experts of a token.
        pub n_slots: u32,
        /// Tokens to list at most, and places in a list.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "experts_group",
    variants: &[Variant::only(
        "experts_group",
        shader_text!("../../shaders/kernels/experts_group.wgsl"),
        &[STEP],
        lower::THREADS,
    )],
    bindings: &[("step", Access::Read), ("experts", Access::Read), ("lists", Access::Write), ("counts", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Appends the grouping of the step's entries by expert into `flow.groups`; nothing when there are none.
///
/// # Panics
/// When the lists are too short: shapes are checked before they come here.
pub fn record_experts_group(recording: &mut Recording, flow: &Flow) {
    let Some(Groups { lists, counts }) = flow.groups else { return };
    // Without a shared expert the last list would stay empty, and need not be there.
    let room = (lists.bytes / 4 / u64::from(flow.max_tokens.max(1))).min(counts.bytes / 4);
    let n_experts = (flow.n_experts + 1).min(u32::try_from(room).unwrap_or(u32::MAX));
    assert!(n_experts >= flow.n_experts, "experts_group: {n_experts} lists for {} experts", flow.n_experts);
    let params = Params { n_experts, n_slots: flow.n_slots, max_tokens: flow.max_tokens };
    let entries = u64::from(flow.max_tokens) * u64::from(flow.n_slots);
    let cost = Cost { bytes: entries * 8 + u64::from(n_experts) * 4, ops: entries * u64::from(n_experts) };
    let bindings = [flow.step, flow.experts, lists, counts];
    recording.push("experts_group", &OP, Spec::default(), u64::from(n_experts), &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let n_entries = (step.n_tokens.min(p.max_tokens) * p.n_slots) as usize;
    let experts = &call.inputs[1][..n_entries];
    let [lists, counts] = call.outputs::<u32, 2>();
    for (expert, list) in lists.chunks_mut(p.max_tokens as usize).take(p.n_experts as usize).enumerate() {
        let chose = experts.iter().enumerate().filter(|(_, e)| **e == expert as u32);
        let entries = chose.map(|(entry, _)| entry as u32).take(list.len());
        let count = entries.zip(list).map(|(entry, place)| *place = entry).count();
        counts[expert] = count as u32;
    }
}

fn cases() -> Vec<Case> {
    vec![case(6, 3, 9, 7), case(40, 7, 33, 33)]
}

/// Every token's experts differ; what lies beyond `n_tokens` names experts too, and must not count.
fn case(n_experts: u32, n_slots: u32, max_tokens: u32, n_tokens: u32) -> Case {
    let name = format!("{n_slots} of {n_experts} + 1, {n_tokens} of {max_tokens}");
    let mut case = CaseBuilder::new(name);
    let mut experts = Vec::new();
    for _ in 0..max_tokens {
        let first = case.random_u32();
        experts.extend((0..n_slots - 1).map(|slot| first.wrapping_add(slot) % n_experts));
        experts.push(n_experts);
    }
    let step = case.step(3, n_tokens);
    let experts = case.input("experts", &experts);
    let groups = Groups {
        lists: case.output("lists", ((n_experts + 1) * max_tokens) as usize, 0.0),
        counts: case.output("counts", n_experts as usize + 1, 0.0),
    };
    let flow = Flow {
        step,
        x: step,
        experts,
        weights: step,
        hidden: step,
        outputs: step,
        n_embd: 4,
        n_hidden: 4,
        n_slots,
        n_shared: 1,
        n_experts,
        limit: 1.0,
        groups: Some(groups),
        max_tokens,
    };
    record_experts_group(&mut case.recording, &flow);
    case.finish()
}
