//! The worker's measurements. Each ends in one report of the model that is loaded; what was measured before on the same
//! adapter goes into it, so that a bench has its limits and its check beside it.

use super::facts::{Known, Loaded};
use super::protocol::{BenchPlan, Measurement, Standard};
use super::tunings;
use super::worker::adapter_again;
use crate::engine::{ExecutorChoice, LoadOptions, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::executor_gpu::ShaderChecks;
use crate::gpu::{Adapter, Tuning};
use crate::measure::bench::{Lane, Plan, TestPlan};
use crate::measure::order::{self, Against, Failure, Host, Step, Wanted};
use crate::measure::probe::probe_choice;
use crate::measure::report::{Check, TuningFacts, Verdict};
use crate::measure::standard::{Place, Setting};
use crate::measure::tune::{self, tune};
use crate::measure::verify::{self, Configs, Extent};
use crate::measure::{Progress, Report, Watch};
use crate::model::Synthetic;

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
        Measurement::Bench(asked) => measure_in_order(loaded, plan(&asked), Standard::None, watch, live).await,
        Measurement::Test(asked, standard) => measure_in_order(loaded, plan(&asked), standard, watch, live).await,
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

/// The order of measuring, on the model that is loaded: limits, unless they are known; the tests; the short check, unless there
/// is one; the standard test, if that is wanted.
async fn measure_in_order(
    loaded: Loaded,
    plan: Plan,
    standard: Standard,
    watch: &mut Watch<'_>,
    live: impl FnMut(&Report) + 'static,
) -> (Loaded, Found) {
    let report = Report { check: loaded.known.check.clone(), ..loaded.blank() };
    let is_software = loaded.known.adapter.takes_host_memory;
    let Loaded { session, talk, mut known } = loaded;
    let mut lanes = [Lane { hear: Some(Box::new(live)), ..Lane::new(session, report) }];
    let standard_too = standard != Standard::None;
    let wanted = Wanted { probes: true, tune: None, plan: Some(plan), check: true, standard: standard_too };
    let mut shares = wanted.shares(&lanes[0], is_software);
    let mut host = Tab { known: &known, standard, oracle: None };
    let measured = order::measure(&mut lanes, &wanted, &mut host, &mut |at| watch(&shares.whole(at))).await;
    drop(host);
    let [Lane { session, report, failed: fell_out, .. }] = lanes;
    let (failures, refused) = match measured {
        Ok(failures) => (failures, None),
        Err(refused) => (Vec::new(), Some(refused)),
    };
    // The models of the standard test have devices of their own: that of the loaded model goes on working.
    let told = |failure: Failure| match failure.step {
        Step::Standard => Error { kind: ErrorKind::Io, ..failure.error },
        _ => failure.error,
    };
    let failed = refused.or(fell_out).or_else(|| failures.into_iter().map(told).next());
    known.probes.clone_from(&report.probes);
    // A check that was broken off says nothing that a later report should carry.
    known.check = report.check.clone().filter(|check| check.verdict != Verdict::Unknown);
    (Loaded { session, talk, known }, Found { report, failed })
}

/// What measuring needs of the tab.
struct Tab<'a> {
    known: &'a Known,
    standard: Standard,
    oracle: Option<Session>,
}

impl Host for Tab<'_> {
    async fn place(&mut self, _lane: usize, choice: &ExecutorChoice) -> Result<Place> {
        let ExecutorChoice::Gpu(_) = choice else { return Ok(Place { choice: ExecutorChoice::Cpu, tuning: None }) };
        let adapter = adapter_again(&self.known.adapter).await?;
        let tuning = Some(tunings::find(&adapter).await.over(adapter.tuning()));
        Ok(Place { choice: ExecutorChoice::Gpu(adapter), tuning })
    }

    async fn keep(&mut self, adapter: &Adapter, facts: &TuningFacts, tuning: &Tuning) -> Result<()> {
        let mut kept = tunings::find(adapter).await;
        kept.learn(facts, tuning);
        tunings::keep(&kept).await
    }

    async fn against(&mut self, _lane: usize, session: &Session) -> Result<Against<'_>> {
        if session.memory().weights > MOST_ORACLE_BYTES {
            return Ok(Against::Samples);
        }
        let oracle = oracle(self.known, session).await?;
        Ok(Against::Whole(self.oracle.insert(oracle)))
    }

    fn cut(&self, _lane: usize, _session: &Session) -> Option<(&Synthetic, Option<u64>)> {
        None
    }

    fn setting(&self, adapter: &Adapter) -> Setting {
        let setting = Setting::of(adapter, None, ShaderChecks::On);
        if self.standard == Standard::Short { setting.short() } else { setting }
    }
}

/// The model that is loaded, on the CPU executor.
async fn oracle(known: &Known, session: &Session) -> Result<Session> {
    let (n_context, n_chunk, cache) = (Some(session.n_context()), Some(session.n_chunk()), session.cache_types());
    let options = LoadOptions { n_context, n_chunk, cache, ..LoadOptions::default() };
    Session::load(&known.files, ExecutorChoice::Cpu, &options, &mut |_| {}).await
}

async fn check(loaded: &mut Loaded, extent: Extent, watch: &mut Watch<'_>) -> Result<Check> {
    let ids = verify::built_in_ids(&loaded.session)?;
    let check = if loaded.session.memory().weights > MOST_ORACLE_BYTES {
        verify::check_sampled(&mut loaded.session, &ids, verify::any_seed(), watch).await?
    } else {
        let mut oracle = oracle(&loaded.known, &loaded.session).await?;
        verify::check(&mut loaded.session, &mut oracle, &ids, extent, watch).await?
    };
    // One that was broken off says nothing that a later report should carry.
    if check.verdict != Verdict::Unknown {
        loaded.known.check = Some(check.clone());
    }
    Ok(check)
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
