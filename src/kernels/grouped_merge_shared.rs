//! `grouped_merge_shared`: `grouped_merge` by a workgroup for each head, for few tokens on a GPU, whose runs are many.

use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::Spec;
use crate::gpu::space::Change;
use crate::gpu::{Caps, Config, Stage, Variant};

use super::grouped_attend::MOST_SPLITS;
use super::grouped_merge::Params;
use super::{FINISH_PLAIN, STEP};

/// A variant of `grouped_merge`.
pub(super) const VARIANT: Variant = Variant {
    waits: true,
    allows: |stage| stage.params::<Params>().n_splits <= MOST_SPLITS,
    pays: |stage| stage.params::<Params>().n_splits > 1,
    ..Variant::only(
        "grouped_merge_shared",
        shader_text!("../../shaders/kernels/grouped_merge_shared.wgsl"),
        &[STEP, FINISH_PLAIN],
        Way { lower, space: |_| vec![[64, 128, 256].map(Change::VectorLanes).into()] },
    )
};

fn lower(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let spec = Spec::default().constant("WORKGROUP", config.vector_lanes).constant("MOST_SPLITS", MOST_SPLITS);
    (spec, u64::from(p.max_tokens) * u64::from(p.n_heads)).into()
}
