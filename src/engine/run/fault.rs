//! Faults on purpose: stages of one name are broken by a dispatch of [`fault`] over what they wrote, in every recording.
//! Nothing can go out of bounds by it.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::gpu::{Access, Recording, Slice, Stage};
use crate::kernels::fault;

/// Fails unless one of the recordings has a stage of this name.
pub(in crate::engine) fn check_name(name: &str, recordings: &[Recording]) -> Result<()> {
    let names: BTreeSet<&str> = recordings.iter().flat_map(|recording| &recording.stages).map(|s| s.name).collect();
    if names.contains(name) {
        return Ok(());
    }
    let names: Vec<&str> = names.into_iter().collect();
    Err(Error::usage("fault", format!("{name:?} is no stage of this model")).expected(names.join(", ")))
}

/// Breaks every stage of this name. Dispatches that make up one stage together are broken once, after the last.
pub(in crate::engine) fn break_stages(recording: &mut Recording, name: &str) {
    let mut broken = Recording::default();
    for part in recording.stages.chunk_by(is_same_stage) {
        broken.stages.extend_from_slice(part);
        let (Some(stage), true) = (part.last(), part[0].name == name) else { continue };
        broken.layer = stage.layer;
        for output in outputs(stage) {
            fault::record_fault(&mut broken, stage.name, output);
        }
    }
    broken.layer = recording.layer;
    *recording = broken;
}

/// Whether two dispatches in a row make up one stage, as shards of one matrix do.
pub(in crate::engine) fn is_same_stage(a: &Stage, b: &Stage) -> bool {
    (a.name, a.layer) == (b.name, b.layer)
}

/// What a stage writes and may be broken. Not the step: a wrong position is no wrong number, and could stop the text.
fn outputs(stage: &Stage) -> impl Iterator<Item = Slice> {
    let bound = stage.bindings.iter().zip(stage.op.bindings);
    bound.filter(|(_, (name, access))| *access == Access::Write && *name != "step").map(|(slice, _)| *slice)
}
