//! The numeric check beside every timing: each lane's model against the same model on the CPU executor, in the short form;
//! or, where that would take too long, by samples.

use super::lanes::{Model, go_on, host_has_room};
use crate::engine::{ExecutorChoice, LoadOptions, Session};
use crate::error::Result;
use crate::host::native::interrupt;
use crate::host::native::progress::Progress;
use crate::measure::Watch;
use crate::measure::bench::Lane;
use crate::measure::report::{Check, Verdict};
use crate::measure::verify::{self, Extent, built_in_ids};
use pollster::block_on;

/// Tokens that the check needs room for, and the oracle has.
const N_CONTEXT: u32 = 64;

/// Operations that the CPU executor may have to do for a check: a minute or two, at some 10^8 in a second.
const MOST_OPS: u64 = 20_000_000_000;

/// Checks every lane that works, and says on stderr what is not right. `models_of_lanes` has the model of each of them.
pub(super) fn check(lanes: &mut [Lane], models_of_lanes: &[usize], models: &[Model]) {
    for (index, model) in models.iter().enumerate() {
        let of_model =
            lanes.iter_mut().zip(models_of_lanes).filter(|(lane, of)| **of == index && lane.failed.is_none());
        let mut oracle = None;
        for (lane, _) in of_model {
            if interrupt::asked() {
                return;
            }
            let check = check_one(lane, model, &mut oracle).unwrap_or_else(|error| unknown(error.to_string()));
            if check.verdict != Verdict::Right {
                eprintln!("headstart: {}: {}: {}", lane.name(), check.verdict.label(), check.summary);
            }
            lane.report.check = Some(check);
        }
    }
}

/// The oracle is loaded for the first lane that needs it.
fn check_one(lane: &mut Lane, model: &Model, oracle: &mut Option<Session>) -> Result<Check> {
    if matches!(lane.session.choice(), ExecutorChoice::Cpu) {
        return Ok(unknown("this is the reference that the others are held against".to_owned()));
    }
    let is_large = lane.session.work_of_generation(0, 1, N_CONTEXT).ops > MOST_OPS;
    if is_large || (oracle.is_none() && !host_has_room(model.named.bytes, &ExecutorChoice::Cpu)) {
        return check_by_samples(lane);
    }
    if oracle.as_ref().is_none_or(|oracle| !lies_alike(oracle, &lane.session)) {
        let options = LoadOptions {
            n_context: Some(N_CONTEXT.min(lane.session.n_context())),
            n_chunk: Some(lane.session.n_chunk()),
            cache: lane.session.cache_types(),
            ..LoadOptions::default()
        };
        let mut progress = Progress::new();
        let mut heard = |at| progress.load(&at);
        let loading = Session::load(&model.named.files, ExecutorChoice::Cpu, &options, &mut heard);
        *oracle = Some(block_on(loading)?);
    }
    let Some(oracle) = oracle else { return Ok(Check::default()) };
    let ids = built_in_ids(oracle)?;
    watched(&lane.name(), |watch| block_on(verify::check(&mut lane.session, oracle, &ids, Extent::Short, watch)))
}

/// Whether both keep their state in the same places: lock step compares it as it lies.
fn lies_alike(oracle: &Session, session: &Session) -> bool {
    oracle.n_chunk() == session.n_chunk() && oracle.cache_types() == session.cache_types()
}

/// The check for models that the CPU executor has no time or no memory for.
fn check_by_samples(lane: &mut Lane) -> Result<Check> {
    let ids = built_in_ids(&lane.session)?;
    watched(&lane.name(), |watch| block_on(verify::check_sampled(&mut lane.session, &ids, verify::any_seed(), watch)))
}

/// A check whose progress is shown, and which Ctrl-C breaks off.
fn watched(name: &str, check: impl FnOnce(&mut Watch<'_>) -> Result<Check>) -> Result<Check> {
    let mut progress = Progress::new();
    check(&mut |at| {
        progress.measure_on(name, at);
        go_on()
    })
}

fn unknown(summary: String) -> Check {
    Check { summary, ..Check::default() }
}
