//! What measuring needs of this platform: adapters once more, free memory, models on the CPU executor, the folder of what was
//! tuned, and a bar.

use super::lanes::{Model, Place as Lane, host_has_room};
use super::options::Options;
use crate::engine::{ExecutorChoice, LoadOptions, Session};
use crate::error::Result;
use crate::gpu::ShaderChecks;
use crate::gpu::{Adapter, Tuning};
use crate::host::native::progress::Progress;
use crate::host::native::{memory, tune};
use crate::measure::order::{Against, At, Host};
use crate::measure::report::TuningFacts;
use crate::measure::standard::{Place, Setting};
use crate::model::Synthetic;
use std::cell::RefCell;

/// Tokens that the check needs room for, and the oracle has.
const N_CONTEXT: u32 = 64;

/// Operations that the CPU executor may have to do for a check: a minute or two, at some 10^8 in a second.
const MOST_OPS: u64 = 20_000_000_000;

/// A bar that comes again after others took its place.
#[derive(Default)]
pub(super) struct Bar(RefCell<Option<Progress>>);

impl Bar {
    pub(super) fn show(&self, at: &At<'_>) {
        let mut shown = self.0.borrow_mut();
        let bar = shown.get_or_insert_with(Progress::new);
        if at.lane.is_empty() { bar.measure(at.progress) } else { bar.measure_on(at.lane, at.progress) }
    }

    /// Makes room on the terminal.
    pub(super) fn clear(&self) {
        self.0.borrow_mut().take();
    }
}

/// The lanes of one round of measuring.
pub(super) struct Native<'a> {
    pub(super) options: &'a Options,
    pub(super) models: &'a [Model],
    /// Which model each lane runs.
    pub(super) lanes: &'a [Lane],
    pub(super) bar: &'a Bar,
    /// A model on the CPU executor, by its index: lanes of one model follow each other.
    pub(super) oracle: Option<(usize, Session)>,
}

impl Host for Native<'_> {
    async fn place(&mut self, _lane: usize, choice: &ExecutorChoice) -> Result<Place> {
        let tuning = tune::at_load(choice, self.options.tune, self.options.rounds);
        Ok(Place { choice: choice.clone(), tuning })
    }

    async fn keep(&mut self, adapter: &Adapter, facts: &TuningFacts, tuning: &Tuning) -> Result<()> {
        self.bar.clear();
        tune::learn(adapter, facts, tuning);
        Ok(())
    }

    async fn against(&mut self, lane: usize, session: &Session) -> Result<Against<'_>> {
        if matches!(session.choice(), ExecutorChoice::Cpu) {
            return Ok(Against::Nothing("this is the reference that the others are held against".to_owned()));
        }
        let index = self.lanes[lane].model;
        let model = &self.models[index];
        self.oracle = self.oracle.take().filter(|(of, oracle)| *of == index && oracle.lies_as(session));
        let is_large = session.work_of_generation(0, 1, N_CONTEXT).ops > MOST_OPS;
        if is_large || (self.oracle.is_none() && !host_has_room(model.named.bytes, &ExecutorChoice::Cpu)) {
            return Ok(Against::Samples);
        }
        let oracle = match self.oracle.take() {
            Some((_, oracle)) => oracle,
            None => {
                self.bar.clear();
                let options = LoadOptions {
                    n_context: Some(N_CONTEXT.min(session.n_context())),
                    n_chunk: Some(session.n_chunk()),
                    cache: session.cache_types(),
                    ..LoadOptions::default()
                };
                let mut progress = Progress::new();
                Session::load(&model.named.files, ExecutorChoice::Cpu, &options, &mut |at| progress.load(&at)).await?
            }
        };
        Ok(Against::Whole(&mut self.oracle.insert((index, oracle)).1))
    }

    fn cut(&self, lane: usize, session: &Session) -> Option<(&Synthetic, Option<u64>)> {
        let cut = self.models[self.lanes[lane].model].named.files.synthetic.as_ref()?;
        // What the lane itself takes would be free for the whole model.
        let memory = session.memory();
        let free_bytes = memory::free_bytes(session.choice())
            .map(|free| free.saturating_add(memory.weights + memory.cache + memory.scratch))
            .filter(|_| is_certain(session.choice()));
        Some((cut, free_bytes))
    }

    fn setting(&self, adapter: &Adapter) -> Setting {
        let checks = if self.options.shader_checks { ShaderChecks::On } else { ShaderChecks::Off };
        let free_bytes = memory::free_bytes(&ExecutorChoice::Gpu(adapter.clone()));
        let setting = Setting::of(adapter, free_bytes, checks);
        let asked = self.options.standard.unwrap_or_default();
        let setting = Setting { tunes: setting.tunes && asked.tunes, ..setting };
        if asked.is_short { setting.short() } else { setting }
    }
}

/// Whether the memory of the host is all that the place has.
fn is_certain(choice: &ExecutorChoice) -> bool {
    match choice {
        ExecutorChoice::Cpu => true,
        ExecutorChoice::Gpu(adapter) => adapter.identity.kind == "software",
    }
}
