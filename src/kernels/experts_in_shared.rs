//! `experts_in_shared`: `experts_in` for many tokens, by tiles in workgroup memory: prefill on GPUs.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::{Precision, Spec};
use crate::gpu::space;
use crate::gpu::tile::{HALVES_BUDGET, Units};
use crate::gpu::{Caps, Stage, Tile, Variant};

use super::experts::{EXPERT_TILE, Load};
use super::experts_in::Params;
use super::fixed_point::{self, FIXED, INT8};
use super::{experts_in_fixed, fixed_blocks};

const SOURCE: &str = shader_text!("../../shaders/kernels/experts_in_shared.wgsl");

/// A variant of `experts_in_tiled`.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    pays: |stage| load(stage).is_worth_tiles(),
    ..Variant::only(
        "experts_in_shared",
        SOURCE,
        &[EXPERT_TILE],
        Way { lower: |stage, caps, config| lower(stage, caps, config.tile, Units::F32), space: space::tiles },
    )
};

/// The same by 16-bit floats.
pub(super) const HALVES: Variant = Variant {
    name: "experts_in_shared_f16",
    precision: Precision::Rounded(HALVES_BUDGET),
    needs: |caps| caps.f16,
    way: Way { lower: |stage, caps, config| lower(stage, caps, config.tile, Units::F16), space: space::tiles },
    ..VARIANT
};

/// The same by cooperative matrices; only a tuner may choose it, see `linear_shared`.
pub(super) const COOPERATIVE: Variant = Variant {
    name: "experts_in_cooperative",
    needs: |caps| caps.cooperative > 0,
    way: Way {
        lower: |stage, caps, config| lower(stage, caps, config.cooperative, Units::Cooperative),
        space: space::cooperative,
    },
    ..HALVES
};

/// The same by packed dot products over x in 16-bit fixed point.
pub(super) const FIXED_TILES: Variant = Variant {
    name: "experts_in_shared_fixed",
    precision: Precision::Rounded(experts_in_fixed::BUDGET),
    needs: |caps| caps.packed_dot,
    allows: |stage| fixed_point::suits(stage, 4 * stage.params::<Params>().x_stride),
    way: Way { lower: |stage, caps, config| packed(stage, caps, config.tile, FIXED), space: space::packed_tiles },
    ..VARIANT
};

/// The same in 8 bits.
pub(super) const INT8_TILES: Variant = Variant {
    name: "experts_in_shared_int8",
    precision: Precision::Quantized(experts_in_fixed::INT8_BUDGET),
    way: Way { lower: |stage, caps, config| packed(stage, caps, config.tile, INT8), space: space::packed_tiles },
    ..FIXED_TILES
};

fn load(stage: &Stage) -> Load {
    let p: Params = stage.params();
    let n_weights = u64::from(p.n_hidden) * 2 * u64::from(p.n_blocks) * 32;
    Load::of(stage, n_weights, [p.n_experts, p.n_slots, p.max_tokens])
}

fn packed(stage: &Stage, caps: &Caps, tile: Tile, planes: u32) -> Lowered {
    let p: Params = stage.params();
    let params = Params { x_stride: p.n_blocks * fixed_point::quads(planes), ..p };
    let shape = tiles(stage, caps, tile.packed(), Units::Packed);
    fixed_blocks::lowered(stage, shape, (planes, p.max_tokens * p.n_blocks), &params)
}

fn lower(stage: &Stage, caps: &Caps, tile: Tile, units: Units) -> Lowered {
    tiles(stage, caps, tile, units).into()
}

/// The text of a tile, and the tiles.
fn tiles(stage: &Stage, caps: &Caps, tile: Tile, units: Units) -> (Spec, u64) {
    let (p, load): (Params, Load) = (stage.params(), load(stage));
    let tile = tile.cut_to(load.usual_tokens(), 0);
    let n_row_tiles = u64::from((p.n_hidden * 2).div_ceil(tile.rows));
    (tile.spec(units, caps), n_row_tiles * load.max_tiles(tile.tokens))
}
