//! `index_top_k_radix`: `index_top_k` by digits of 8 bits, on GPUs.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::{Caps, Config, Stage, Variant};

use super::STEP;
use super::index_top_k::{FLOAT_ORDER, Params};

/// A variant of `index_top_k`, which goes over all scores 34 times, twice of them in a run for each lane; here five times, and neighbours
/// read neighbours. What it takes of workgroup memory, 9 KiB, every adapter has.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    ..Variant::only(
        "index_top_k_radix",
        shader_text!("../../shaders/kernels/index_top_k_radix.wgsl"),
        &[STEP, FLOAT_ORDER],
        Way { lower, space: |_| Vec::new() },
    )
};

fn lower(stage: &Stage, _: &Caps, _: &Config) -> Lowered {
    (Spec::default(), u64::from(stage.params::<Params>().max_tokens)).into()
}
