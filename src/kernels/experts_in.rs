//! `experts_in`: the chosen experts' gate and up projections and the activation between, for a few tokens.

use std::ops::Range;

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::space;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Stage, Variant};

use super::case::CaseBuilder;
use super::experts::{Flow, Odd, Shard, odd_case, odd_shapes};
use super::matrix::with_codes;
use super::rows::{Needed, Rows};
use super::{INPUT_PLAIN, STEP, dot, experts, experts_in_fixed, sigmoid};

crate::params! {
    /// Parameters of `experts_in` and `experts_in_tiled`; the WGSL says what each is.
    pub struct Params {
        /// Blocks of 32 weights in a row.
        pub n_blocks: u32,
        /// Vectors of 4 from token to token in x.
        pub x_stride: u32,
        /// Hidden units of an expert.
        pub n_hidden: u32,
        /// Experts of a token.
        pub n_slots: u32,
        /// Id of the shard's first expert.
        pub first_expert: u32,
        /// Experts in the shard.
        pub n_experts: u32,
        /// Where gate and up are cut off.
        pub limit: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "experts_in",
    variants: &[
        Variant::only("experts_in", SOURCE, &[STEP, INPUT_PLAIN, SLOTS_GIVEN], WAY),
        experts_in_fixed::VARIANT,
        experts_in_fixed::OF_INT8,
    ],
    bindings: &[
        ("step", Access::Read),
        ("x", Access::Read),
        ("experts", Access::Read),
        ("weights", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("hidden", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// The text, for another contract of its slots too.
pub(super) const SOURCE: &str = shader_text!("../../shaders/kernels/experts_in.wgsl");

/// How it knows the experts of slots.
pub(super) const SLOTS_GIVEN: &str = shader_text!("../../shaders/lib/slots_given.wgsl");

/// Appends `hidden = silu(min(gate · x, limit)) · clamp(up · x, ±limit) · weight` for the slots whose expert is in the
/// shard; by tiles over tokens when the tokens are grouped by expert.
///
/// # Panics
/// When the shard's rows are not two per expert and hidden unit, or widths are no multiples of 4: shapes are checked
/// before they come here.
pub fn record_experts_in(recording: &mut Recording, shard: &Shard, flow: &Flow) {
    let w = &shard.matrix;
    assert_eq!(w.n_rows, 2 * shard.n_experts * flow.n_hidden, "experts_in: gate and up rows of the shard");
    assert!(w.n_in == flow.n_embd && flow.n_embd.is_multiple_of(4), "experts_in: rows are as wide as x");
    assert!(flow.n_hidden.is_multiple_of(4), "experts_in: hidden units come by fours");
    let params = Params {
        n_blocks: w.n_blocks(),
        x_stride: flow.n_embd / 4,
        n_hidden: flow.n_hidden,
        n_slots: flow.n_slots,
        first_expert: shard.first_expert,
        n_experts: shard.n_experts,
        limit: flow.limit,
        max_tokens: flow.max_tokens,
    };
    let cost = flow.cost(shard, flow.n_embd, flow.n_hidden);
    if let Some(groups) = &flow.groups {
        super::experts_in_tiled::record(recording, shard, flow, groups, &params, cost);
        return;
    }
    let n_results = u64::from(flow.max_tokens) * u64::from(flow.n_slots) * u64::from(flow.n_hidden);
    let bindings = [flow.step, flow.x, flow.experts, flow.weights, w.quants, w.scales, flow.hidden];
    recording.push("experts_in", &OP, w.decode_with(Spec::default()), n_results, &params, &bindings, cost);
}

pub(super) const WAY: Way = Way { lower, space: space::rows_of_weights };

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let (spec, n_workgroups) = sharing(&stage.params(), caps, config);
    (with_codes(spec, stage, caps, config), n_workgroups).into()
}

/// How invocations share the rows of every slot's expert, and the workgroups that are needed for it.
pub(super) fn sharing(p: &Params, caps: &Caps, config: &Config) -> (Spec, u64) {
    config.sharing_rows(caps, u64::from(p.max_tokens) * u64::from(p.n_slots), p.n_hidden, None)
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, weights) = (call.input::<f32>(1), call.input::<f32>(3));
    let entries = in_order(call, &p);
    compute(call, &p, x, weights, &entries);
}

/// The entries (`token · n_slots + slot`) that are wanted, with their expert's number in the shard.
fn in_order(call: &Call<'_>, p: &Params) -> Vec<(usize, u32)> {
    let (step, experts) = (call.input::<Step>(0)[0], call.inputs[2]);
    let entries = 0..(step.n_tokens.min(p.max_tokens) * p.n_slots) as usize;
    experts::wanted(call, p.n_slots, p.shard(), entries.map(|entry| (entry, experts[entry])))
}

/// The rows that results need.
pub(super) fn needed(call: &Call<'_>) -> Needed {
    let p: Params = call.params();
    p.needed(&in_order(call, &p))
}

impl Params {
    /// The shard's experts.
    pub(super) fn shard(&self) -> Range<u32> {
        self.first_expert..self.first_expert + self.n_experts
    }

    /// The rows of some entries' experts: gate rows, and the up rows that go with them.
    pub(super) fn needed(&self, entries: &[(usize, u32)]) -> Needed {
        let rows = experts::rows_of(entries, self.n_hidden);
        Needed { n_blocks: self.n_blocks, rows, others: vec![self.n_experts * self.n_hidden] }
    }
}

/// The hidden units of some entries (`token · n_slots + slot`), each with its expert's number in the shard.
pub(super) fn compute(call: &mut Call<'_>, p: &Params, x: &[f32], weights: &[f32], entries: &[(usize, u32)]) {
    let rows = Rows::of(call, p.n_blocks);
    let [hidden] = call.outputs::<f32, 1>();
    let (n_embd, n_hidden) = (p.x_stride as usize * 4, p.n_hidden as usize);
    let mut row = vec![0.0; n_embd];
    let mut project = |row_index: u32, x: &[f32]| {
        rows.decode(row_index, &mut row);
        dot(&row, x)
    };
    for (entry, expert) in entries.iter().copied() {
        let x = &x[entry / p.n_slots as usize * n_embd..][..n_embd];
        let first = expert * p.n_hidden;
        for gate_row in rows.wanted(first..first + p.n_hidden) {
            let g = project(gate_row, x).min(p.limit);
            let u = project(gate_row + p.n_experts * p.n_hidden, x).clamp(-p.limit, p.limit);
            hidden[entry * n_hidden + (gate_row - first) as usize] = g * sigmoid(g) * u * weights[entry];
        }
    }
}

fn cases() -> Vec<Case> {
    odd_shapes(false).iter().map(case).collect()
}

pub(super) fn case(odd: &Odd) -> Case {
    let (mut case, mut flow): (CaseBuilder, Flow) = odd_case("in", odd);
    let n_rows = (2 * odd.n_in_shard * odd.n_hidden) as usize;
    let matrix = case.matrix("w", odd.format, n_rows, odd.n_embd as usize);
    flow.hidden = case.output("hidden", (odd.max_tokens * flow.n_slots * odd.n_hidden) as usize, 1e-4);
    let shard = Shard { matrix, first_expert: odd.first_expert, n_experts: odd.n_in_shard };
    record_experts_in(&mut case.recording, &shard, &flow);
    case.finish()
}
