//! `experts_out_shared`: `experts_out` for many tokens, by tiles in workgroup memory: prefill on GPUs.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Precision;
use crate::gpu::space;
use crate::gpu::tile::{HALVES_BUDGET, Units};
use crate::gpu::{Caps, Stage, Tile, Variant};

use super::experts::{EXPERT_TILE, Load};
use super::experts_out::Params;

const SOURCE: &str = shader_text!("../../shaders/kernels/experts_out_shared.wgsl");

/// A variant of `experts_out_tiled`.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    pays: |stage| load(stage).is_worth_tiles(),
    ..Variant::only(
        "experts_out_shared",
        SOURCE,
        &[EXPERT_TILE],
        Way { lower: |stage, caps, config| lower(stage, caps, config.tile, Units::F32), space: space::tiles },
    )
};

/// The same by 16-bit floats.
pub(super) const HALVES: Variant = Variant {
    name: "experts_out_shared_f16",
    precision: Precision::Rounded(HALVES_BUDGET),
    needs: |caps| caps.f16,
    way: Way { lower: |stage, caps, config| lower(stage, caps, config.tile, Units::F16), space: space::tiles },
    ..VARIANT
};

/// The same by cooperative matrices; only a tuner may choose it, see `linear_shared`.
pub(super) const COOPERATIVE: Variant = Variant {
    name: "experts_out_cooperative",
    needs: |caps| caps.cooperative > 0,
    way: Way {
        lower: |stage, caps, config| lower(stage, caps, config.cooperative, Units::Cooperative),
        space: space::cooperative,
    },
    ..HALVES
};

fn load(stage: &Stage) -> Load {
    let p: Params = stage.params();
    let n_weights = u64::from(p.n_embd) * u64::from(p.n_blocks) * 32;
    Load::of(stage, n_weights, [p.n_experts, p.n_slots, p.max_tokens])
}

fn lower(stage: &Stage, caps: &Caps, tile: Tile, units: Units) -> Lowered {
    let (p, load): (Params, Load) = (stage.params(), load(stage));
    let tile = tile.cut_to(load.usual_tokens(), 0);
    let n_row_tiles = u64::from(p.n_embd.div_ceil(tile.rows));
    (tile.spec(units, caps), n_row_tiles * load.max_tiles(tile.tokens)).into()
}
