//! `linear_shared`: `linear` for many tokens, by tiles in workgroup memory: prefill on GPUs.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::{Precision, Spec};
use crate::gpu::space;
use crate::gpu::tile::{HALVES_BUDGET, Units};
use crate::gpu::{Caps, Stage, Tile, Variant};

use super::fixed_point::{self, FIXED, INT8};
use super::linear::Params;
use super::{STEP, linear_fixed};

/// A tile has this many rows, or twice as many.
const ROWS: u32 = 64;
/// From this many tokens on it is thought to pay.
const MIN_TOKENS: u32 = 32;

const SOURCE: &str = shader_text!("../../shaders/kernels/linear_shared.wgsl");

/// A variant of `linear`.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    needs: |_| true,
    allows,
    pays: |stage| stage.params::<Params>().max_tokens >= MIN_TOKENS,
    ..Variant::only(
        "linear_shared",
        SOURCE,
        &[STEP],
        Way { lower: |stage, caps, config| lower(stage, caps, config.tile, Units::F32), space: space::tiles },
    )
};

/// The same by 16-bit floats.
pub(super) const HALVES: Variant = Variant {
    name: "linear_shared_f16",
    precision: Precision::Rounded(HALVES_BUDGET),
    needs: |caps| caps.f16,
    way: Way { lower: |stage, caps, config| lower(stage, caps, config.tile, Units::F16), space: space::tiles },
    ..VARIANT
};

/// The same by cooperative matrices. Some drivers compute wrong products: only a tuner, which holds it against what is
/// right, may choose it.
pub(super) const COOPERATIVE: Variant = Variant {
    name: "linear_cooperative",
    needs: |caps| caps.cooperative > 0,
    way: Way {
        lower: |stage, caps, config| lower(stage, caps, config.cooperative, Units::Cooperative),
        space: space::cooperative,
    },
    ..HALVES
};

/// The same by packed dot products over x in 16-bit fixed point.
pub(super) const FIXED_TILES: Variant = Variant {
    name: "linear_shared_fixed",
    precision: Precision::Rounded(linear_fixed::BUDGET),
    needs: |caps| caps.packed_dot,
    allows: |stage| allows(stage) && fixed_point::suits(stage, stage.params::<Params>().n_in),
    way: Way { lower: |stage, caps, config| packed(stage, caps, config.tile, FIXED), space: space::packed_tiles },
    ..VARIANT
};

/// The same in 8 bits.
pub(super) const INT8_TILES: Variant = Variant {
    name: "linear_shared_int8",
    precision: Precision::Quantized(linear_fixed::INT8_BUDGET),
    way: Way { lower: |stage, caps, config| packed(stage, caps, config.tile, INT8), space: space::packed_tiles },
    ..FIXED_TILES
};

/// A tile lies within one group of rows.
fn allows(stage: &Stage) -> bool {
    let p: Params = stage.params();
    !p.is_grouped() || (p.rows_per_group.is_multiple_of(ROWS) && p.first_row.is_multiple_of(ROWS))
}

fn packed(stage: &Stage, caps: &Caps, tile: Tile, planes: u32) -> Lowered {
    let p: Params = stage.params();
    let (form, params) = linear_fixed::form(&p, planes);
    fixed_point::lowered(stage, tiles(&p, caps, tile.packed(), Units::Packed), (planes, &form), &params)
}

fn lower(stage: &Stage, caps: &Caps, tile: Tile, units: Units) -> Lowered {
    tiles(&stage.params(), caps, tile, units).into()
}

/// The text of a tile, and the tiles.
fn tiles(p: &Params, caps: &Caps, tile: Tile, units: Units) -> (Spec, u64) {
    // Of a shard the first row counts, too.
    let groups = if p.is_grouped() { p.rows_per_group | p.first_row } else { 0 };
    let tile = tile.cut_to(u64::from(p.max_tokens), groups);
    let n_tiles = u64::from(p.n_rows.div_ceil(tile.rows)) * u64::from(p.max_tokens.div_ceil(tile.tokens));
    (tile.spec(units, caps), n_tiles)
}
