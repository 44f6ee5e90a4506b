//! `linear_shared`: `linear` for many tokens, by tiles in workgroup memory: prefill on GPUs.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::space;
use crate::gpu::tile::Element;
use crate::gpu::{Config, Stage, Variant};

use super::STEP;
use super::linear::Params;

/// A tile has this many rows, or twice as many.
const ROWS: u32 = 64;
/// From this many tokens on it is thought to pay.
const MIN_TOKENS: u32 = 32;

const SOURCE: &str = include_str!("../../shaders/kernels/linear_shared.wgsl");

/// A variant of `linear`.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    needs: |_| true,
    allows,
    pays: |stage| stage.params::<Params>().max_tokens >= MIN_TOKENS,
    ..Variant::only("linear_shared", SOURCE, &[STEP], way(Element::F32))
};

/// A tile lies within one group of rows.
fn allows(stage: &Stage) -> bool {
    let p: Params = stage.params();
    !p.is_grouped() || (p.rows_per_group.is_multiple_of(ROWS) && p.first_row.is_multiple_of(ROWS))
}

const fn way(element: Element) -> Way {
    let lower: fn(&Stage, &crate::gpu::Caps, &Config) -> Lowered = match element {
        Element::F32 => |stage, _, config| lower(stage, config, Element::F32),
        Element::F16 => |stage, _, config| lower(stage, config, Element::F16),
    };
    Way { lower, space: space::tiles }
}

fn lower(stage: &Stage, config: &Config, element: Element) -> Lowered {
    let p: Params = stage.params();
    // Of a shard the first row counts, too.
    let groups = if p.is_grouped() { p.rows_per_group | p.first_row } else { 0 };
    let tile = config.tile.cut_to(u64::from(p.max_tokens), groups);
    let n_tiles = u64::from(p.n_rows.div_ceil(tile.rows)) * u64::from(p.max_tokens.div_ceil(tile.tokens));
    (tile.spec(element), n_tiles).into()
}
