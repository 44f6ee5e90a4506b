//! `linear_fixed` and `linear_int8`: `linear` for a few tokens, by packed dot products over activations in fixed point of 16 bits, or
//! of 8, with half of the products.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Precision;
use crate::gpu::{Caps, Config, Stage, Variant, space};

use super::fixed_point::{self, FIXED, INT8};
use super::linear::{Params, sharing};
use super::{OUTPUT_ADDED, OUTPUT_PLAIN, STEP};

/// Tokens of a step at most. With more of them tiles are faster.
const MOST_TOKENS: u32 = 8;

/// What results may be off by. Half a unit is at most 1/32512 of a block's greatest activation; over whole rows that adds up to
/// 2e-5 of the results' size, and to 3e-4 where one activation outweighs all others.
pub(super) const BUDGET: f64 = 5e-4;

/// What results may be off by with 8 bits, of which a unit is 256 times as large: 7e-3 of the results' size as a rule, and 7e-2 for
/// the worst in the embedded model.
pub(super) const INT8_BUDGET: f64 = 256.0 * BUDGET;

/// A variant of `linear`.
pub(super) const VARIANT: Variant = Variant {
    name: "linear_fixed",
    source: shader_text!("../../shaders/kernels/linear_fixed.wgsl"),
    entry: "linear_fixed",
    parts: &[STEP, OUTPUT_PLAIN, fixed_point::DOTS],
    also: &[],
    waits: false,
    needs: |caps| caps.packed_dot,
    allows,
    // Where one more dispatch takes longer than it gains, a search finds out.
    pays: |_| true,
    precision: Precision::Rounded(BUDGET),
    way: Way { lower: |stage, caps, config| lower(stage, caps, config, FIXED), space: space::rows_of_codes },
};

/// A variant of `linear_add`.
pub(super) const ADDED: Variant =
    Variant { name: "linear_add_fixed", parts: &[STEP, OUTPUT_ADDED, fixed_point::DOTS], ..VARIANT };

/// The first in 8 bits.
pub(super) const OF_INT8: Variant = Variant {
    name: "linear_int8",
    precision: Precision::Quantized(INT8_BUDGET),
    way: Way { lower: |stage, caps, config| lower(stage, caps, config, INT8), space: space::rows_of_codes },
    ..VARIANT
};

/// The second in 8 bits.
pub(super) const ADDED_INT8: Variant =
    Variant { name: "linear_add_int8", parts: &[STEP, OUTPUT_ADDED, fixed_point::DOTS], ..OF_INT8 };

fn allows(stage: &Stage) -> bool {
    let p: Params = stage.params();
    p.max_tokens <= MOST_TOKENS && fixed_point::suits(stage, p.n_in)
}

fn lower(stage: &Stage, caps: &Caps, config: &Config, planes: u32) -> Lowered {
    let p: Params = stage.params();
    let (form, params) = form(&p, planes);
    fixed_point::lowered(stage, sharing(&p, caps, config), (planes, &form), &params)
}

/// The change of form of x, and the parameters of what reads it so.
pub(super) fn form(p: &Params, planes: u32) -> (fixed_point::Params, Params) {
    let n_parts = if p.is_grouped() { (p.first_row + p.n_rows).div_ceil(p.rows_per_group) } else { 1 };
    let form = fixed_point::Params {
        n_blocks: p.n_blocks,
        x_stride: p.x_stride,
        n_rows: n_parts,
        row_stride: p.group_stride,
        max_tokens: p.max_tokens,
    };
    let part = p.n_blocks * fixed_point::quads(planes);
    let params = Params { x_stride: n_parts * part, group_stride: if p.is_grouped() { part } else { 0 }, ..*p };
    (form, params)
}
