//! `experts_out_tiled`: the same as `experts_out` for many tokens, by tiles in registers.

use crate::gpu::lower;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Variant};

use super::experts::{self, Flow, Groups, Shard, listed, odd_shapes};
use super::experts_out::{self, Params};
use super::experts_out_shared;
use super::linear_tiled::{ROWS, TILE, TOKENS};
use super::rows::Needed;

/// The kernel; it shares parameters and arithmetic with `experts_out`.
pub static OP: Op = Op {
    name: "experts_out_tiled",
    variants: &[
        Variant::only(
            "experts_out_tiled",
            shader_text!("../../shaders/kernels/experts_out_tiled.wgsl"),
            &[TILE],
            lower::TILES,
        ),
        experts_out_shared::VARIANT,
        experts_out_shared::HALVES,
        experts_out_shared::COOPERATIVE,
        experts_out_shared::FIXED_TILES,
        experts_out_shared::INT8_TILES,
    ],
    bindings: &[
        ("hidden", Access::Read),
        ("lists", Access::Read),
        ("counts", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("outputs", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

pub(super) fn record(
    recording: &mut Recording,
    shard: &Shard,
    flow: &Flow,
    groups: &Groups,
    params: &Params,
    cost: Cost,
) {
    let w = &shard.matrix;
    let n_tiles = flow.max_tiles(shard, TOKENS) * u64::from(flow.n_embd.div_ceil(ROWS));
    let bindings = [flow.hidden, groups.lists, groups.counts, w.quants, w.scales, flow.outputs];
    recording.push("experts_out", &OP, w.decode_with(Spec::default()), n_tiles, params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let hidden = call.input::<f32>(0);
    let entries = by_expert(call, &p);
    experts_out::compute(call, &p, hidden, &entries);
}

/// The entries that are wanted, expert by expert.
fn by_expert(call: &Call<'_>, p: &Params) -> Vec<(usize, u32)> {
    let (lists, counts) = (call.inputs[1], call.inputs[2]);
    experts::wanted(call, p.n_slots, p.shard(), listed(lists, counts, p.max_tokens))
}

/// The rows that results need.
pub(super) fn needed(call: &Call<'_>) -> Needed {
    let p: Params = call.params();
    p.needed(&by_expert(call, &p))
}

fn cases() -> Vec<Case> {
    odd_shapes(true).iter().map(experts_out::case).collect()
}
