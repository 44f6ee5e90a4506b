//! `experts_in_tiled`: the same as `experts_in` for many tokens, by tiles in registers.

use crate::gpu::lower;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Variant};

use super::experts::{self, Flow, Groups, Shard, listed, odd_shapes};
use super::experts_in::{self, Params};
use super::experts_in_shared;
use super::linear_tiled::{ROWS, TILE, TOKENS};
use super::rows::Needed;

/// The kernel; it shares parameters and arithmetic with `experts_in`.
pub static OP: Op = Op {
    name: "experts_in_tiled",
    variants: &[
        Variant::only(
            "experts_in_tiled",
            shader_text!("../../shaders/kernels/experts_in_tiled.wgsl"),
            &[TILE],
            lower::TILES,
        ),
        experts_in_shared::VARIANT,
        experts_in_shared::HALVES,
        experts_in_shared::COOPERATIVE,
        experts_in_shared::FIXED_TILES,
        experts_in_shared::INT8_TILES,
    ],
    bindings: &[
        ("x", Access::Read),
        ("lists", Access::Read),
        ("counts", Access::Read),
        ("weights", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("hidden", Access::Write),
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
    let n_tiles = flow.max_tiles(shard, TOKENS) * u64::from(flow.n_hidden / (ROWS / 2));
    let bindings = [flow.x, groups.lists, groups.counts, flow.weights, w.quants, w.scales, flow.hidden];
    recording.push("experts_in", &OP, w.decode_with(Spec::default()), n_tiles, params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (x, weights) = (call.input::<f32>(0), call.input::<f32>(3));
    let entries = by_expert(call, &p);
    experts_in::compute(call, &p, x, weights, &entries);
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
    odd_shapes(true).iter().map(experts_in::case).collect()
}
