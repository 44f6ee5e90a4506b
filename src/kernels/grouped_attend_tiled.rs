//! `grouped_attend_tiled`: `grouped_attend` for many queries on a GPU, by tiles of queries and keys: prefill, and decode
//! where many heads share one row of latents.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::space::Change;
use crate::gpu::{Caps, Config, Stage, Variant};

use super::STEP;
use super::grouped_attend::{BLOCK, Params};

/// Rows of 4 that are taken by 16 invocations: so many tiles fit the 16 KiB of workgroup memory that every adapter has.
const INVOCATIONS: [u32; 2] = [64, 128];
/// From so many queries of a key head on it is thought to pay: with fewer, half of a tile is idle.
const MIN_ROWS: u32 = 16;

/// A variant of `grouped_attend`.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    allows,
    pays: |stage| n_rows(&stage.params()) >= MIN_ROWS,
    ..Variant::only(
        "grouped_attend_tiled",
        SOURCE,
        &[STEP],
        Way { lower, space: |_| vec![INVOCATIONS.map(Change::VectorLanes).into()] },
    )
};

const SOURCE: &str = shader_text!("../../shaders/kernels/grouped_attend_tiled.wgsl");

/// A tile has one run of keys: tokens of several runs would part them differently.
fn allows(stage: &Stage) -> bool {
    let p: Params = stage.params();
    p.n_splits == 1 || p.max_tokens == 1
}

/// Queries that look at one key head.
fn n_rows(p: &Params) -> u32 {
    p.max_tokens * (p.n_heads / p.n_kv_heads)
}

fn lower(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let workgroup = config.vector_lanes.clamp(INVOCATIONS[0], INVOCATIONS[1]);
    let spec = Spec::default()
        .constant("WORKGROUP", workgroup)
        .constant("BLOCK", BLOCK)
        .constant("QUADS", p.n_quads)
        .constant("VALUE_QUADS", p.value_quads);
    let n_tiles = n_rows(&p).div_ceil(workgroup / 4);
    (spec, u64::from(n_tiles) * u64::from(p.n_kv_heads) * u64::from(p.n_splits)).into()
}
