//! The order of measuring, the same for every host: what an adapter can do at best, the search for its fastest kernels, the
//! tests, the prediction of a whole model, the check of the numbers, the standard test. Each step ends in the reports of its
//! lanes, and the next builds on it. What only a platform can do (an adapter once more, memory, what is kept between runs) comes
//! from a [`Host`].

use super::bench::{Lane, Plan, bench};
use super::predict::predict;
use super::probe::probe_choice;
use super::profile::profile;
use super::report::{Check, TuningFacts, Verdict};
use super::standard::{MODELS, Place, Setting};
use super::tune::{Extent, Known, tune};
use super::verify::{self, Configs, add_kernels, any_seed, built_in_ids, check_sampled};
use super::{BAR_STEPS, Progress, within};
use crate::engine::{ExecutorChoice, Session};
use crate::error::{Error, Result};
use crate::gpu::ShaderChecks;
use crate::gpu::{Adapter, Tuning};
use crate::model::Synthetic;
use std::ops::ControlFlow;

/// A step, in its place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// What the adapter can do at best.
    Probe,
    /// The fastest kernels for the model that is loaded.
    Tune,
    /// The tests of speed, on all lanes by turns.
    Bench,
    /// The whole of a synthetic model of which some layers are loaded.
    Predict,
    /// Whether the numbers are right.
    Check,
    /// Whether every kernel is right by itself.
    Kernels,
    /// What the adapter would do with models of real shapes.
    Standard,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 7] =
        [Self::Probe, Self::Tune, Self::Bench, Self::Predict, Self::Check, Self::Kernels, Self::Standard];

    /// What a person reads as it begins.
    fn label(self) -> &'static str {
        match self {
            Self::Probe => "limits of the adapter",
            Self::Tune => "tuning",
            Self::Bench => "tests",
            Self::Predict => "prediction",
            Self::Check => "the check",
            Self::Kernels => "kernels",
            Self::Standard => "the standard test",
        }
    }

    /// The seconds that it takes about, on a GPU and in software.
    fn seconds(self, is_software: bool) -> f64 {
        let (on_gpu, in_software) = match self {
            Self::Probe => (3.0, 12.0),
            Self::Tune => (8.0, 45.0),
            Self::Bench => (3.0, 20.0),
            Self::Predict => (1.0, 5.0),
            Self::Check => (4.0, 12.0),
            Self::Kernels => (10.0, 30.0),
            Self::Standard => (20.0, 80.0),
        };
        if is_software { in_software } else { on_gpu }
    }
}

/// Which steps are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Limits, where they are not known.
    pub probes: bool,
    /// A search: a quick one where something is not known yet, a full one always.
    pub tune: Option<Extent>,
    /// Tests, and the prediction where they are of a cut.
    pub plan: Option<Plan>,
    /// A check, where there is none.
    pub check: Option<verify::Extent>,
    /// Every kernel by itself, after a check that came to its end.
    pub kernels: bool,
    /// The standard test.
    pub standard: bool,
    /// What is wanted and known already is measured again.
    pub again: bool,
}

impl Wanted {
    /// Whether a step has something to do on a lane.
    fn needs(&self, step: Step, lane: &Lane) -> bool {
        let is_gpu = matches!(lane.session.choice(), ExecutorChoice::Gpu(_));
        match step {
            Step::Probe => self.probes && (self.again || lane.report.probes.0.is_empty()),
            Step::Tune => match self.tune {
                Some(Extent::Full) => is_gpu,
                Some(Extent::Quick) => is_gpu && (self.again || Known::of(&lane.session) != Known::All),
                None => false,
            },
            Step::Bench | Step::Predict => self.plan.is_some(),
            Step::Check => self.check.is_some() && (self.again || lane.report.check.is_none()),
            Step::Kernels => self.kernels && is_gpu,
            Step::Standard => self.standard && is_gpu,
        }
    }

    /// How much of one bar each step has that is needed on a lane.
    #[must_use]
    pub fn shares(&self, lane: &Lane, is_software: bool) -> Shares {
        // A prediction takes no time but where there is one, which no bar of several steps has.
        let needed = Step::ALL.into_iter().filter(|step| *step != Step::Predict && self.needs(*step, lane));
        let parts: Vec<(Step, f64)> = needed.map(|step| (step, step.seconds(is_software))).collect();
        let whole: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
        let mut end = 0.0;
        let share = |(step, seconds): (Step, f64)| {
            let begin = end;
            end += seconds / whole;
            (step, (begin, end))
        };
        Shares { parts: parts.into_iter().map(share).collect(), furthest: 0.0 }
    }
}

/// From where to where each step takes one bar, so that one time left holds for all of them.
#[derive(Clone, Debug)]
pub struct Shares {
    parts: Vec<(Step, (f64, f64))>,
    furthest: f64,
}

impl Shares {
    /// How far all of it is. It never goes back: a step may count several times over.
    pub fn whole(&mut self, at: &At<'_>) -> Progress {
        let of_step = f64::from(at.progress.done) / f64::from(at.progress.total.max(1));
        if let Some((_, (from, to))) = self.parts.iter().find(|(step, _)| *step == at.step) {
            self.furthest = self.furthest.max(from + (to - from) * of_step.min(1.0));
        }
        let done = (self.furthest * BAR_STEPS) as u32;
        Progress { what: at.progress.what.clone(), done, total: BAR_STEPS as u32 }
    }
}

/// Where measuring is.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The step.
    pub step: Step,
    /// The lane's adapter with its backend; empty where the step is of all lanes.
    pub lane: &'a str,
    /// How far the step is.
    pub progress: &'a Progress,
}

/// Hears where measuring is, and says whether to go on. Where it breaks off, what was measured until then is kept.
pub type Hear<'a> = dyn FnMut(&At<'_>) -> ControlFlow<()> + 'a;

/// What a lane's numbers are held against.
pub enum Against<'a> {
    /// The same model on the CPU executor.
    Whole(&'a mut Session),
    /// References of results that are drawn at random: the whole would take too long, or too much memory.
    Samples,
    /// Nothing, for the reason in these words.
    Nothing(String),
}

/// What a platform gives. Lanes are named by their index.
#[expect(async_fn_in_trait, reason = "both hosts drive it on the thread that it is on")]
pub trait Host {
    /// A lane's adapter once more, of which no device was taken, with what is known to be fast there.
    async fn place(&mut self, lane: usize, choice: &ExecutorChoice) -> Result<Place>;

    /// Keeps what a search found on an adapter.
    async fn keep(&mut self, adapter: &Adapter, facts: &TuningFacts, tuning: &Tuning) -> Result<()>;

    /// What a lane's numbers are held against.
    async fn against(&mut self, lane: usize, session: &Session) -> Result<Against<'_>>;

    /// The synthetic model that a lane runs layers of, and the bytes that are free for the whole, where they are known; `None`
    /// for a model of a file.
    fn cut(&self, lane: usize, session: &Session) -> Option<(&Synthetic, Option<u64>)>;

    /// How the standard test runs on an adapter.
    fn setting(&self, adapter: &Adapter) -> Setting;
}

/// What went wrong on a lane; measuring went on.
#[derive(Debug)]
pub struct Failure {
    /// The lane.
    pub lane: usize,
    /// In which step.
    pub step: Step,
    /// What it was.
    pub error: Error,
}

/// Measures what is wanted on all lanes, each step on all of them before the next begins. A lane that falls out of the tests
/// keeps its error, as in [`bench`], and has no further steps; other failures are returned, and what comes after them is still
/// measured.
///
/// # Errors
/// When the plan makes no sense: nothing was measured then.
pub async fn measure(
    lanes: &mut [Lane],
    wanted: &Wanted,
    host: &mut impl Host,
    hear: &mut Hear<'_>,
) -> Result<Vec<Failure>> {
    if let Some(plan) = &wanted.plan {
        plan.check()?;
    }
    let mut measuring = Measuring { lanes, host, hear, failures: Vec::new() };
    for step in Step::ALL {
        if measuring.step(step, wanted).await.is_break() {
            break;
        }
    }
    Ok(measuring.failures)
}

/// Measuring under way.
struct Measuring<'a, 'h, H> {
    lanes: &'a mut [Lane],
    host: &'a mut H,
    hear: &'a mut Hear<'h>,
    failures: Vec<Failure>,
}

impl<H: Host> Measuring<'_, '_, H> {
    async fn step(&mut self, step: Step, wanted: &Wanted) -> ControlFlow<()> {
        if step == Step::Bench {
            let Some(plan) = &wanted.plan else { return ControlFlow::Continue(()) };
            self.begin(step, "")?;
            let done = bench(self.lanes, plan, &mut on(self.hear, step, "")).await;
            self.failures.extend(done.err().map(|error| Failure { lane: 0, step, error }));
            return self.begin(step, "");
        }
        for lane in 0..self.lanes.len() {
            let at = &self.lanes[lane];
            if at.failed.is_some() || !wanted.needs(step, at) {
                continue;
            }
            let name = at.name();
            self.begin(step, &name)?;
            let done = match step {
                Step::Probe => self.probe(lane, &name, wanted.again).await,
                Step::Tune => self.tune(lane, &name, wanted.tune.unwrap_or(Extent::Quick)).await,
                Step::Predict => self.predict(lane).await,
                Step::Check => self.check(lane, &name, wanted.check.unwrap_or(verify::Extent::Short)).await,
                Step::Kernels => self.kernels(lane, &name).await,
                Step::Standard => self.standard(lane, &name).await,
                Step::Bench => Ok(()),
            };
            self.failures.extend(done.err().map(|error| Failure { lane, step, error }));
            let Lane { report, hear, .. } = &mut self.lanes[lane];
            if let Some(hear) = hear {
                hear(report);
            }
        }
        ControlFlow::Continue(())
    }

    /// Says what begins, and asks whether to go on.
    fn begin(&mut self, step: Step, lane: &str) -> ControlFlow<()> {
        let progress = Progress { what: step.label().to_owned(), done: 0, total: 1 };
        (self.hear)(&At { step, lane, progress: &progress })
    }

    /// Once for each adapter, unless `again`: lanes may share one.
    async fn probe(&mut self, lane: usize, name: &str, again: bool) -> Result<()> {
        let identity = &self.lanes[lane].report.adapter.identity;
        let is_known =
            |other: &&Lane| !again && !other.report.probes.0.is_empty() && other.report.adapter.identity == *identity;
        let known = self.lanes.iter().find(is_known).map(|other| other.report.probes.clone());
        self.lanes[lane].report.probes = match known {
            Some(known) => known,
            None => {
                let place = self.host.place(lane, self.lanes[lane].session.choice()).await?;
                probe_choice(&place.choice, &mut on(self.hear, Step::Probe, name)).await?
            }
        };
        Ok(())
    }

    async fn tune(&mut self, lane: usize, name: &str, extent: Extent) -> Result<()> {
        let Lane { session, report, .. } = &mut self.lanes[lane];
        let ExecutorChoice::Gpu(adapter) = session.choice().clone() else { return Ok(()) };
        let facts = tune(session, extent, &mut on(self.hear, Step::Tune, name)).await?;
        // What was checked before were other kernels.
        (report.tuning, report.check) = (Some(facts.clone()), None);
        self.host.keep(&adapter, &facts, session.tuning()).await
    }

    /// Stages are timed for it at the depths of the tests that write, where that was not done anyway and the adapter can.
    async fn predict(&mut self, lane: usize) -> Result<()> {
        let Lane { session, report, .. } = &mut self.lanes[lane];
        let Some((cut, free_bytes)) = self.host.cut(lane, session) else { return Ok(()) };
        let mut profiles = report.profiles.clone();
        if profiles.is_empty() {
            let most = session.n_context().saturating_sub(1);
            let writing = report.tests.iter().filter(|test| test.n_prompt == 0);
            let mut depths: Vec<u32> = writing.map(|test| test.depth + test.n_gen / 2).collect();
            depths.dedup();
            for depth in depths {
                profiles.extend(profile(session, 1, depth.min(most), &report.probes).await?);
            }
        }
        report.prediction = Some(predict(cut, session, (&report.tests, &profiles), free_bytes)?);
        Ok(())
    }

    async fn check(&mut self, lane: usize, name: &str, extent: verify::Extent) -> Result<()> {
        let Lane { session, report, .. } = &mut self.lanes[lane];
        let unknown = |summary: String| Check { summary, ..Check::default() };
        let mut watch = on(self.hear, Step::Check, name);
        let checked = async {
            match self.host.against(lane, session).await? {
                Against::Whole(oracle) => {
                    let ids = built_in_ids(oracle)?;
                    verify::check(session, oracle, &ids, extent, &mut watch).await
                }
                Against::Samples => check_sampled(session, &built_in_ids(session)?, any_seed(), &mut watch).await,
                Against::Nothing(why) => Ok(unknown(why)),
            }
        };
        let (check, failed) = match checked.await {
            Ok(check) => (check, Ok(())),
            Err(error) => (unknown(error.to_string()), Err(error)),
        };
        report.check = Some(check);
        failed
    }

    /// On a device of their own, as the adapter runs them untuned. Broken off, they count for what is wrong, not for what is right.
    async fn kernels(&mut self, lane: usize, name: &str) -> Result<()> {
        let Lane { session, report, .. } = &mut self.lanes[lane];
        let Some(check) = report.check.as_mut().filter(|check| check.verdict != Verdict::Unknown) else {
            return Ok(());
        };
        let has_checks = report.settings.as_ref().is_some_and(|settings| settings.shader_checks);
        let shader_checks = if has_checks { ShaderChecks::On } else { ShaderChecks::Off };
        let place = self.host.place(lane, session.choice()).await?;
        let ExecutorChoice::Gpu(adapter) = &place.choice else { return Ok(()) };
        let mut watch = on(self.hear, Step::Kernels, name);
        let found = verify::kernels(adapter, shader_checks, Configs::Own, &mut watch).await?;
        let end = Progress { what: Step::Kernels.label().to_owned(), done: 1, total: 1 };
        if found.n_wrong > 0 || watch(&end).is_continue() {
            add_kernels(check, found);
        }
        Ok(())
    }

    /// Each model's result as soon as it is there.
    async fn standard(&mut self, lane: usize, name: &str) -> Result<()> {
        let Lane { session, report, hear: heard, .. } = &mut self.lanes[lane];
        let choice = session.choice().clone();
        let ExecutorChoice::Gpu(adapter) = &choice else { return Ok(()) };
        let n = MODELS.len() as f64;
        for (index, model) in MODELS.iter().enumerate() {
            let setting = self.host.setting(adapter);
            let begin = index as f64;
            let mut watch = on(self.hear, Step::Standard, name);
            let mut watch = within((begin / n, (begin + 1.0) / n), &mut watch);
            let mut place = async || self.host.place(lane, &choice).await;
            // Nothing comes of a model only where it was broken off.
            let Some(measured) = model.measure(&setting, report, &mut place, &mut watch).await? else { break };
            if let Some((facts, tuning)) = &measured.found {
                self.host.keep(adapter, facts, tuning).await?;
            }
            report.standard.push(measured.result);
            if let Some(heard) = heard {
                heard(report);
            }
        }
        Ok(())
    }
}

/// The watch of a step on a lane.
fn on<'a>(hear: &'a mut Hear<'_>, step: Step, lane: &'a str) -> impl FnMut(&Progress) -> ControlFlow<()> + 'a {
    move |progress| hear(&At { step, lane, progress })
}
