//! `headstart tune`, and `--tune` of the other commands: choices of kernels, measured on an adapter with a model, kept, used
//! again, and passed on as files.

mod shelf;

use super::hub::HubModel;
use super::new_file::{NewFile, refuse_to_replace};
use super::progress::Progress;
use super::rounds::Rounds;
use super::{
    Ending, arguments, choice, ending, interrupt, json, model_files, platform, prompt, run, tables, write_out,
};
use crate::engine::{ExecutorChoice, Session};
use crate::error::{Error, Result};
use crate::gpu::{Adapter, Tuning};
use crate::measure::Report;
use crate::measure::probe::probe_choice;
use crate::measure::report::{ModelFacts, Settings, TuningFacts};
use crate::measure::tune::{self, Extent, KeptTuning, Known, words};
use clap::{Parser, ValueEnum};
use pollster::block_on;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// How kernels are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Tune {
    /// By what is guessed for the adapter
    Off,
    /// By what was measured before, where it was
    #[default]
    Kept,
    /// By a short search, unless one was made before
    Quick,
    /// By trying every combination, which takes minutes
    Full,
}

impl Tune {
    /// The search that is asked for.
    pub(super) fn extent(self) -> Option<Extent> {
        match self {
            Self::Off | Self::Kept => None,
            Self::Quick => Some(Extent::Quick),
            Self::Full => Some(Extent::Full),
        }
    }
}

const EXAMPLES: &str = "\
For each part of the model's steps (a kernel on matrices of one shape and format) the variants and their numbers are
tried on the model's own weights. A candidate is first held against the reference; one that computes something else is
named and never used. What is chosen is kept for this adapter, its driver and this version's kernels, and used by all
commands until one of them changes; --tune off does without.

Examples:
  headstart tune
  headstart tune -m model.gguf --full
  headstart tune -m model.gguf --export h100.json
  headstart tune --import h100.json";

/// Find the fastest kernels for a model on an adapter, and keep them.
#[derive(Debug, Parser)]
#[command(max_term_width = 100, after_help = EXAMPLES)]
pub(super) struct Options {
    /// A GGUF file, or a safetensors file (or its folder) with config.json beside it, or synthetic:… (see `headstart
    /// run --help`) [default: the embedded model]
    #[arg(short, long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    hub: HubModel,
    /// Adapter by its number or a part of its name (see `headstart adapters`) [default: the best]
    #[arg(short, long, value_name = "INDEX|NAME")]
    adapter: Option<String>,
    /// Tokens of text to make room for [default: 4096, or as the model was trained]
    #[arg(short, long = "ctx-size", value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    ctx_size: Option<u32>,
    /// One number after the other, some seconds on a GPU (the default)
    #[arg(long)]
    quick: bool,
    /// Every combination, some minutes
    #[arg(long, conflicts_with = "quick")]
    full: bool,
    #[command(flatten)]
    rounds: Rounds,
    /// The report as JSON, in place of the table
    #[arg(long)]
    json: bool,
    /// Write the report to a file as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write all that is known for the adapter to a file, to be given to others
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Take over such a file instead of searching
    #[arg(long, value_name = "FILE", conflicts_with_all = ["full", "quick", "model", "hf_repo", "report"])]
    import: Option<PathBuf>,
}

/// Carries out the command.
pub(super) fn tune(options: &Options) -> Result<Ending> {
    let place = choice::one(options.adapter.as_deref())?;
    let ExecutorChoice::Gpu(adapter) = &place else {
        return Err(Error::usage("tune", "the CPU's reference, which has no choice").expected("an adapter"));
    };
    refuse_to_replace(&options.import, options.export.as_deref())?;
    // Begun now, so that a place that cannot be written to is found before the work and not after.
    let mut report_file = options.report.as_deref().map(NewFile::create).transpose()?;
    let export_file = options.export.as_deref().map(NewFile::create).transpose()?;
    let kept = match &options.import {
        Some(path) => import(path, adapter)?,
        None => {
            let report = search(options, &place)?;
            let whole = json(&report)?;
            if let Some(mut file) = report_file.take() {
                file.write(whole.as_bytes())?;
                file.finish()?;
            }
            let shown = if options.json { whole } else { shown(&report) };
            write_out(shown.as_bytes())?;
            shelf::find(&adapter.identity)
        }
    };
    if let Some(mut file) = export_file {
        file.write(kept.text()?.as_bytes())?;
        file.finish()?;
    }
    Ok(ending())
}

fn import(path: &std::path::Path, adapter: &Adapter) -> Result<KeptTuning> {
    let name = path.display().to_string();
    let text = prompt::read_file(path)?;
    let kept = KeptTuning::read(&text).map_err(|error| Error { thing: format!("{name}: {}", error.thing), ..error })?;
    if let Some(why) = kept.misfit(&adapter.identity) {
        return Err(Error::file(name, why).expected("a tuning of this adapter, its driver and this version"));
    }
    shelf::keep(&kept)?;
    eprintln!("headstart: {} choices are kept for {}", kept.choices.len(), adapter.identity.name);
    Ok(kept)
}

fn search(options: &Options, place: &ExecutorChoice) -> Result<Report> {
    let model = model_files::open(options.hub.or(options.model.as_deref())?.as_deref())?;
    let of_load =
        arguments::Model { ctx_size: options.ctx_size, rounds: options.rounds, ..arguments::Model::default() };
    let mut session = block_on(run::load(&model, &of_load, place.clone()))?;
    // Asked for by name, it is done again.
    let extent = if options.full { Extent::Full } else { Extent::Quick };
    let facts = block_on(measured(&mut session, extent))?;
    let model = ModelFacts::new(&session, &model.name, model.bytes);
    let mut report = Report::of_session(platform::platform(), &session, model, Settings::default());
    report.tuning = facts;
    drop(session);
    let mut progress = Progress::new();
    report.probes = block_on(probe_choice(place, &mut |at| {
        progress.measure(at);
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }))?;
    Ok(report)
}

/// The choices that a session on a place is loaded with; none for the reference.
pub(super) fn at_load(place: &ExecutorChoice, tune: Tune, rounds: Rounds) -> Option<Tuning> {
    let ExecutorChoice::Gpu(adapter) = place else { return None };
    let guess = adapter.tuning().rounded(rounds.rounding());
    Some(if tune == Tune::Off { guess } else { shelf::find(&adapter.identity).over(guess) })
}

/// Searches, where a search is asked for and was not made before, and says how a loaded session's kernels were chosen.
pub(super) async fn after_load(session: &mut Session, tune: Tune) -> Result<Option<TuningFacts>> {
    match tune.extent() {
        Some(Extent::Full) => measured(session, Extent::Full).await,
        Some(Extent::Quick) if Known::of(session) != Known::All => measured(session, Extent::Quick).await,
        _ => Ok(kept(session, tune)),
    }
}

/// That a session's choices were kept from an earlier run; `None` where they are guesses.
pub(super) fn kept(session: &Session, tune: Tune) -> Option<TuningFacts> {
    // What was kept came with the load: the file is not read again.
    let is_kept = tune != Tune::Off && Known::of(session) != Known::Nothing;
    is_kept.then(|| tune::kept(session))
}

/// Searches, and keeps what was found.
async fn measured(session: &mut Session, extent: Extent) -> Result<Option<TuningFacts>> {
    let ExecutorChoice::Gpu(adapter) = session.choice() else { return Ok(None) };
    let adapter = adapter.clone();
    let watch = interrupt::watch();
    let mut progress = Progress::new();
    let facts = tune::tune(session, extent, &mut |at| {
        progress.measure_on(&adapter.identity.name, at);
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .await?;
    drop(progress);
    drop(watch);
    learn(&adapter, &facts, session.tuning());
    Ok(Some(facts))
}

/// Keeps what a search found, and says what computed wrongly. A fault of the cache folder is told, and no more.
pub(super) fn learn(adapter: &Adapter, facts: &TuningFacts, tuning: &Tuning) {
    for place in &facts.wrong {
        eprintln!("headstart: {}: not used, it computes something else: {place}", adapter.identity.name);
    }
    if let Err(error) = shelf::change(&adapter.identity, |kept| kept.learn(facts, tuning)) {
        eprintln!("headstart: what was found is not kept: {error}");
    }
}

/// What was found, for the eye.
fn shown(report: &Report) -> String {
    let Some(facts) = &report.tuning else { return String::new() };
    let notes: String = words::notes(facts).iter().map(|note| format!("{note}\n")).collect();
    format!("{}\n\n{notes}", tables::tuning(facts, &report.probes))
}
