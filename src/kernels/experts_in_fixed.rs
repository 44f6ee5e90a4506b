//! `experts_in_fixed`: `experts_in` by packed dot products over x in 16-bit fixed point, as `linear_fixed`.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Precision;
use crate::gpu::{Caps, Config, Stage, Variant, space};

use super::experts_in::{Params, sharing};
use super::{STEP, fixed_point, linear_fixed};

/// What results may be off by. Each is a product of two sums, and the curve of the activation makes more of one's error: four times
/// that of one matrix.
const BUDGET: f64 = 4.0 * linear_fixed::BUDGET;

/// A variant of `experts_in`.
pub(super) const VARIANT: Variant = Variant {
    name: "experts_in_fixed",
    source: shader_text!("../../shaders/kernels/experts_in_fixed.wgsl"),
    entry: "experts_in_fixed",
    parts: &[STEP, fixed_point::DOTS],
    waits: false,
    needs: |caps| caps.packed_dot,
    allows: |stage| fixed_point::suits(stage, 4 * stage.params::<Params>().x_stride),
    // Where one more dispatch takes longer than it gains, a search finds out.
    pays: |_| true,
    precision: Precision::Rounded(BUDGET),
    way: Way { lower, space: space::rows_of_codes },
};

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let form = fixed_point::Params {
        n_blocks: p.n_blocks,
        x_stride: p.x_stride,
        n_rows: 1,
        row_stride: 0,
        max_tokens: p.max_tokens,
    };
    let params = Params { x_stride: p.n_blocks * fixed_point::QUADS, ..p };
    fixed_point::lowered(stage, sharing(&p, caps, config), &form, &params)
}
