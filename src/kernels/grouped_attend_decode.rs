//! `grouped_attend_decode`: `grouped_attend` for few tokens on a GPU, in which a key head is read once for the query heads
//! that share it.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::space::{Change, Space};
use crate::gpu::{Caps, Config, Stage, Variant};

use super::STEP;
use super::grouped_attend::{BLOCK, Params};

/// Query heads that a workgroup takes at most: their sums are kept in registers.
const MOST_HEADS: u32 = 8;
/// Vectors of 4 of all their queries at most: they lie in workgroup memory, of which every adapter has 16 KiB.
const MOST_QUADS: u32 = 256;
/// Invocations of a workgroup at least, and so the widest value in vectors of 4.
const LEAST_INVOCATIONS: u32 = 64;
/// Up to so many tokens it is thought to pay: more fill a GPU by tiles.
const FEW_TOKENS: u32 = 8;

/// A variant of `grouped_attend`.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    allows,
    pays: |stage| stage.params::<Params>().max_tokens <= FEW_TOKENS,
    ..Variant::only(
        "grouped_attend_decode",
        SOURCE,
        &[STEP, shader_text!("../../shaders/lib/queries_ready.wgsl")],
        Way { lower, space },
    )
};

/// The text, for another contract of its heads too.
pub(super) const SOURCE: &str = shader_text!("../../shaders/kernels/grouped_attend_decode.wgsl");

/// A value is as wide as a key, and no wider than a workgroup.
pub(super) fn allows(stage: &Stage) -> bool {
    let p: Params = stage.params();
    p.value_quads == p.n_quads && p.n_quads <= LEAST_INVOCATIONS
}

/// Workgroups that share the query heads of a key head.
pub(super) fn n_tiles(p: &Params) -> u32 {
    (p.n_heads / p.n_kv_heads).div_ceil(MOST_HEADS.min(MOST_QUADS / p.n_quads))
}

pub(super) fn space(_: &Caps) -> Space {
    vec![[64, 128, 256].map(Change::VectorLanes).into()]
}

pub(super) fn lower(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let group = p.n_heads / p.n_kv_heads;
    let heads = group.div_ceil(n_tiles(&p));
    let spec = Spec::default()
        .constant("WORKGROUP", config.vector_lanes.max(LEAST_INVOCATIONS))
        .constant("BLOCK", BLOCK)
        .constant("QUADS", p.n_quads)
        .constant("HEADS", heads)
        .constant("HEAD_SLOTS", heads.next_power_of_two());
    // As many tiles as heads of this number make.
    let n_tiles = u64::from(group.div_ceil(heads));
    (spec, u64::from(p.max_tokens) * u64::from(p.n_kv_heads) * n_tiles * u64::from(p.n_splits)).into()
}
