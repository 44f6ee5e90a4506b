//! `linear_fixed`: `linear` for a few tokens, by packed dot products over activations in 16-bit fixed point.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Precision;
use crate::gpu::{Caps, Config, Stage, Variant, space};

use super::fixed_point;
use super::linear::{Params, sharing};
use super::{OUTPUT_ADDED, OUTPUT_PLAIN, STEP};

/// Tokens of a step at most. With more of them tiles are faster.
const MOST_TOKENS: u32 = 8;

/// What results may be off by. Half a unit is at most 1/32512 of a block's greatest activation; over whole rows that adds up to
/// 2e-5 of the results' size, and to 3e-4 where one activation outweighs all others.
pub(super) const BUDGET: f64 = 5e-4;

/// A variant of `linear`.
pub(super) const VARIANT: Variant = Variant {
    name: "linear_fixed",
    source: shader_text!("../../shaders/kernels/linear_fixed.wgsl"),
    entry: "linear_fixed",
    parts: &[STEP, OUTPUT_PLAIN, fixed_point::DOTS],
    waits: false,
    needs: |caps| caps.packed_dot,
    allows,
    // Where one more dispatch takes longer than it gains, a search finds out.
    pays: |_| true,
    precision: Precision::Rounded(BUDGET),
    way: Way { lower, space: space::rows_of_codes },
};

/// A variant of `linear_add`.
pub(super) const ADDED: Variant =
    Variant { name: "linear_add_fixed", parts: &[STEP, OUTPUT_ADDED, fixed_point::DOTS], ..VARIANT };

fn allows(stage: &Stage) -> bool {
    let p: Params = stage.params();
    p.max_tokens <= MOST_TOKENS && fixed_point::suits(stage, p.n_in)
}

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let n_parts = if p.is_grouped() { (p.first_row + p.n_rows).div_ceil(p.rows_per_group) } else { 1 };
    let form = fixed_point::Params {
        n_blocks: p.n_blocks,
        x_stride: p.x_stride,
        n_rows: n_parts,
        row_stride: p.group_stride,
        max_tokens: p.max_tokens,
    };
    let part = p.n_blocks * fixed_point::QUADS;
    let params = Params { x_stride: n_parts * part, group_stride: if p.is_grouped() { part } else { 0 }, ..p };
    fixed_point::lowered(stage, sharing(&p, caps, config), &form, &params)
}
