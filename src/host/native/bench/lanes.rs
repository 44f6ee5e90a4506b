//! Models on adapters, loaded side by side as far as memory goes: those that are loaded together run interleaved, and
//! where no more fit, the next ones take their turn after them.

use super::options::Options;
use crate::engine::PlayerChoice;
use crate::error::{Error, ErrorKind, Result};
use crate::host::native::model_files::Named;
use crate::host::native::progress::Progress;
use crate::host::native::run::load;
use crate::host::native::{arguments, choice, interrupt, platform};
use crate::measure::Report;
use crate::measure::bench::{Lane, Plan, bench};
use crate::measure::report::{ModelFacts, Settings};
use pollster::block_on;
use std::ops::ControlFlow;
use sysinfo::System;

/// A model to measure.
pub(super) struct Model {
    /// Its files.
    pub(super) named: Named,
    /// Their hash, if it is known.
    pub(super) sha256: Option<String>,
}

/// The measuring of every model on every adapter.
pub(super) struct Bench<'a> {
    options: &'a Options,
    plan: &'a Plan,
    /// Loaded, not measured yet.
    lanes: Vec<Lane>,
    /// What was measured.
    pub(super) reports: Vec<Report>,
    /// What failed meanwhile; each names its adapter.
    pub(super) failures: Vec<Error>,
    /// From the first thing worth reporting on, Ctrl-C only breaks off.
    watch: Option<interrupt::Watch>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(options: &'a Options, plan: &'a Plan) -> Self {
        Self { options, plan, lanes: Vec::new(), reports: Vec::new(), failures: Vec::new(), watch: None }
    }

    /// Measures all models on all adapters, or as many as are done before Ctrl-C.
    pub(super) fn run(&mut self, models: &[Model], choices: &[PlayerChoice]) -> Result<()> {
        for model in models {
            for choice in choices {
                if interrupt::asked() {
                    return self.measure();
                }
                self.add(model, choice)?;
            }
        }
        self.measure()
    }

    /// Loads one more lane beside the others; after them, where it does not fit.
    fn add(&mut self, model: &Model, choice: &PlayerChoice) -> Result<()> {
        if !self.lanes.is_empty() && !host_has_room(model.named.bytes, choice) {
            self.measure()?;
        }
        let mut loaded = self.load(model, choice);
        // An adapter does not tell how much is free, so a refusal may be for want of the memory that the others hold.
        if !self.lanes.is_empty() && loaded.as_ref().is_err_and(|error| error.kind == ErrorKind::Adapter) {
            self.measure()?;
            loaded = self.load(model, choice);
        }
        match loaded {
            Ok(lane) => {
                self.watch.get_or_insert_with(interrupt::watch);
                self.lanes.push(lane);
            }
            Err(error) => self.fail(&choice::name(choice), error),
        }
        Ok(())
    }

    fn load(&self, model: &Model, choice: &PlayerChoice) -> Result<Lane> {
        let shader_checks = self.options.shader_checks;
        let ctx_size = self.options.n_context(self.plan);
        let options = arguments::Model { model: None, ctx_size, shader_checks };
        let session = block_on(load(&model.named, &options, choice.clone()))?;
        let facts = ModelFacts::new(&session, &model.named.name, model.named.bytes);
        let facts = ModelFacts { sha256: model.sha256.clone(), ..facts };
        let settings = Settings { shader_checks, ..Settings::default() };
        let report = Report::of_session(platform::platform(), &session, facts, settings);
        Ok(Lane::new(session, report))
    }

    /// Measures the lanes that are loaded, and lets go of them.
    fn measure(&mut self) -> Result<()> {
        if self.lanes.is_empty() {
            return Ok(());
        }
        let mut progress = Progress::new();
        let mut watch = |at: &_| {
            progress.measure(at);
            if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        block_on(bench(&mut self.lanes, self.plan, &mut watch))?;
        drop(progress);
        for mut lane in std::mem::take(&mut self.lanes) {
            let name = lane.name();
            if self.plan.profile && lane.report.profiles.is_empty() && lane.failed.is_none() && !interrupt::asked() {
                eprintln!("headstart: the stages on {name} cannot be timed: this adapter has no timestamps");
            }
            if let Some(error) = lane.failed.take() {
                self.fail(&name, error);
            }
            self.reports.push(lane.report);
        }
        Ok(())
    }

    fn fail(&mut self, name: &str, error: Error) {
        self.failures.push(Error { thing: format!("{name}: {}", error.thing), ..error });
    }
}

/// Whether the host's memory has room for a model of so many bytes, where the place keeps it there.
fn host_has_room(model_bytes: u64, choice: &PlayerChoice) -> bool {
    let in_host_memory = match choice {
        PlayerChoice::Cpu => true,
        PlayerChoice::Gpu(adapter) => ["software", "integrated"].contains(&adapter.identity.kind.as_str()),
    };
    // A system that does not tell lets everything try.
    let Some(mut system) = Some(System::new()).filter(|_| in_host_memory).and_then(Result::ok) else { return true };
    system.refresh_memory();
    // A quarter more for the cache and the values of a step, and something for everybody else.
    model_bytes.saturating_add(model_bytes / 4).saturating_add(SPARE_BYTES) <= system.available_memory()
}

/// What is left to the rest of the machine.
const SPARE_BYTES: u64 = 512 << 20;
