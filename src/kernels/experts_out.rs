//! `experts_out`: the chosen experts' down projections, for a few tokens.

use std::ops::Range;

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::space;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Stage, Variant};

use super::experts::{Flow, Odd, Shard, odd_case, odd_shapes};
use super::matrix::with_codes;
use super::rows::{Needed, Rows};
use super::{OUTPUT_PLAIN, STEP, dot, experts, experts_out_fixed};

crate::params! {
    /// Parameters of `experts_out` and `experts_out_tiled`; the WGSL says what each is.
    pub struct Params {
        /// Blocks of 32 weights in a row.
        pub n_blocks: u32,
        /// Vectors of 4 from slot to slot in hidden.
        pub hidden_stride: u32,
        /// Rows of an expert.
        pub n_embd: u32,
        /// Experts of a token.
        pub n_slots: u32,
        /// Id of the shard's first expert.
        pub first_expert: u32,
        /// Experts in the shard.
        pub n_experts: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "experts_out",
    variants: &[
        Variant::only("experts_out", SOURCE, &[STEP, INPUT_HIDDEN, OUTPUT_PLAIN], WAY),
        experts_out_fixed::VARIANT,
        experts_out_fixed::OF_INT8,
    ],
    bindings: &[
        ("step", Access::Read),
        ("hidden", Access::Read),
        ("experts", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("outputs", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// How it reads.
pub(super) const INPUT_HIDDEN: &str = shader_text!("../../shaders/lib/input_hidden.wgsl");

/// The text, for another contract of its output too.
pub(super) const SOURCE: &str = shader_text!("../../shaders/kernels/experts_out.wgsl");

/// Appends `outputs = down · hidden` for the slots whose expert is in the shard; by tiles over tokens when the tokens
/// are grouped by expert.
///
/// # Panics
/// When the shard's rows are not `n_embd` per expert, or widths are no multiples of 4: shapes are checked before they
/// come here.
pub fn record_experts_out(recording: &mut Recording, shard: &Shard, flow: &Flow) {
    let w = &shard.matrix;
    assert_eq!(w.n_rows, shard.n_experts * flow.n_embd, "experts_out: down rows of the shard");
    assert!(w.n_in == flow.n_hidden && flow.n_hidden.is_multiple_of(4), "experts_out: rows are as wide as hidden");
    assert!(flow.n_embd.is_multiple_of(4), "experts_out: rows come by fours");
    let params = Params {
        n_blocks: w.n_blocks(),
        hidden_stride: flow.n_hidden / 4,
        n_embd: flow.n_embd,
        n_slots: flow.n_slots,
        first_expert: shard.first_expert,
        n_experts: shard.n_experts,
        max_tokens: flow.max_tokens,
    };
    let cost = flow.cost(shard, flow.n_hidden, flow.n_embd);
    if let Some(groups) = &flow.groups {
        super::experts_out_tiled::record(recording, shard, flow, groups, &params, cost);
        return;
    }
    let n_results = u64::from(flow.max_tokens) * u64::from(flow.n_slots) * u64::from(flow.n_embd);
    let bindings = [flow.step, flow.hidden, flow.experts, w.quants, w.scales, flow.outputs];
    recording.push("experts_out", &OP, w.decode_with(Spec::default()), n_results, &params, &bindings, cost);
}

const WAY: Way = Way { lower, space: space::rows_of_weights };

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let (spec, n_workgroups) = sharing(&stage.params(), caps, config);
    (with_codes(spec.constant(SLOTS, 1), stage, caps, config), n_workgroups).into()
}

/// The constant that says how many slots a group of lanes adds up.
pub(super) const SLOTS: &str = "SLOTS";

/// How invocations share the rows of every slot's expert, and the workgroups that are needed for it.
pub(super) fn sharing(p: &Params, caps: &Caps, config: &Config) -> (Spec, u64) {
    config.sharing_rows(caps, u64::from(p.max_tokens) * u64::from(p.n_slots), p.n_embd, None)
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let hidden = call.input::<f32>(1);
    let entries = in_order(call, &p);
    compute(call, &p, hidden, &entries);
}

/// The entries (`token · n_slots + slot`) that are wanted, with their expert's number in the shard.
pub(super) fn in_order(call: &Call<'_>, p: &Params) -> Vec<(usize, u32)> {
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

    /// The rows of some entries' experts.
    pub(super) fn needed(&self, entries: &[(usize, u32)]) -> Needed {
        Needed { n_blocks: self.n_blocks, rows: experts::rows_of(entries, self.n_embd), others: Vec::new() }
    }
}

/// The outputs of some entries (`token · n_slots + slot`), each with its expert's number in the shard.
pub(super) fn compute(call: &mut Call<'_>, p: &Params, hidden: &[f32], entries: &[(usize, u32)]) {
    let rows = Rows::of(call, p.n_blocks);
    let [outputs] = call.outputs::<f32, 1>();
    let (n_embd, n_hidden) = (p.n_embd as usize, p.hidden_stride as usize * 4);
    let mut row = vec![0.0; n_hidden];
    for (entry, expert) in entries.iter().copied() {
        let hidden = &hidden[entry * n_hidden..][..n_hidden];
        let first = expert * p.n_embd;
        for down_row in rows.wanted(first..first + p.n_embd) {
            rows.decode(down_row, &mut row);
            outputs[entry * n_embd + (down_row - first) as usize] = dot(&row, hidden);
        }
    }
}

fn cases() -> Vec<Case> {
    odd_shapes(false).iter().map(case).collect()
}

pub(super) fn case(odd: &Odd) -> Case {
    let (mut case, mut flow) = odd_case("out", odd);
    let matrix = case.matrix("w", odd.format, (odd.n_in_shard * odd.n_embd) as usize, odd.n_hidden as usize);
    let n_entries = (odd.max_tokens * flow.n_slots) as usize;
    flow.hidden = case.random_input("hidden", n_entries * odd.n_hidden as usize);
    flow.outputs = case.output("outputs", n_entries * odd.n_embd as usize, 1e-4);
    let shard = Shard { matrix, first_expert: odd.first_expert, n_experts: odd.n_in_shard };
    record_experts_out(&mut case.recording, &shard, &flow);
    case.finish()
}
