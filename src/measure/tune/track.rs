//! Stages of a session as the track of a search.

use super::search::{Entrant, Extent, Track};
use crate::engine::Session;
use crate::engine::check::copies::Copies;
use crate::engine::check::trial::{Alike, Expected};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::executor::Prepared;
use crate::gpu::lower::{Dispatch, lower};
use crate::gpu::op::compose;
use crate::gpu::recording::Stage;
use crate::gpu::{APART, Caps, Choice, Recording, Tuning, Variant};
use crate::measure::settle::settle_again;
use crate::measure::{Progress, Watch};
use web_time::Instant;

/// Bytes that stages of a problem read by turns, so that they come from memory: few GPUs have caches of half of that.
const PAST_CACHES: u64 = 256 << 20;
/// Runs by which the cost of a submit is told from that of a run.
const FEW_RUNS: u32 = 5;
/// No submit is made longer on purpose, in milliseconds: watchdogs end what takes two seconds.
const LONGEST_MS: f64 = 500.0;
/// Runs in one submit at most.
const MOST_RUNS: u32 = 2000;

/// Stages that are one problem, on a session that stands in their step.
pub(super) struct Stages<'a, 'w> {
    pub(super) session: &'a mut Session,
    alike: &'a Alike,
    caps: Caps,
    base: Tuning,
    expected: &'a Expected,
    /// What is timed.
    copies: Copies,
    line: Vec<Prepared>,
    /// Runs in a submit, so that it takes long enough to be timed.
    n_times: u32,
    /// All stages of the problem, as a multiple of those that are computed.
    scale: f64,
    deadline: Instant,
    /// Who may break off, and where the search is.
    watch: &'a mut Watch<'w>,
    progress: &'a Progress,
}

impl<'a, 'w> Stages<'a, 'w> {
    /// Lays out what is to be timed, until [`Self::close`].
    ///
    /// # Errors
    /// When the adapter fails.
    pub(super) async fn open(
        session: &'a mut Session,
        alike: &'a Alike,
        caps: Caps,
        base: Tuning,
        expected: &'a Expected,
        deadline: Instant,
        (watch, progress): (&'a mut Watch<'w>, &'a Progress),
    ) -> Result<Self> {
        // A model that a cache holds is read from there in a step, too. And a program on the CPU computes longer than it reads.
        let is_past = !caps.is_software && session.memory().weights > PAST_CACHES;
        let copies = session.copy_out(&alike.stages, if is_past { PAST_CACHES } else { 0 }).await?;
        let scale = alike.stages.len() as f64 / copies.stages.len().max(1) as f64;
        let (line, n_times) = (Vec::new(), 1);
        Ok(Self { session, alike, caps, base, expected, copies, line, n_times, scale, deadline, watch, progress })
    }

    /// Forgets all that was made ready, and gives back what it took.
    pub(super) fn close(mut self) {
        self.end();
        self.session.give_back(self.copies);
    }

    /// The variants that can compute the problem, those made for its size first: a quick search may end before it has tried
    /// all, and leaves out those that are thought to lose.
    pub(super) fn entrants(&self, extent: Extent) -> Vec<Entrant> {
        let Some(stage) = self.alike.stages.first() else { return Vec::new() };
        let is_tried = |variant: &&Variant| {
            let has_hope = extent == Extent::Full || (variant.pays)(stage);
            variant.is_worth_trying(&self.caps) && self.base.can(variant, stage, &self.caps) && has_hope
        };
        let allowed = stage.op.variants.iter().rev().filter(is_tried);
        let fused = allowed.map(|variant| Entrant { variant: variant.name, space: (variant.way.space)(&self.caps) });
        let apart = (!stage.parts.is_empty()).then(|| Entrant { variant: APART, space: Vec::new() });
        fused.chain(apart).collect()
    }

    /// Makes a submit as long as it has to be, by the guess's time: long beside what a submit costs by itself, which in
    /// some browsers is a tenth of a second.
    pub(super) async fn calibrate(&mut self, guess: &Choice, wanted_ms: f64) -> Result<()> {
        self.line_up(std::slice::from_ref(guess)).await?;
        self.time(0).await?;
        let once = self.time(0).await? / self.scale;
        if once * f64::from(FEW_RUNS) > LONGEST_MS {
            return Ok(());
        }
        self.n_times = FEW_RUNS;
        let several = self.time(0).await? / self.scale * f64::from(FEW_RUNS);
        let each = ((several - once) / f64::from(FEW_RUNS - 1)).max(1e-4);
        let wanted_ms = wanted_ms.max(3.0 * (once - each)).min(LONGEST_MS);
        self.n_times = (wanted_ms / each).ceil().clamp(1.0, f64::from(MOST_RUNS)) as u32;
        Ok(())
    }

    /// Forgets what was made ready last.
    fn end(&mut self) {
        if let Some(first) = self.line.first() {
            self.session.forget_tried(*first);
        }
        self.line.clear();
    }

    fn tuning(&self, choice: &Choice) -> Tuning {
        self.base.clone().with(self.alike.problem.clone(), choice.clone())
    }
}

/// What a tuning makes of a stage: its dispatches with their texts.
pub(super) fn essence(stage: &Stage, caps: &Caps, tuning: &Tuning) -> String {
    let recording = Recording { stages: vec![stage.clone()], layer: None };
    let text = |dispatch: &Dispatch| {
        format!("{}\n{}", dispatch.n_workgroups, compose(dispatch.variant, &dispatch.spec, false))
    };
    lower(&recording, caps, tuning).dispatches.iter().map(text).collect()
}

impl Track for Stages<'_, '_> {
    fn essence(&self, choice: &Choice) -> String {
        self.alike.stages.first().map_or_else(String::new, |stage| essence(stage, &self.caps, &self.tuning(choice)))
    }

    async fn fault_of(&mut self, choice: &Choice) -> Result<Option<String>> {
        let tuning = self.tuning(choice);
        // What is made ready lies in order, so those in line have to go first.
        self.end();
        match self.session.disagreement(self.expected, &tuning).await {
            // Refused by the adapter: as good as wrong. One that is lost fails again at whatever comes next.
            Err(error) if error.kind == ErrorKind::Adapter => Ok(Some(error.to_string())),
            answer => answer,
        }
    }

    async fn line_up(&mut self, choices: &[Choice]) -> Result<()> {
        self.end();
        for choice in choices {
            let tuning = self.tuning(choice);
            self.line.push(self.session.try_stages(&self.copies.stages, &tuning).await?);
        }
        Ok(())
    }

    async fn warm(&mut self) -> Result<()> {
        // A program on the CPU has no clock of its own.
        if !self.caps.is_software && !self.line.is_empty() {
            settle_again(&mut async || self.time(0).await.map(|ms| ms / self.scale * f64::from(self.n_times))).await?;
        }
        Ok(())
    }

    async fn time(&mut self, place: usize) -> Result<f64> {
        let prepared = *self.line.get(place).ok_or_else(|| Error::usage("tuner", "a candidate that is not ready"))?;
        Ok(self.session.time_tried(prepared, self.n_times).await? * self.scale / f64::from(self.n_times))
    }

    fn is_late(&mut self) -> bool {
        Instant::now() >= self.deadline || (self.watch)(self.progress).is_break()
    }
}
