//! Lowering: a recording, the same for every adapter, becomes the dispatches that one adapter runs.

use super::kernel::{Spec, Variant};
use super::recording::{Recording, Stage};
use super::{Caps, Config, Tuning};

/// A dispatch of a stage's kernel. Parameters and bindings are the stage's.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// The stage's place in the recording.
    pub stage: usize,
    /// The chosen variant.
    pub variant: &'static Variant,
    /// What its text is made of: the stage's facts, and what was chosen.
    pub spec: Spec,
    /// Workgroups; the executor lays them out over x and y.
    pub n_workgroups: u32,
}

/// What a variant makes of a stage: the chosen part of its text, and the workgroups.
pub type Lowered = (Spec, u64);

/// Lowers every stage, in order.
///
/// # Panics
/// When a grid is too large: a mistake in this program, since shapes are checked before.
#[must_use]
pub fn lower(recording: &Recording, caps: &Caps, tuning: &Tuning) -> Vec<Dispatch> {
    let dispatch = |(index, stage): (usize, &Stage)| {
        let (variant, config) = tuning.choose(stage, caps);
        let (chosen, n_workgroups) = (variant.lower)(stage, caps, &config);
        let n_workgroups = u32::try_from(n_workgroups.max(1)).expect("a grid of less than 2^32 workgroups");
        Dispatch { stage: index, variant, spec: chosen.with(&stage.spec), n_workgroups }
    };
    recording.stages.iter().enumerate().map(dispatch).collect()
}

/// Results that many invocations share, each along a whole vector.
pub(crate) fn vector(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let (spec, per_workgroup) = config.sharing(caps, config.vector_lanes);
    (spec, stage.n_results.div_ceil(u64::from(per_workgroup)))
}

/// Results that a few invocations share, each along a row or a head.
pub(crate) fn row(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let (spec, per_workgroup) = config.sharing(caps, config.row_lanes);
    (spec, stage.n_results.div_ceil(u64::from(per_workgroup)))
}

/// Results of one invocation each.
pub(crate) fn threads(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let (spec, per_workgroup) = config.alone();
    (spec, stage.n_results.div_ceil(u64::from(per_workgroup)))
}

/// Register tiles of one invocation each.
pub(crate) fn tiles(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let (spec, per_workgroup) = config.tiles();
    (spec, stage.n_results.div_ceil(u64::from(per_workgroup)))
}
