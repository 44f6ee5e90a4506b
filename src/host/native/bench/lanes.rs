//! Models on adapters, loaded side by side as far as memory goes: those that are loaded together run interleaved, and
//! where no more fit, the next ones take their turn after them.

use super::host::{Bar, Native};
use super::options::Options;
use crate::engine::ExecutorChoice;
use crate::error::{Error, ErrorKind, Result};
use crate::host::native::model_files::Named;
use crate::host::native::run::load_untuned;
use crate::host::native::{arguments, choice, interrupt, memory, platform, tune};
use crate::measure::Report;
use crate::measure::bench::{Lane, Plan};
use crate::measure::order::{Step, Wanted, measure};
use crate::measure::report::{ModelFacts, Probes, Settings, Verdict};
use crate::measure::verify;
use pollster::block_on;
use std::ops::ControlFlow;

/// A model to measure.
pub(super) struct Model {
    /// Its files.
    pub(super) named: Named,
    /// Their hash, if it is known.
    pub(super) sha256: Option<String>,
}

/// Which model a lane runs, and where, by their indices.
pub(super) struct Place {
    pub(super) model: usize,
    pub(super) choice: usize,
}

/// The measuring of every model on every adapter.
pub(super) struct Bench<'a> {
    options: &'a Options,
    plan: &'a Plan,
    models: &'a [Model],
    choices: &'a [ExecutorChoice],
    /// What each adapter can do at best, from its first lane on.
    probes: Vec<Probes>,
    /// Loaded, not measured yet.
    lanes: Vec<Lane>,
    /// What each of these lanes is.
    places: Vec<Place>,
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
            probes: vec![Probes::default(); choices.len()],
            lanes: Vec::new(),
            places: Vec::new(),
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
                lane.report.probes = self.probes[choice].clone();
                self.lanes.push(lane);
                self.places.push(Place { model, choice });
            }
            Err(error) => self.fail(&choice::name(&self.choices[choice]), error),
        }
        Ok(())
    }

    fn load(&self, model: usize, choice: usize) -> Result<Lane> {
        let (model, choice) = (&self.models[model], &self.choices[choice]);
        let shader_checks = self.options.shader_checks;
        let n_context = self.options.n_context(self.plan);
        let (cache, tune, rounds) = (self.options.cache, self.options.tune, self.options.rounds);
        let options = arguments::Model { shader_checks, cache, tune, rounds, ..arguments::Model::default() };
        let session = block_on(load_untuned(&model.named, &options, n_context, choice.clone()))?;
        let facts = ModelFacts::new(&session, &model.named.name, model.named.bytes);
        let facts = ModelFacts { sha256: model.sha256.clone(), ..facts };
        let settings = Settings { shader_checks, ..Settings::default() };
        let report = Report::of_session(platform::platform(), &session, facts, settings);
        let report = Report { tuning: tune::kept(&session, tune), ..report };
        Ok(Lane::new(session, report))
    }

    /// Measures the lanes that are loaded, and lets go of them.
    fn measure(&mut self) -> Result<()> {
        if self.lanes.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = self.lanes.iter().map(Lane::name).collect();
        eprintln!("headstart: measuring on {}", names.join(", "));
        let Options { no_probe, no_check, tune, standard, .. } = self.options;
        let wanted = Wanted {
            probes: !no_probe,
            tune: tune.extent(),
            plan: Some(self.plan.clone()),
            check: (!no_check).then_some(verify::Extent::Short),
            standard: standard.is_some(),
            ..Wanted::default()
        };
        let places = std::mem::take(&mut self.places);
        let bar = Bar::default();
        let mut host = Native { options: self.options, models: self.models, lanes: &places, bar: &bar, oracle: None };
        let measured = block_on(measure(&mut self.lanes, &wanted, &mut host, &mut |at| {
            bar.show(at);
            go_on()
        }));
        bar.clear();
        // A check that failed stands in its report.
        for failure in measured?.into_iter().filter(|failure| failure.step != Step::Check) {
            self.fail(&names[failure.lane], failure.error);
        }
        for (mut lane, place) in std::mem::take(&mut self.lanes).into_iter().zip(places) {
            let name = lane.name();
            if let Some(check) = lane.report.check.as_ref().filter(|check| check.verdict != Verdict::Right) {
                eprintln!("headstart: {name}: {}: {}", check.verdict.label(), check.summary);
            }
            if self.plan.profile && lane.report.profiles.is_empty() && lane.failed.is_none() && !interrupt::asked() {
                eprintln!("headstart: {name}: the stages cannot be timed: this adapter has no timestamps");
            }
            if let Some(error) = lane.failed.take() {
                self.fail(&name, error);
            }
            self.probes[place.choice] = lane.report.probes.clone();
            self.reports.push(lane.report);
        }
        Ok(())
    }

    fn fail(&mut self, name: &str, error: Error) {
        self.failures.push(Error { thing: format!("{name}: {}", error.thing), ..error });
    }
}

/// Whether Ctrl-C has not been pressed.
fn go_on() -> ControlFlow<()> {
    if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Whether the host's memory has room for a model of so many bytes, where the place keeps it there.
pub(super) fn host_has_room(model_bytes: u64, choice: &ExecutorChoice) -> bool {
    // A quarter more for the cache and the values of a step.
    let wanted = model_bytes.saturating_add(model_bytes / 4);
    memory::free_bytes(choice).is_none_or(|free| wanted <= free)
}
