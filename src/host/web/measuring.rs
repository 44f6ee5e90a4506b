//! The worker's measurements. Each ends in one report of the model that is loaded; what was measured before on the same
//! adapter goes into it, so that a bench has its limits and its check beside it.

use super::facts::Loaded;
use super::protocol::{BenchPlan, Measurement, Standard};
use super::tunings;
use super::worker::adapter_again;
use crate::engine::{ExecutorChoice, LoadOptions, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::executor_gpu::ShaderChecks;
use crate::measure::bench::{self, Lane, Plan, TestPlan};
use crate::measure::probe::probe_choice;
use crate::measure::report::{Check, TuningFacts, Verdict};
use crate::measure::standard::{self, Place, Setting};
use crate::measure::tune::{self, tune};
use crate::measure::verify::{self, Configs, Extent};
use crate::measure::{Progress, Report, Watch, within};

/// The CPU executor needs the weights in the tab's own memory, of which there are 4 GiB at most. Larger models are checked by
/// samples.
const MOST_ORACLE_BYTES: u64 = 1 << 30;

/// What was found, and what went wrong after that.
pub(super) struct Found {
    pub(super) report: Report,
    pub(super) failed: Option<Error>,
}

/// Measures what was asked for; `live` hears what is known so far. Where `watch` breaks off, what was measured until then
/// is the result.
pub(super) async fn measure(
    mut loaded: Loaded,
    what: Measurement,
    watch: &mut Watch<'_>,
    live: impl FnMut(&Report) + 'static,
) -> (Loaded, Found) {
    match what {
        Measurement::Probe => {
            let failed = probe(&mut loaded, watch).await.err();
            let report = loaded.blank();
            (loaded, Found { report, failed })
        }
        Measurement::Verify { kernels } => {
            let (check, failed) = verify(&mut loaded, kernels, watch).await;
            let report = Report { check, ..loaded.blank() };
            (loaded, Found { report, failed })
        }
        Measurement::Tune => {
            let failed = match tuned(&mut loaded.session, watch).await {
                Ok(facts) => {
                    // What was checked before were other kernels.
                    (loaded.known.tuning, loaded.known.check) = (Some(facts), None);
                    None
                }
                Err(failed) => Some(failed),
            };
            let report = loaded.blank();
            (loaded, Found { report, failed })
        }
        Measurement::Bench(asked) => {
            let phases = Phases::of(&loaded, Standard::None);
            bench(loaded, &plan(&asked), &phases, watch, live).await
        }
        Measurement::Test(asked, extent) => test(loaded, &plan(&asked), extent, watch, live).await,
    }
}

/// The parts of a test with the seconds that each takes about, so that one bar and one time left hold for all of them.
struct Phases {
    probe: (f64, f64),
    bench: (f64, f64),
    check: (f64, f64),
    standard: (f64, f64),
}

impl Phases {
    /// From where to where each part goes, as shares of the whole; what is known already takes no time.
    fn of(loaded: &Loaded, extent: Standard) -> Self {
        let (known, software) = (&loaded.known, loaded.known.adapter.takes_host_memory);
        let needed = |is_known: bool, seconds: f64| if is_known { 0.0 } else { seconds };
        let parts = [
            needed(!known.probes.0.is_empty(), if software { 12.0 } else { 3.0 }),
            if software { 20.0 } else { 3.0 },
            needed(known.check.is_some(), if software { 12.0 } else { 4.0 }),
            needed(extent == Standard::None, if software { 80.0 } else { 20.0 }),
        ];
        let whole: f64 = parts.iter().sum();
        let mut from = 0.0;
        let [probe, bench, check, standard] = parts.map(|seconds| {
            let begin = from;
            from += seconds / whole;
            (begin, from)
        });
        Self { probe, bench, check, standard }
    }
}

/// A short search, whose choices are kept for the next visit.
async fn tuned(session: &mut Session, watch: &mut Watch<'_>) -> Result<TuningFacts> {
    let facts = tune(session, tune::Extent::Quick, watch).await?;
    if let ExecutorChoice::Gpu(adapter) = session.choice().clone() {
        let mut kept = tunings::find(&adapter).await;
        kept.learn(&facts, session.tuning());
        tunings::keep(&kept).await?;
    }
    Ok(facts)
}

/// All of it: limits, the tests and a check of the model that is loaded, and the standard test.
async fn test(
    loaded: Loaded,
    plan: &Plan,
    extent: Standard,
    watch: &mut Watch<'_>,
    live: impl FnMut(&Report) + 'static,
) -> (Loaded, Found) {
    let phases = Phases::of(&loaded, extent);
    let (loaded, mut found) = bench(loaded, plan, &phases, watch, live).await;
    if found.failed.is_none() && extent != Standard::None {
        let mut watch = within(phases.standard, watch);
        let failed = standard_test(&loaded, extent, &mut found.report, &mut watch).await.err();
        // Its models have devices of their own: that of the loaded model goes on working.
        found.failed = failed.map(|error| Error { kind: ErrorKind::Io, ..error });
    }
    (loaded, found)
}

/// Adds the results of the standard models to a report, each as soon as it is there.
async fn standard_test(loaded: &Loaded, extent: Standard, report: &mut Report, watch: &mut Watch<'_>) -> Result<()> {
    let ExecutorChoice::Gpu(adapter) = loaded.session.choice() else { return Ok(()) };
    let setting = Setting::of(adapter, None, ShaderChecks::On);
    let setting = if extent == Standard::Short { setting.short() } else { setting };
    let n = standard::MODELS.len() as f64;
    for (index, model) in standard::MODELS.iter().enumerate() {
        let begin = index as f64;
        let mut place = async || {
            let adapter = adapter_again(&loaded.known.adapter).await?;
            let tuning = Some(tunings::find(&adapter).await.over(adapter.tuning()));
            Ok(Place { choice: ExecutorChoice::Gpu(adapter), tuning })
        };
        let mut watch = within((begin / n, (begin + 1.0) / n), watch);
        let Some(measured) = model.measure(&setting, report, &mut place, &mut watch).await? else { break };
        if let Some((facts, tuning)) = &measured.found {
            let mut kept = tunings::find(adapter).await;
            kept.learn(facts, tuning);
            tunings::keep(&kept).await?;
        }
        report.standard.push(measured.result);
    }
    Ok(())
}

async fn probe(loaded: &mut Loaded, watch: &mut Watch<'_>) -> Result<()> {
    let choice = match loaded.session.choice() {
        ExecutorChoice::Cpu => ExecutorChoice::Cpu,
        ExecutorChoice::Gpu(_) => ExecutorChoice::Gpu(adapter_again(&loaded.known.adapter).await?),
    };
    loaded.known.probes = probe_choice(&choice, watch).await?;
    Ok(())
}

/// The model first, since that is what people wait for; then, if they are wanted, every kernel by itself.
async fn verify(loaded: &mut Loaded, kernels: bool, watch: &mut Watch<'_>) -> (Option<Check>, Option<Error>) {
    let mut check = match check(loaded, Extent::Full, watch).await {
        Ok(check) => check,
        Err(failed) => return (None, Some(failed)),
    };
    if !kernels || check.verdict == Verdict::Unknown || matches!(loaded.session.choice(), ExecutorChoice::Cpu) {
        return (Some(check), None);
    }
    let kernels = match adapter_again(&loaded.known.adapter).await {
        Ok(adapter) => verify::kernels(&adapter, ShaderChecks::Off, Configs::Own, watch).await,
        Err(failed) => Err(failed),
    };
    match kernels {
        Ok(kernels) => {
            // Broken off, they count for what is wrong, not for what is right.
            let done = Progress { what: "kernels".into(), done: 1, total: 1 };
            if kernels.n_wrong > 0 || watch(&done).is_continue() {
                verify::add_kernels(&mut check, kernels);
                loaded.known.check = Some(check.clone());
            }
            (Some(check), None)
        }
        Err(failed) => (Some(check), Some(failed)),
    }
}

/// The adapter's limits first, unless they are known; then the tests; then the short check, unless there is one.
async fn bench(
    mut loaded: Loaded,
    plan: &Plan,
    phases: &Phases,
    watch: &mut Watch<'_>,
    mut live: impl FnMut(&Report) + 'static,
) -> (Loaded, Found) {
    let mut failed = None;
    if loaded.known.probes.0.is_empty() {
        failed = probe(&mut loaded, &mut within(phases.probe, watch)).await.err();
    }
    let report = loaded.blank();
    live(&report);
    let Loaded { session, talk, known } = loaded;
    let mut lanes = [Lane { hear: Some(Box::new(live)), ..Lane::new(session, report) }];
    let refused = bench::bench(&mut lanes, plan, &mut within(phases.bench, watch)).await.err();
    let [Lane { session, mut report, failed: fell_out, .. }] = lanes;
    let mut loaded = Loaded { session, talk, known };
    failed = refused.or(fell_out).or(failed);
    let mut watch = within(phases.check, watch);
    let checking = Progress { what: "the short check".into(), done: 0, total: 1 };
    report.check.clone_from(&loaded.known.check);
    if failed.is_none() && report.check.is_none() && watch(&checking).is_continue() {
        (report.check, failed) = either(check(&mut loaded, Extent::Short, &mut watch).await);
    }
    (loaded, Found { report, failed })
}

async fn check(loaded: &mut Loaded, extent: Extent, watch: &mut Watch<'_>) -> Result<Check> {
    let ids = verify::built_in_ids(&loaded.session)?;
    let check = if loaded.session.memory().weights > MOST_ORACLE_BYTES {
        verify::check_sampled(&mut loaded.session, &ids, verify::any_seed(), watch).await?
    } else {
        let (n_context, n_chunk) = (Some(loaded.session.n_context()), Some(loaded.session.n_chunk()));
        let cache = loaded.session.cache_types();
        let options = LoadOptions { n_context, n_chunk, cache, ..LoadOptions::default() };
        let mut oracle = Session::load(&loaded.known.files, ExecutorChoice::Cpu, &options, &mut |_| {}).await?;
        verify::check(&mut loaded.session, &mut oracle, &ids, extent, watch).await?
    };
    // One that was broken off says nothing that a later report should carry.
    if check.verdict != Verdict::Unknown {
        loaded.known.check = Some(check.clone());
    }
    Ok(check)
}

fn either<T>(done: Result<T>) -> (Option<T>, Option<Error>) {
    match done {
        Ok(found) => (Some(found), None),
        Err(failed) => (None, Some(failed)),
    }
}

/// Prompts and texts of every length at every depth; lengths of 0 are left out.
fn plan(asked: &BenchPlan) -> Plan {
    let at = |depth: u32| {
        let prompts = asked.p.iter().map(move |n| TestPlan { n_prompt: *n, depth, ..TestPlan::default() });
        let texts = asked.n.iter().map(move |n| TestPlan { n_gen: *n, depth, ..TestPlan::default() });
        prompts.chain(texts).filter(|test| test.n_prompt + test.n_gen > 0)
    };
    let tests = asked.d.iter().flat_map(|depth| at(*depth)).collect();
    Plan { tests, repeats: asked.r, warm_up: true, fill: true, profile: true }
}
