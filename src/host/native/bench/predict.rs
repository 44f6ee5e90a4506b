//! The whole of a synthetic model, from what a lane measured of some of its layers.

use super::lanes::Model;
use crate::engine::ExecutorChoice;
use crate::error::Result;
use crate::host::native::memory;
use crate::measure::bench::Lane;
use crate::measure::predict::predict;
use crate::measure::profile::profile;
use pollster::block_on;

/// Predicts into the lane's report; nothing for a model of a file. Stages are timed for it at the depths of the tests
/// that write, where that was not done anyway and the adapter can.
///
/// # Errors
/// When the adapter fails.
pub(super) fn of_lane(lane: &mut Lane, model: &Model) -> Result<()> {
    let Some(model) = &model.named.files.synthetic else { return Ok(()) };
    let mut profiles = lane.report.profiles.clone();
    if profiles.is_empty() {
        let most = lane.session.n_context().saturating_sub(1);
        let mut depths: Vec<u32> = lane
            .report
            .tests
            .iter()
            .filter(|test| test.n_prompt == 0)
            .map(|test| test.depth + test.n_gen / 2)
            .collect();
        depths.dedup();
        for depth in depths {
            profiles.extend(block_on(profile(&mut lane.session, 1, depth.min(most), &lane.report.probes))?);
        }
    }
    // What the lane itself takes would be free for the whole model.
    let memory = lane.session.memory();
    let free_bytes = memory::free_bytes(lane.session.choice())
        .map(|free| free.saturating_add(memory.weights + memory.cache + memory.scratch))
        .filter(|_| is_certain(lane.session.choice()));
    lane.report.prediction = Some(predict(model, &lane.session, (&lane.report.tests, &profiles), free_bytes)?);
    Ok(())
}

/// Whether the memory of the host is all that the place has.
fn is_certain(choice: &ExecutorChoice) -> bool {
    match choice {
        ExecutorChoice::Cpu => true,
        ExecutorChoice::Gpu(adapter) => adapter.identity.kind == "software",
    }
}
