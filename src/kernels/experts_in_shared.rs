//! `experts_in_shared`: `experts_in` for many tokens, by tiles in workgroup memory: prefill on GPUs.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::space;
use crate::gpu::tile::Element;
use crate::gpu::{Config, Stage, Variant};

use super::experts::{EXPERT_TILE, Load};
use super::experts_in::Params;

const SOURCE: &str = include_str!("../../shaders/kernels/experts_in_shared.wgsl");

/// A variant of `experts_in_tiled`.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    pays: |stage| load(stage).is_worth_tiles(),
    ..Variant::only("experts_in_shared", SOURCE, &[EXPERT_TILE], WAY)
};

const WAY: Way = Way { lower: |stage, _, config| lower(stage, config, Element::F32), space: space::tiles };

fn load(stage: &Stage) -> Load {
    let p: Params = stage.params();
    let n_weights = u64::from(p.n_hidden) * 2 * u64::from(p.n_blocks) * 32;
    Load::of(stage, n_weights, [p.n_experts, p.n_slots, p.max_tokens])
}

fn lower(stage: &Stage, config: &Config, element: Element) -> Lowered {
    let (p, load): (Params, Load) = (stage.params(), load(stage));
    let tile = config.tile.cut_to(load.usual_tokens(), 0);
    let n_row_tiles = u64::from((p.n_hidden * 2).div_ceil(tile.rows));
    (tile.spec(element), n_row_tiles * load.max_tiles(tile.tokens)).into()
}
