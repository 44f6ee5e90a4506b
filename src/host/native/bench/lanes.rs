//! Models on adapters, loaded side by side as far as memory goes: those that are loaded together run interleaved, and
//! where no more fit, the next ones take their turn after them.

use super::options::Options;
use super::{check, predict};
use crate::engine::ExecutorChoice;
use crate::error::{Error, ErrorKind, Result};
use crate::host::native::model_files::Named;
use crate::host::native::progress::Progress;
use crate::host::native::run::load_tuned;
use crate::host::native::{arguments, choice, interrupt, memory, platform};
use crate::measure::Report;
use crate::measure::bench::{Lane, Plan, bench};
use crate::measure::probe::probe_choice;
use crate::measure::report::{ModelFacts, Probes, Settings};
use pollster::block_on;
use std::ops::ControlFlow;

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
    models: &'a [Model],
    choices: &'a [ExecutorChoice],
    /// What each place can do at best, from its first lane on.
    probes: Vec<Option<Probes>>,
    /// Loaded, not measured yet.
    lanes: Vec<Lane>,
    /// The model of each of these lanes.
    models_of_lanes: Vec<usize>,
    /// What was measured.
    pub(super) reports: Vec<Report>,
    /// What failed meanwhile; each names its adapter.
    pub(super) failures: Vec<Error>,
    /// From the first thing worth reporting on, Ctrl-C only breaks off.
    watch: Option<interrupt::Watch>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        options: &'a Options,
        plan: &'a Plan,
        models: &'a [Model],
        choices: &'a [ExecutorChoice],
    ) -> Self {
        Self {
            options,
            plan,
            models,
            choices,
            probes: vec![None; choices.len()],
            lanes: Vec::new(),
            models_of_lanes: Vec::new(),
            reports: Vec::new(),
            failures: Vec::new(),
            watch: None,
        }
    }

    /// Measures all models on all adapters, or as many as are done before Ctrl-C.
    pub(super) fn run(&mut self) -> Result<()> {
        for model in 0..self.models.len() {
            for choice in 0..self.choices.len() {
                if interrupt::asked() {
                    return self.measure();
                }
                self.add(model, choice)?;
            }
        }
        self.measure()
    }

    /// Loads one more lane beside the others; after them, where it does not fit.
    fn add(&mut self, model: usize, choice: usize) -> Result<()> {
        let (bytes, place) = (self.models[model].named.bytes, &self.choices[choice]);
        if !self.lanes.is_empty() && !host_has_room(bytes, place) {
            self.measure()?;
        }
        let mut loaded = self.load(model, choice);
        // An adapter does not tell how much is free, so a refusal may be for want of the memory that the others hold.
        if !self.lanes.is_empty() && loaded.as_ref().is_err_and(|error| error.kind == ErrorKind::Adapter) {
            self.measure()?;
            loaded = self.load(model, choice);
        }
        match loaded {
            Ok(mut lane) => {
                self.watch.get_or_insert_with(interrupt::watch);
                lane.report.probes = self.probe(choice);
                self.lanes.push(lane);
                self.models_of_lanes.push(model);
            }
            Err(error) => self.fail(&choice::name(&self.choices[choice]), error),
        }
        Ok(())
    }

    fn load(&self, model: usize, choice: usize) -> Result<Lane> {
        let (model, choice) = (&self.models[model], &self.choices[choice]);
        let shader_checks = self.options.shader_checks;
        let ctx_size = self.options.n_context(self.plan);
        let (cache, tune, exact) = (self.options.cache, self.options.tune, self.options.exact);
        let options = arguments::Model { ctx_size, shader_checks, cache, tune, exact, ..arguments::Model::default() };
        let (session, tuning) = block_on(load_tuned(&model.named, &options, choice.clone()))?;
        let facts = ModelFacts::new(&session, &model.named.name, model.named.bytes);
        let facts = ModelFacts { sha256: model.sha256.clone(), ..facts };
        let settings = Settings { shader_checks, ..Settings::default() };
        let report = Report::of_session(platform::platform(), &session, facts, settings);
        let report = Report { tuning, ..report };
        Ok(Lane::new(session, report))
    }

    /// The limits of a place, measured once for all models; none where that is not wanted, or fails.
    fn probe(&mut self, choice: usize) -> Probes {
        if self.options.no_probe {
            return Probes::default();
        }
        if let Some(known) = &self.probes[choice] {
            return known.clone();
        }
        let place = &self.choices[choice];
        let name = choice::name(place);
        let mut progress = Progress::new();
        let probed = block_on(probe_choice(place, &mut |at| {
            progress.measure_on(&name, at);
            go_on()
        }));
        drop(progress);
        let probes = probed.unwrap_or_else(|error| {
            self.fail(&name, error);
            Probes::default()
        });
        self.probes[choice] = Some(probes.clone());
        probes
    }

    /// Measures the lanes that are loaded, checks their numbers, and lets go of them.
    fn measure(&mut self) -> Result<()> {
        if self.lanes.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.lanes.iter().map(Lane::name).collect();
        eprintln!("headstart: measuring on {}", names.join(", "));
        let mut progress = Progress::new();
        let mut watch = |at: &_| {
            progress.measure(at);
            go_on()
        };
        block_on(bench(&mut self.lanes, self.plan, &mut watch))?;
        drop(progress);
        for (lane, model) in self.lanes.iter_mut().zip(&self.models_of_lanes) {
            if lane.failed.is_none() && !interrupt::asked() {
                lane.failed = predict::of_lane(lane, &self.models[*model]).err();
            }
        }
        if !self.options.no_check {
            let models = std::mem::take(&mut self.models_of_lanes);
            check::check(&mut self.lanes, &models, self.models);
        }
        self.models_of_lanes.clear();
        for mut lane in std::mem::take(&mut self.lanes) {
            let name = lane.name();
            if self.plan.profile && lane.report.profiles.is_empty() && lane.failed.is_none() && !interrupt::asked() {
                eprintln!("headstart: {name}: the stages cannot be timed: this adapter has no timestamps");
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

/// Whether Ctrl-C has not been pressed.
pub(super) fn go_on() -> ControlFlow<()> {
    if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Whether the host's memory has room for a model of so many bytes, where the place keeps it there.
pub(super) fn host_has_room(model_bytes: u64, choice: &ExecutorChoice) -> bool {
    // A quarter more for the cache and the values of a step.
    let wanted = model_bytes.saturating_add(model_bytes / 4);
    memory::free_bytes(choice).is_none_or(|free| wanted <= free)
}
