//! `linear_tiled`: `linear` for many tokens, by tiles in registers. Prefill lives on it.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::space;
use crate::gpu::{Caps, Config, Stage, Variant};

use super::STEP;
use super::linear::Params;

/// From this many tokens on, tiles pay.
pub const MIN_TOKENS: u32 = 8;

/// Rows of a tile.
pub(super) const ROWS: u32 = 8;
/// Tokens of a tile, or entries of an expert's list.
pub(super) const TOKENS: u32 = 4;

/// A tile of rows in registers, for every tiled kernel.
pub(super) const TILE: &str = shader_text!("../../shaders/lib/tile.wgsl");

const SOURCE: &str = shader_text!("../../shaders/kernels/linear_tiled.wgsl");

/// A variant of `linear`.
pub(super) const VARIANT: Variant =
    Variant { allows, pays, ..Variant::only("linear_tiled", SOURCE, &[STEP, TILE], WAY) };

/// A tile lies within one group of rows.
fn allows(stage: &Stage) -> bool {
    let p: Params = stage.params();
    !p.is_grouped() || (p.rows_per_group.is_multiple_of(ROWS) && p.first_row.is_multiple_of(ROWS))
}

fn pays(stage: &Stage) -> bool {
    stage.params::<Params>().max_tokens >= MIN_TOKENS
}

const WAY: Way = Way { lower, space: space::threads };

fn lower(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let (spec, per_workgroup) = config.tiles();
    let n_tiles = u64::from(p.n_rows.div_ceil(ROWS)) * u64::from(p.max_tokens.div_ceil(TOKENS));
    (spec, n_tiles.div_ceil(u64::from(per_workgroup))).into()
}
