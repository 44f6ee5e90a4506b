//! `linear_shared`: `linear` for many tokens, by tiles in workgroup memory: prefill on GPUs.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::{Precision, Spec};
use crate::gpu::{Caps, Config, Stage, Variant};

use super::STEP;
use super::linear::Params;

/// Rows of a tile, and tokens.
const TILE: u32 = 64;
/// Invocations of a workgroup: each sums up 4 rows by 4 tokens.
const INVOCATIONS: u32 = TILE / 4 * (TILE / 4);
/// From this many tokens on it is thought to pay: with fewer, half of a tile is idle.
const MIN_TOKENS: u32 = TILE / 2;

/// A variant of `linear`.
pub(super) const VARIANT: Variant = Variant {
    name: "linear_shared",
    source: include_str!("../../shaders/kernels/linear_shared.wgsl"),
    parts: &[STEP],
    waits: true,
    needs: |_| true,
    allows,
    pays: |stage| stage.params::<Params>().max_tokens >= MIN_TOKENS,
    precision: Precision::Exact,
    way: Way { lower, space: |_| Vec::new() },
};

/// A tile lies within one group of rows.
fn allows(stage: &Stage) -> bool {
    let p: Params = stage.params();
    !p.is_grouped() || (p.rows_per_group.is_multiple_of(TILE) && p.first_row.is_multiple_of(TILE))
}

fn lower(stage: &Stage, _: &Caps, _: &Config) -> Lowered {
    let p: Params = stage.params();
    let n_tiles = u64::from(p.n_rows.div_ceil(TILE)) * u64::from(p.max_tokens.div_ceil(TILE));
    (Spec::default().constant("WORKGROUP", INVOCATIONS), n_tiles).into()
}
