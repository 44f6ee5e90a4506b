//! `experts_out_tiled`: the same as `experts_out` for many tokens, by tiles in registers.

use crate::gpu::kernel::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Kernel, Knobs, Recording};

use super::experts::{Flow, Groups, Shard, listed, odd_shapes};
use super::experts_out::{self, Params};
use super::linear_tiled::{ROWS, TILE, TOKENS};

/// The kernel; it shares parameters and arithmetic with `experts_out`.
pub static KERNEL: Kernel = Kernel {
    name: "experts_out_tiled",
    source: include_str!("../../shaders/kernels/experts_out_tiled.wgsl"),
    parts: &[TILE],
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
    let workgroup = recording.knobs.single_workgroup.max(32);
    let spec = w.decode_with(Spec::default().constant("WORKGROUP", workgroup));
    let n_threads = flow.max_tiles(shard, TOKENS) * u64::from(flow.n_embd.div_ceil(ROWS));
    let bindings = [flow.hidden, groups.lists, groups.counts, w.quants, w.scales, flow.outputs];
    let n_workgroups = n_threads.div_ceil(u64::from(workgroup));
    recording.push("experts_out", &KERNEL, spec, n_workgroups, params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let (lists, counts) = (call.inputs[1], call.inputs[2]);
    let hidden = call.input::<f32>(0);
    experts_out::compute(call, &p, hidden, listed(lists, counts, p.max_tokens));
}

fn cases(knobs: &Knobs) -> Vec<Case> {
    odd_shapes(true).iter().map(|odd| experts_out::case(knobs, odd)).collect()
}
