//! `experts_in_fixed` and `experts_in_int8`: `experts_in` by packed dot products over x in fixed point, as `linear_fixed`.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Precision;
use crate::gpu::{Caps, Config, Stage, Variant, space};

use super::experts_in::{Params, SLOTS_GIVEN, sharing};
use super::fixed_point::{self, FIXED, INT8};
use super::{STEP, linear_fixed};

/// What results may be off by. Each is a product of two sums, and the curve of the activation makes more of one's error: four times
/// that of one matrix.
pub(super) const BUDGET: f64 = 4.0 * linear_fixed::BUDGET;
/// With 8 bits, where that leaves room enough for the worst: twice.
pub(super) const INT8_BUDGET: f64 = 2.0 * linear_fixed::INT8_BUDGET;

/// A variant of `experts_in`.
pub(super) const VARIANT: Variant = Variant {
    name: "experts_in_fixed",
    source: shader_text!("../../shaders/kernels/experts_in_fixed.wgsl"),
    entry: "experts_in_fixed",
    parts: &[STEP, fixed_point::DOTS, SLOTS_GIVEN],
    also: &[],
    waits: false,
    needs: |caps| caps.packed_dot,
    allows: |stage| fixed_point::suits(stage, 4 * stage.params::<Params>().x_stride),
    // Where one more dispatch takes longer than it gains, a search finds out.
    pays: |_| true,
    precision: Precision::Rounded(BUDGET),
    way: Way { lower: |stage, caps, config| lower(stage, caps, config, FIXED), space: space::rows_of_codes },
};

/// The same in 8 bits.
pub(super) const OF_INT8: Variant = Variant {
    name: "experts_in_int8",
    precision: Precision::Quantized(INT8_BUDGET),
    way: Way { lower: |stage, caps, config| lower(stage, caps, config, INT8), space: space::rows_of_codes },
    ..VARIANT
};

fn lower(stage: &Stage, caps: &Caps, config: &Config, planes: u32) -> Lowered {
    let p: Params = stage.params();
    let form = fixed_point::Params {
        n_blocks: p.n_blocks,
        x_stride: p.x_stride,
        n_rows: 1,
        row_stride: 0,
        max_tokens: p.max_tokens,
    };
    let params = Params { x_stride: p.n_blocks * fixed_point::quads(planes), ..p };
    fixed_point::lowered(stage, sharing(&p, caps, config), (planes, &form), &params)
}
