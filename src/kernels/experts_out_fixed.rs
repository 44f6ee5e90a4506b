//! `experts_out_fixed` and `experts_out_int8`: `experts_out` by packed dot products over hidden units in fixed point, as
//! `linear_fixed`.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Precision;
use crate::gpu::{Caps, Config, Stage, Variant, space};

use super::experts_out::{Params, sharing};
use super::fixed_point::{self, FIXED, INT8};
use super::{STEP, linear_fixed};

/// A variant of `experts_out`.
pub(super) const VARIANT: Variant = Variant {
    name: "experts_out_fixed",
    source: shader_text!("../../shaders/kernels/experts_out_fixed.wgsl"),
    entry: "experts_out_fixed",
    parts: &[STEP, fixed_point::DOTS],
    also: &[],
    waits: false,
    needs: |caps| caps.packed_dot,
    allows: |stage| fixed_point::suits(stage, 4 * stage.params::<Params>().hidden_stride),
    // Where one more dispatch takes longer than it gains, a search finds out.
    pays: |_| true,
    precision: Precision::Rounded(linear_fixed::BUDGET),
    way: Way { lower: |stage, caps, config| lower(stage, caps, config, FIXED), space: space::rows_of_codes },
};

/// The same in 8 bits.
pub(super) const OF_INT8: Variant = Variant {
    name: "experts_out_int8",
    precision: Precision::Quantized(linear_fixed::INT8_BUDGET),
    way: Way { lower: |stage, caps, config| lower(stage, caps, config, INT8), space: space::rows_of_codes },
    ..VARIANT
};

fn lower(stage: &Stage, caps: &Caps, config: &Config, planes: u32) -> Lowered {
    let p: Params = stage.params();
    let form = fixed_point::Params {
        n_blocks: p.n_blocks,
        x_stride: p.n_slots * p.hidden_stride,
        n_rows: p.n_slots,
        row_stride: p.hidden_stride,
        max_tokens: p.max_tokens,
    };
    let params = Params { hidden_stride: p.n_blocks * fixed_point::quads(planes), ..p };
    fixed_point::lowered(stage, sharing(&p, caps, config), (planes, &form), &params)
}
