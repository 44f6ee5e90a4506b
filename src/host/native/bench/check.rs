//! The numeric check beside every timing: each lane's model against the same model on the CPU player, in the short form.

use super::lanes::{Model, go_on, host_has_room};
use crate::engine::{ModelFiles, PlayerChoice, Session};
use crate::error::Result;
use crate::host::native::model_files::Named;
use crate::host::native::progress::Progress;
use crate::host::native::run::load;
use crate::host::native::{arguments, interrupt};
use crate::measure::bench::Lane;
use crate::measure::report::{Check, Verdict};
use crate::measure::verify::{self, Extent, built_in_ids};
use crate::model::SyntheticModel;
use pollster::block_on;

/// Tokens that the check needs room for, and the oracle has.
const N_CONTEXT: u32 = 64;

/// Operations that the CPU player may have to do for a check: a minute or two, at some 10^8 in a second.
const MOST_OPS: u64 = 20_000_000_000;

/// The same for a stand-in, which is as small as it can be: minutes for the widest models.
const MOST_STAND_IN_OPS: u64 = 200_000_000_000;

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
    if matches!(lane.session.choice(), PlayerChoice::Cpu) {
        return Ok(unknown("this is the reference that the others are held against".to_owned()));
    }
    let is_large = lane.session.work_of_generation(0, 1, N_CONTEXT).ops > MOST_OPS;
    if let Some(synthetic) = &model.named.files.synthetic
        && (is_large || !host_has_room(model.named.bytes, &PlayerChoice::Cpu))
    {
        return check_stand_in(lane, synthetic, oracle);
    }
    if is_large {
        return Ok(unknown("the CPU player would take too long for a model of this size".to_owned()));
    }
    if oracle.is_none() {
        if !host_has_room(model.named.bytes, &PlayerChoice::Cpu) {
            return Ok(unknown("the CPU player has no memory for the model beside the others".to_owned()));
        }
        let ctx_size = Some(N_CONTEXT.min(lane.session.n_context()));
        let cache = arguments::Cache::of(lane.session.cache_types());
        let options = arguments::Model { ctx_size, cache, ..arguments::Model::default() };
        *oracle = Some(block_on(load(&model.named, &options, PlayerChoice::Cpu))?);
    }
    let Some(oracle) = oracle else { return Ok(Check::default()) };
    let ids = built_in_ids(oracle)?;
    let name = lane.name();
    let mut progress = Progress::new();
    let mut watch = |at: &_| {
        progress.measure_on(&name, at);
        go_on()
    };
    block_on(verify::check(&mut lane.session, oracle, &ids, Extent::Short, &mut watch))
}

/// Tokens that a stand-in is held against: its layers are as wide as the model's, and the CPU player takes seconds for one.
const STAND_IN_TOKENS: usize = 8;

/// A synthetic model that is too large for the CPU player is not checked itself, but a small one of its widths, on the
/// lane's adapter; the summary says so.
fn check_stand_in(lane: &Lane, model: &SyntheticModel, oracle: &mut Option<Session>) -> Result<Check> {
    let stand_in = model.stand_in()?;
    let (name, bytes) = (stand_in.name.clone(), stand_in.weights()?.bytes());
    let named = Named { name: name.clone(), bytes, files: ModelFiles::synthetic(stand_in) };
    let on = |choice| {
        let options = arguments::Model { ctx_size: Some(N_CONTEXT), ..arguments::Model::default() };
        block_on(load(&named, &options, choice))
    };
    let mut session = on(lane.session.choice().clone())?;
    if session.work_of_prompt(0, STAND_IN_TOKENS as u32).ops > MOST_STAND_IN_OPS {
        return Ok(unknown("the CPU player would take too long even for a few layers of this width".to_owned()));
    }
    let oracle = match oracle {
        Some(oracle) => oracle,
        None => oracle.insert(on(PlayerChoice::Cpu)?),
    };
    let mut ids = built_in_ids(oracle)?;
    ids.truncate(STAND_IN_TOKENS);
    let lane_name = lane.name();
    let mut progress = Progress::new();
    let mut watch = |at: &_| {
        progress.measure_on(&lane_name, at);
        go_on()
    };
    let check = block_on(verify::check(&mut session, oracle, &ids, Extent::Short, &mut watch))?;
    Ok(Check { summary: format!("of a {name}: {}", check.summary), ..check })
}

fn unknown(summary: String) -> Check {
    Check { summary, ..Check::default() }
}
