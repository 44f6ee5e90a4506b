//! The standard test of a card: what it would do with models that do not lie in its cache. As much of each as there is
//! memory for runs with random weights, made on the adapter; the whole is predicted, and results drawn at random are checked.
//! One list of models and one plan for everybody: both hosts call this.

use super::bench::{Lane, Plan, TestPlan, bench};
use super::predict::predict;
use super::profile::profile;
use super::report::{Probes, Share, StandardResult, StepPrediction, Test, TuningFacts, per_second};
use super::tune::{self, Known, tune_within};
use super::verify::{any_seed, built_in_ids, check_sampled};
use super::{Progress, Report, Spread, Watch, within};
use crate::engine::{ExecutorChoice, LoadOptions, LoadProgress, ModelFiles, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::ShaderChecks;
use crate::gpu::recording::Cost;
use crate::gpu::{Adapter, Tuning};
use crate::kernels::cache::CacheTypes;
use crate::model::{Synthetic, SyntheticName};
use std::ops::ControlFlow;
use web_time::{Duration, Instant};

/// A model of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    /// What it is called: results of one name compare.
    pub name: &'static str,
    /// What may run of it, the largest first. Layers of a kind are alike: more of them would take time and tell nothing. Every
    /// cut has whole layers of each kind that matters, whose weights are read
    /// from memory and not from a cache; fewer experts and a smaller vocabulary take less room and leave a step's work in
    /// the layers as it is.
    pub cuts: &'static [&'static str],
}

/// The models, in the order in which they run.
pub const MODELS: [Standard; 2] = [
    Standard {
        name: "DeepSeek V4-Flash",
        cuts: &[
            "synthetic:deepseek-v4-flash:layers=2..6",
            "synthetic:deepseek-v4-flash:layers=2..4",
            "synthetic:deepseek-v4-flash:layers=2..4:experts=64",
            "synthetic:deepseek-v4-flash:layers=2..4:experts=32:vocab=16384",
            "synthetic:deepseek-v4-flash:layers=2..4:experts=8:vocab=4096",
        ],
    },
    Standard {
        name: "Llama 8B in Q4_0",
        cuts: &[
            "synthetic:llama-8b",
            "synthetic:llama-8b:layers=0..8",
            "synthetic:llama-8b:layers=0..8:vocab=16384",
            "synthetic:llama-8b:layers=0..2:vocab=4096",
        ],
    },
];

/// Bytes that a model may take where nobody tells how much memory is free, as in a browser.
const MODEST_BYTES: u64 = 2 << 30;
/// Bytes that it may take where a program on the CPU computes: each is read at a hundredth of a GPU's speed.
const SOFTWARE_BYTES: u64 = 640 << 20;

/// How long each test of a model may take, on a GPU and in software, before no more runs of it are begun.
const TEST_PATIENCE: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(25)];
/// How long its check may; what was compared until then counts, and the verdict is open.
const CHECK_PATIENCE: [Duration; 2] = [Duration::from_secs(8), Duration::from_secs(30)];
/// How long its kernels are tuned, on a GPU.
const TUNE_PATIENCE: Duration = Duration::from_secs(3);

/// What the test takes into account of where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Bytes that the weights of a model may take.
    pub most_bytes: u64,
    /// Whether a program on the CPU computes.
    pub is_software: bool,
    /// Whether the driver's bounds checks stay in the shaders.
    pub shader_checks: ShaderChecks,
    /// Whether kernels are tuned, where that pays.
    pub tunes: bool,
    /// The smallest cuts, a run of two tokens and no check: whether the test works, for tests of hosts.
    pub is_short: bool,
}

impl Setting {
    /// For an adapter with so much free memory, where that is known.
    #[must_use]
    pub fn of(adapter: &Adapter, free_bytes: Option<u64>, shader_checks: ShaderChecks) -> Self {
        let is_software = adapter.caps.is_software;
        // A quarter is left for the cache, the values of a step and what else is running.
        let free = free_bytes.map_or(MODEST_BYTES, |free| free / 4 * 3);
        let most_bytes = if is_software { free.min(SOFTWARE_BYTES) } else { free };
        // On a processor tuning gains nothing that is worth its minute.
        Self { most_bytes, is_software, shader_checks, tunes: !is_software, is_short: false }
    }

    /// The same test in short.
    #[must_use]
    pub fn short(self) -> Self {
        Self { is_short: true, most_bytes: 0, tunes: false, ..self }
    }

    fn limited(&self, patience: [Duration; 2]) -> Instant {
        Instant::now() + patience[usize::from(self.is_software)]
    }

    /// The tests of a model. A processor has no time for a prompt; and a cut with fewer experts tells nothing of one, since
    /// a prompt uses all of them.
    fn plans(&self, has_all_experts: bool) -> Vec<Plan> {
        let n_gen = match (self.is_short, self.is_software) {
            (true, _) => 2,
            (_, true) => 4,
            (_, false) => 32,
        };
        let prompt = TestPlan { n_prompt: N_PROMPT, ..TestPlan::default() };
        let writing = TestPlan { n_gen, ..TestPlan::default() };
        let has_prompt = has_all_experts && !self.is_software && !self.is_short;
        let repeats = if self.is_short { 1 } else { 3 };
        // Each by itself, so that a prompt that takes long leaves the other its time; and long ones need no warm-up.
        let plan = |test, warm_up| Plan { tests: vec![test], repeats, warm_up, fill: false, profile: false };
        let writing = plan(writing, !self.is_software && !self.is_short);
        [Some(writing), has_prompt.then(|| plan(prompt, false))].into_iter().flatten().collect()
    }
}

/// Tokens of a prompt.
const N_PROMPT: u32 = 512;

/// What the test runs of the model that is loaded, which is small as a rule: it is measured for those who compare with
/// earlier reports, and in short.
#[must_use]
pub fn plan_of_loaded() -> Plan {
    let prompt = TestPlan { n_prompt: 128, ..TestPlan::default() };
    let writing = TestPlan { n_gen: 64, ..TestPlan::default() };
    Plan { tests: vec![prompt, writing], repeats: 3, warm_up: true, fill: true, profile: false }
}

/// Where a model of the test runs, and with what choices.
pub struct Place {
    /// The adapter, whose device has not been taken yet.
    pub choice: ExecutorChoice,
    /// What is known to be fast there.
    pub tuning: Option<Tuning>,
}

/// What came of one model.
#[derive(Clone, Debug)]
pub struct Measured {
    /// For the report.
    pub result: StandardResult,
    /// The choices that were found, to be kept; `None` where there was no search.
    pub found: Option<(TuningFacts, Tuning)>,
}

impl Standard {
    /// What may run of it in so many bytes, the largest first; never none.
    fn cuts_within(&self, most_bytes: u64) -> Result<Vec<Synthetic>> {
        let mut cuts = Vec::new();
        for (index, cut) in self.cuts.iter().enumerate() {
            let name = SyntheticName::parse(cut)?;
            let model = Synthetic::of(&name)?.ok_or_else(|| name.unknown())?;
            if model.bytes()? <= most_bytes || index + 1 == self.cuts.len() {
                cuts.push(model);
            }
        }
        Ok(cuts)
    }

    /// Runs it on an adapter; `place` gives that, once for each try. Where there is no memory for a cut after all, the next
    /// smaller one is tried. `None` where `watch` broke off before there was a result; `report` is one of the adapter, with
    /// its probes.
    ///
    /// # Errors
    /// When the adapter fails, or has no memory for the smallest cut.
    pub async fn measure(
        &self,
        setting: &Setting,
        report: &Report,
        place: &mut impl AsyncFnMut() -> Result<Place>,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Measured>> {
        if self.tell("loading", 0.0, watch).is_break() {
            return Ok(None);
        }
        let mut refused = None;
        for cut in self.cuts_within(setting.most_bytes)? {
            let loaded = self.load(&cut, setting, place().await?, &mut within((0.0, 0.3), watch)).await;
            match loaded {
                Ok(session) => return self.run(cut, session, setting, report, watch).await,
                Err(error) if error.kind == ErrorKind::Adapter => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| Error::usage("standard test", "a model without a cut")))
    }

    async fn load(&self, cut: &Synthetic, setting: &Setting, place: Place, watch: &mut Watch<'_>) -> Result<Session> {
        let (n_context, n_chunk) = if setting.is_software { (256, 64) } else { (1024, N_PROMPT) };
        let options = LoadOptions {
            n_context: Some(n_context),
            n_chunk: Some(n_chunk),
            tuning: place.tuning,
            shader_checks: setting.shader_checks,
            cache: CacheTypes::usual(place.choice.is_gpu()),
            ..LoadOptions::default()
        };
        let mut tell = |at: LoadProgress| {
            let (what, from, done, total) = match at {
                LoadProgress::Directory | LoadProgress::Planned { .. } => ("loading", 0.0, 0, 1),
                LoadProgress::Upload { done, total } => ("filling", 0.0, done, total),
                LoadProgress::Compile { done, total } => ("compiling", 0.5, done.into(), total.into()),
            };
            let share = from + 0.5 * done as f64 / total.max(1) as f64;
            // A load cannot be broken off: what comes after it asks again.
            let _ =
                watch(&Progress { what: format!("{what} {}", self.name), done: (share * 100.0) as u32, total: 100 });
        };
        Session::load(&ModelFiles::synthetic(cut.clone()), place.choice, &options, &mut tell).await
    }

    /// Tunes, measures, predicts and checks.
    async fn run(
        &self,
        cut: Synthetic,
        mut session: Session,
        setting: &Setting,
        report: &Report,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Measured>> {
        let whole = cut.uncut();
        let mut result = StandardResult {
            model: self.name.to_owned(),
            ran: cut.name.clone(),
            n_layers: whole.n_layers(),
            n_measured_layers: cut.n_layers(),
            ..StandardResult::default()
        };
        let mut found = None;
        let can_tune = setting.tunes && Known::of(&session) != Known::All;
        if can_tune && self.tell("tuning", 0.3, watch).is_continue() {
            let mut watch = within((0.3, 0.5), watch);
            let facts = tune_within(&mut session, tune::Extent::Quick, TUNE_PATIENCE, &mut watch).await?;
            found = Some((facts.clone(), session.tuning().clone()));
            result.tuning = Some(facts);
        }
        let blank = Report {
            probes: report.probes.clone(),
            ..Report::of_adapter(report.platform.clone(), report.adapter.clone())
        };
        let mut lanes = [Lane::new(session, blank)];
        for plan in setting.plans(cut.shape.experts() == whole.shape.experts()) {
            let (deadline, n_least) = (setting.limited(TEST_PATIENCE), 1 + u32::from(plan.warm_up));
            bench(&mut lanes, &plan, &mut runs_until(deadline, n_least, &mut within((0.5, 0.8), watch))).await?;
            if let Some(failed) = lanes[0].failed.take() {
                return Err(failed);
            }
            result.measured.append(&mut lanes[0].report.tests);
        }
        let [Lane { mut session, report, .. }] = lanes;
        let Some(writing) = result.measured.iter().find(|test| test.n_prompt == 0) else { return Ok(None) };
        let profiles: Vec<_> = if self.tell("stages", 0.8, watch).is_continue() {
            profile(&mut session, 1, writing.n_gen / 2, &report.probes).await?.into_iter().collect()
        } else {
            Vec::new()
        };
        let prediction = predict(&cut, &session, (&result.measured, &profiles), None)?;
        let whole_test = |test: &Test| {
            let is_of = |step: &&StepPrediction| (step.n_tokens == 1) == (test.n_prompt == 0);
            Some(of_whole(test, prediction.steps.iter().find(is_of)?, &report.probes))
        };
        result.tests = result.measured.iter().filter_map(whole_test).collect();
        if !setting.is_short && self.tell("checking", 0.85, watch).is_continue() {
            let ids = built_in_ids(&session)?;
            let deadline = setting.limited(CHECK_PATIENCE);
            let mut watch = within((0.85, 1.0), watch);
            result.check = Some(check_sampled(&mut session, &ids, any_seed(), &mut until(deadline, &mut watch)).await?);
        }
        Ok(Some(Measured { result, found }))
    }

    fn tell(&self, what: &str, share: f64, watch: &mut Watch<'_>) -> ControlFlow<()> {
        watch(&Progress { what: format!("{what}, {}", self.name), done: (share * 100.0) as u32, total: 100 })
    }
}

/// `watch`, which breaks off once it is late.
fn until<'a>(deadline: Instant, watch: &'a mut Watch<'_>) -> impl FnMut(&Progress) -> ControlFlow<()> + 'a {
    move |progress| if Instant::now() >= deadline { ControlFlow::Break(()) } else { watch(progress) }
}

/// `watch`, which lets no more runs begin once it is late; `n_least` of them run however late it is, so that a slow adapter
/// has a figure too.
fn runs_until<'a>(
    deadline: Instant,
    n_least: u32,
    watch: &'a mut Watch<'_>,
) -> impl FnMut(&Progress) -> ControlFlow<()> + 'a {
    let (mut run, mut n_begun) = (None, 0);
    move |progress| {
        if run != Some(progress.done) {
            if n_begun >= n_least && Instant::now() >= deadline {
                return ControlFlow::Break(());
            }
            (run, n_begun) = (Some(progress.done), n_begun + 1);
        }
        watch(progress)
    }
}

/// A test of the whole model, from that of what ran and the prediction of its step.
fn of_whole(measured: &Test, step: &StepPrediction, probes: &Probes) -> Test {
    let [likely, low, high] = step.tokens_per_s();
    let n = measured.tokens_per_s.n;
    let ms_per_token = per_second(1.0, likely);
    let each = u64::from(step.n_tokens.max(1));
    let work = Cost { bytes: step.bytes / each, ops: step.ops / each };
    let test = Test {
        n_prompt: measured.n_prompt,
        n_gen: measured.n_gen,
        depth: measured.depth,
        tokens_per_s: Spread { n, median: likely, mean: likely, sd: 0.0, min: low, max: high },
        ms_per_token,
        bytes_per_token: work.bytes,
        ops_per_token: work.ops,
        gb_per_s: per_second(work.bytes as f64 * 1e-9, ms_per_token),
        share: Share::of(work, ms_per_token, probes),
        ..Test::default()
    };
    test.told_apart(probes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_runs_as_are_needed_are_made_however_late_it_is() {
        let past = Instant::now();
        let mut heard = |_: &Progress| ControlFlow::Continue(());
        let mut watch = runs_until(past, 2, &mut heard);
        let mut goes_on = |done| watch(&Progress { what: String::new(), done, total: 4 }).is_continue();
        // The second run is asked twice in its midst.
        assert_eq!([0, 1, 1, 1, 2].map(&mut goes_on), [true, true, true, true, false]);
    }

    #[test]
    fn every_cut_is_a_model_and_the_next_is_smaller() {
        for model in MODELS {
            let all = model.cuts_within(u64::MAX).expect("cuts");
            assert_eq!(all.len(), model.cuts.len());
            let bytes: Vec<u64> = all.iter().map(|cut| cut.bytes().expect("a model")).collect();
            assert!(bytes.is_sorted_by(|a, b| a > b), "{}: {bytes:?}", model.name);
            for cut in &all {
                assert_eq!(cut.whole.n_layers(), all[0].whole.n_layers(), "{}", cut.name);
            }
            for most in [MODEST_BYTES, SOFTWARE_BYTES] {
                let fitting = model.cuts_within(most).expect("cuts");
                assert!(fitting.len() < all.len() && fitting[0].bytes().expect("a model") <= most, "{}", model.name);
            }
            assert_eq!(model.cuts_within(0).expect("the smallest").len(), 1);
        }
    }
}
