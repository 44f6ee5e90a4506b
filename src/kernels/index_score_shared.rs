//! `index_score_shared`: `index_score` by tiles of heads and entries in workgroup memory, on GPUs.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::space::Change;
use crate::gpu::{Caps, Config, Stage, Variant};

use super::STEP;
use super::attend::TURN_QUAD;
use super::index_score::Params;
use super::rope::ROPE;

/// Invocations of a workgroup at least and at most: their tiles fit the 16 KiB of workgroup memory that every adapter has.
const INVOCATIONS: [u32; 2] = [64, 128];
/// Entries of a workgroup for each two of its invocations: 8 of them take 4 entries by 32 heads.
const EACH: u32 = 2;

/// A variant of `index_score`, whose lanes each read a head of their own for one entry. For V4-Flash behind 64 k tokens, 16 k entries by 64
/// heads of 128, that is 512 MB of queries a layer, in pieces of 16 bytes; here it is 16 MB.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    ..Variant::only(
        "index_score_shared",
        shader_text!("../../shaders/kernels/index_score_shared.wgsl"),
        &[STEP, ROPE, TURN_QUAD],
        Way { lower, space: |_| vec![INVOCATIONS.map(Change::VectorLanes).into()] },
    )
};

fn lower(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let workgroup = config.vector_lanes.clamp(INVOCATIONS[0], INVOCATIONS[1]);
    let n_tiles = u64::from(p.n_entries.div_ceil(workgroup / EACH));
    (Spec::default().constant("WORKGROUP", workgroup), u64::from(p.max_tokens) * n_tiles).into()
}
