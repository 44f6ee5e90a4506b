//! Lowering: a recording, the same for every adapter, becomes the dispatches that one adapter runs.

use super::op::{Spec, Variant};
use super::recording::{Recording, Stage};
use super::space::{self, Space};
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
        let (chosen, n_workgroups) = (variant.way.lower)(stage, caps, &config);
        let n_workgroups = u32::try_from(n_workgroups.max(1)).expect("a grid of less than 2^32 workgroups");
        Dispatch { stage: index, variant, spec: chosen.with(&stage.spec), n_workgroups }
    };
    recording.stages.iter().enumerate().map(dispatch).collect()
}

/// How stages become dispatches of a variant, and the configs worth trying.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The chosen part of the text, and the workgroups.
    pub lower: fn(&Stage, &Caps, &Config) -> Lowered,
    /// Configs worth trying.
    pub space: fn(&Caps) -> Space,
}

/// Results that many invocations share, each along a whole vector.
pub(crate) const VECTOR: Way =
    Way { lower: |stage, caps, config| shared(stage, config.sharing(caps, config.vector_lanes)), space: space::vector };

/// Results that a few invocations share, each along a row or a head.
pub(crate) const ROW: Way =
    Way { lower: |stage, caps, config| shared(stage, config.sharing(caps, config.row_lanes)), space: space::row };

/// Results of one invocation each.
pub(crate) const THREADS: Way = Way { lower: |stage, _, config| shared(stage, config.alone()), space: space::threads };

/// Register tiles of one invocation each.
pub(crate) const TILES: Way = Way { lower: |stage, _, config| shared(stage, config.tiles()), space: space::threads };

/// A text, and the workgroups for all results where each has so many.
fn shared(stage: &Stage, (spec, per_workgroup): (Spec, u32)) -> Lowered {
    (spec, stage.n_results.div_ceil(u64::from(per_workgroup)))
}
