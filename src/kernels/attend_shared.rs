//! `attend_shared`: `attend` for many tokens on a GPU, in which the weights of a key are made once.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::space::Change;
use crate::gpu::{Caps, Config, Stage, Variant};

use super::STEP;
use super::attend::{Params, TURN_BACK};
use super::keys::KEYS;
use super::rope::ROPE;

/// Heads of a workgroup: their sums are kept in registers.
const TILE_HEADS: u32 = 8;
/// Invocations of a workgroup at least and at most.
const INVOCATIONS: [u32; 3] = [64, 128, 256];
/// Vectors of 4 that an invocation takes at most.
const MOST_QUADS: u32 = 4;
/// From so many tokens on it is thought to pay: with fewer, workgroups would be too few to fill a GPU.
const MANY_TOKENS: u32 = 16;

/// A variant of `attend`.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    allows: |stage| stage.params::<Params>().n_quads <= INVOCATIONS[0] * MOST_QUADS,
    pays: |stage| stage.params::<Params>().max_tokens >= MANY_TOKENS,
    ..Variant::only(
        "attend_shared",
        shader_text!("../../shaders/kernels/attend_shared.wgsl"),
        &[STEP, KEYS, ROPE, TURN_BACK],
        Way { lower, space: |_| vec![INVOCATIONS.map(Change::VectorLanes).into()] },
    )
};

fn lower(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let workgroup = config.vector_lanes.clamp(INVOCATIONS[0], INVOCATIONS[2]);
    let spec = Spec::default()
        .constant("WORKGROUP", workgroup)
        .constant("HEADS", TILE_HEADS)
        .constant("QUADS", p.n_quads.div_ceil(workgroup));
    (spec, u64::from(p.max_tokens) * u64::from(p.n_heads.div_ceil(TILE_HEADS))).into()
}
