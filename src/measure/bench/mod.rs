//! Repeated tests of speed, on one adapter or several: a warm-up, then rounds, in each of which every test runs once on
//! every adapter, so that whatever the machine does meanwhile falls on all alike. Medians with their spread go into
//! each adapter's report.
//!
//! A token that counts is a token that was computed through the model. Tokens are ids made by arithmetic, so nothing is
//! tokenized, and what the model writes has no influence on how much is written: its end token ends nothing.

mod repetition;
mod results;
mod rounds;

use super::settle::settle;
use super::{Progress, Report, Watch, profile};
use crate::engine::Session;
use crate::error::{Error, Result};
use crate::gpu::recording::Cost;
use repetition::{Sample, Text};
use rounds::{Runs, Turn};
use std::cmp::Reverse;
use std::ops::ControlFlow;

/// The ids of a text of `n` tokens that was never written: they depend on nothing but the position.
#[must_use]
pub fn ids(n: u32, n_vocab: u32) -> Vec<u32> {
    (0..n).map(|position| repetition::scatter(position) % n_vocab.max(1)).collect()
}

/// What to test, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The tests, in the order in which they run and are reported.
    pub tests: Vec<TestPlan>,
    /// How often each of them counts.
    pub repeats: u32,
    /// Whether each is run once before it counts.
    pub warm_up: bool,
    /// Whether the tokens that stand before a test are really computed. Without, the state holds what it held before,
    /// zeros at first: as many bytes are read and as many operations done, but of a text that was never there.
    pub fill: bool,
    /// Whether the stages of a step are timed at last, at every depth.
    pub profile: bool,
}

/// One test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TestPlan {
    /// Tokens of a prompt, computed together; 0 for none.
    pub n_prompt: u32,
    /// Tokens computed one after the other, each after it was written; 0 for none.
    pub n_gen: u32,
    /// Tokens that stand before.
    pub depth: u32,
}

impl TestPlan {
    /// Positions that it needs room for: what is computed, and the last id, which is only written.
    #[must_use]
    pub fn n_context(&self) -> u32 {
        let written = if self.n_gen > 0 { self.n_gen.saturating_add(1) } else { 0 };
        self.depth.saturating_add(self.n_prompt).saturating_add(written)
    }

    /// Tokens that count.
    fn n_tokens(&self) -> u32 {
        self.n_prompt.saturating_add(self.n_gen)
    }
}

impl Plan {
    /// Positions that its longest test needs room for.
    #[must_use]
    pub fn n_context(&self) -> u32 {
        self.tests.iter().map(TestPlan::n_context).max().unwrap_or(0)
    }

    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn check(&self) -> Result<()> {
        if self.tests.is_empty() || self.tests.iter().any(|test| test.n_tokens() == 0) {
            return Err(Error::usage("bench", "a test of no tokens").expected("a prompt (-p) or tokens to write (-n)"));
        }
        if self.repeats == 0 {
            return Err(Error::usage("bench", "0 repetitions").expected("1 at least"));
        }
        Ok(())
    }
}

/// Hears a report that grows.
pub type Hear = Box<dyn FnMut(&Report)>;

/// An adapter with a model loaded, and its report.
pub struct Lane {
    /// The model.
    pub session: Session,
    /// What is known so far; the tests are added to it.
    pub report: Report,
    /// Why it fell out, if it did. What it had measured until then is in the report.
    pub failed: Option<Error>,
    /// Hears the report as it grows, between two repetitions.
    pub hear: Option<Hear>,
}

impl Lane {
    /// With nothing measured yet.
    #[must_use]
    pub fn new(session: Session, report: Report) -> Self {
        Self { session, report, failed: None, hear: None }
    }

    /// The adapter with its backend, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        let identity = &self.report.adapter.identity;
        format!("{} ({})", identity.name, identity.backend)
    }
}

/// Runs the plan on all lanes and fills their reports: `tests`, `settings` and, where asked for, `profiles`. A lane that
/// fails keeps its error and what it had measured, and the others go on. Where `watch` breaks off, the repetitions that
/// were done count; [`Test::tokens_per_s`](super::report::Test) says how many.
///
/// # Errors
/// When the plan makes no sense. Failures of adapters stay with their lanes.
pub async fn bench(lanes: &mut [Lane], plan: &Plan, watch: &mut Watch<'_>) -> Result<()> {
    plan.check()?;
    for lane in lanes.iter_mut() {
        let settings = lane.report.settings.get_or_insert_default();
        (settings.repeats, settings.warm_up) = (plan.repeats, plan.warm_up);
        lane.failed = room(&lane.session, plan).err();
    }
    let mut bench = Bench::new(lanes, plan);
    if bench.fill(watch).await.is_continue() {
        let n_rounds = plan.repeats + u32::from(plan.warm_up);
        let ended = rounds::run(&mut bench, n_rounds, plan.tests.len(), watch).await;
        bench.report();
        if plan.profile && ended.is_continue() {
            bench.profile(watch).await;
        }
    }
    Ok(())
}

/// A test that does not fit is refused before anything is measured, not in its midst.
fn room(session: &Session, plan: &Plan) -> Result<()> {
    let (there, needed) = (session.n_context(), plan.n_context());
    if needed <= there {
        return Ok(());
    }
    Err(Error::usage("context", format!("room for {there} tokens"))
        .expected(format!("{needed}, as the longest test needs"))
        .advice("Make room with -c, or choose a smaller -p, -n or -d"))
}

/// A bench under way.
struct Bench<'a> {
    lanes: &'a mut [Lane],
    plan: &'a Plan,
    /// Ids to run, by lane.
    texts: Vec<Text>,
    /// What was measured, by lane and test.
    samples: Vec<Vec<Vec<Sample>>>,
    /// What each test must move and do, by lane and test; counted once it has run.
    works: Vec<Vec<Option<Cost>>>,
}

impl<'a> Bench<'a> {
    fn new(lanes: &'a mut [Lane], plan: &'a Plan) -> Self {
        // A lane without room gets no ids: what a plan asks for is no bound on memory, what a session allowed is.
        let text = |lane: &Lane| Text::new(&lane.session, plan.n_context().min(lane.session.n_context()));
        let texts = lanes.iter().map(text).collect();
        let samples = vec![vec![Vec::new(); plan.tests.len()]; lanes.len()];
        let works = vec![vec![None; plan.tests.len()]; lanes.len()];
        Self { lanes, plan, texts, samples, works }
    }

    /// Runs the tokens that stand before the deepest test, once for each lane; see [`Text::fill`].
    async fn fill(&mut self, watch: &mut Watch<'_>) -> ControlFlow<()> {
        let depth = self.plan.tests.iter().map(|test| test.depth).max().unwrap_or(0);
        if depth == 0 || !self.plan.fill {
            return ControlFlow::Continue(());
        }
        for (lane, text) in self.lanes.iter_mut().zip(&self.texts).filter(|(lane, _)| lane.failed.is_none()) {
            let what = format!("{depth} tokens before the tests on {}", lane.name());
            match text.fill(&mut lane.session, depth, &what, watch).await {
                Ok(flow) => flow?,
                Err(error) => lane.failed = Some(error),
            }
        }
        ControlFlow::Continue(())
    }

    fn report(&mut self) {
        (0..self.lanes.len()).for_each(|lane| self.report_lane(lane));
    }

    fn report_lane(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        let measured = self.plan.tests.iter().zip(&self.samples[index]).zip(&mut self.works[index]);
        let tests = measured.filter(|((_, samples), _)| !samples.is_empty()).filter_map(|((test, samples), work)| {
            let work = *work.get_or_insert_with(|| repetition::work(&lane.session, test));
            results::test(test, samples, work, &lane.report.probes)
        });
        lane.report.tests = tests.collect();
        if let Some(hear) = &mut lane.hear {
            hear(&lane.report);
        }
    }

    /// Times the stages of a decode step at every depth at which tokens are written, and of a prompt's step at every
    /// depth at which one is computed.
    async fn profile(&mut self, watch: &mut Watch<'_>) {
        let mut steps: Vec<(u32, u32)> = Vec::new();
        for test in &self.plan.tests {
            let decode = (test.n_gen > 0).then_some((1, test.depth.saturating_add(test.n_prompt)));
            let prompt = (test.n_prompt > 0).then_some((test.n_prompt, test.depth));
            steps.extend(decode.into_iter().chain(prompt));
        }
        steps.sort_unstable_by_key(|(n_tokens, depth)| (*n_tokens > 1, *depth, Reverse(*n_tokens)));
        steps.dedup_by_key(|(n_tokens, depth)| (*n_tokens > 1, *depth));
        let total = (steps.len() * self.lanes.len()) as u32;
        let mut done = 0;
        for (n_tokens, depth) in steps {
            for lane in self.lanes.iter_mut() {
                let what = format!("stages on {}", lane.name());
                if watch(&Progress { what, done, total }).is_break() {
                    return;
                }
                done += 1;
                if lane.failed.is_some() {
                    continue;
                }
                match profile::profile(&mut lane.session, n_tokens, depth, &lane.report.probes).await {
                    Ok(profile) => lane.report.profiles.extend(profile),
                    Err(error) => lane.failed = Some(error),
                }
            }
        }
    }
}

impl Runs for Bench<'_> {
    fn n_lanes(&self) -> usize {
        self.lanes.len()
    }

    fn is_out(&self, lane: usize) -> bool {
        self.lanes[lane].failed.is_some()
    }

    fn fall_out(&mut self, lane: usize, error: Error) {
        self.lanes[lane].failed = Some(error);
    }

    fn describe(&self, turn: Turn) -> String {
        let test = results::name(&self.plan.tests[turn.test]);
        let round = match (self.plan.warm_up, turn.round) {
            (true, 0) => "warm-up".to_owned(),
            (warm_up, round) => format!("run {} of {}", round + u32::from(!warm_up), self.plan.repeats),
        };
        format!("{test} on {}, {round}", self.lanes[turn.lane].name())
    }

    async fn warm(&mut self, turn: Turn) -> Result<()> {
        let (session, depth) = (&mut self.lanes[turn.lane].session, self.plan.tests[turn.test].depth);
        if session.warm(depth).await?.is_some() {
            settle(&mut async || Ok(session.warm(depth).await?.unwrap_or(f64::INFINITY))).await?;
        }
        Ok(())
    }

    async fn run(&mut self, turn: Turn, progress: &Progress, watch: &mut Watch<'_>) -> Result<ControlFlow<()>> {
        let Turn { round, test, lane } = turn;
        let session = &mut self.lanes[lane].session;
        let sample = self.texts[lane].repeat(session, &self.plan.tests[test], progress, watch).await?;
        let Some(sample) = sample else { return Ok(ControlFlow::Break(())) };
        if round > 0 || !self.plan.warm_up {
            self.samples[lane][test].push(sample);
            if self.lanes[lane].hear.is_some() {
                self.report_lane(lane);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
