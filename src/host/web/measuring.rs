//! The worker's measurements. Each ends in one report of the model that is loaded; what was measured before on the same
//! adapter goes into it, so that a bench has its limits and its check beside it.

use super::facts::{Known, Loaded};
use super::protocol::{BenchPlan, Measurement, Standard};
use super::tunings;
use super::worker::adapter_again;
use crate::engine::{ExecutorChoice, LoadOptions, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::ShaderChecks;
use crate::gpu::{Adapter, Tuning};
use crate::measure::bench::{Lane, Plan, TestPlan};
use crate::measure::order::{self, Against, Failure, Host, Step, Wanted};
use crate::measure::report::{TuningFacts, Verdict};
use crate::measure::standard::{Place, Setting};
use crate::measure::tune;
use crate::measure::verify::Extent;
use crate::measure::{Report, Watch};
use crate::model::Synthetic;

/// The CPU executor needs the weights in the tab's own memory, of which there are 4 GiB at most. Larger models are checked by
/// samples.
const MOST_ORACLE_BYTES: u64 = 1 << 30;

/// What was found, and what went wrong after that.
pub(super) struct Found {
    pub(super) report: Report,
    pub(super) failed: Option<Error>,
}

/// Measures what was asked for, in the one order; `live` hears what is known so far. Where `watch` breaks off, what was measured
/// until then is the result.
pub(super) async fn measure(
    loaded: Loaded,
    what: Measurement,
    watch: &mut Watch<'_>,
    live: impl FnMut(&Report) + 'static,
) -> (Loaded, Found) {
    let (wanted, standard) = wanted(&what);
    let report = Report { check: loaded.known.check.clone(), ..loaded.blank() };
    let is_software = loaded.known.adapter.takes_host_memory;
    let is_impossible = what == Measurement::Tune && matches!(loaded.session.choice(), ExecutorChoice::Cpu);
    let Loaded { session, talk, mut known } = loaded;
    let mut lanes = [Lane { hear: Some(Box::new(live)), ..Lane::new(session, report) }];
    let mut shares = wanted.shares(&lanes[0], is_software);
    let mut host = Tab { known: &known, standard, oracle: None };
    let measured = order::measure(&mut lanes, &wanted, &mut host, &mut |at| watch(&shares.whole(at))).await;
    drop(host);
    let [Lane { session, report, failed: fell_out, .. }] = lanes;
    let (failures, refused) = match measured {
        Ok(failures) => (failures, None),
        Err(refused) => (Vec::new(), Some(refused)),
    };
    // What has a device of its own leaves that of the loaded model as it is.
    let told = |failure: Failure| match failure.step {
        Step::Probe | Step::Kernels | Step::Standard => Error { kind: ErrorKind::Io, ..failure.error },
        Step::Tune | Step::Bench | Step::Predict | Step::Check => failure.error,
    };
    let refused = refused.or_else(|| is_impossible.then(|| Error::usage("tuning", "the CPU").expected("a GPU")));
    let failed = refused.or(fell_out).or_else(|| failures.into_iter().map(told).next());
    known.probes.clone_from(&report.probes);
    known.tuning.clone_from(&report.tuning);
    // A check that was broken off says nothing that a later report should carry.
    known.check = report.check.clone().filter(|check| check.verdict != Verdict::Unknown);
    (Loaded { session, talk, known }, Found { report, failed })
}

/// A single measurement is made again where it was made before; the others take what is known.
fn wanted(what: &Measurement) -> (Wanted, Standard) {
    let single = Wanted { again: true, ..Wanted::default() };
    let tests =
        |asked| Wanted { probes: true, plan: Some(plan(asked)), check: Some(Extent::Short), ..Wanted::default() };
    match what {
        Measurement::Probe => (Wanted { probes: true, ..single }, Standard::None),
        Measurement::Tune => (Wanted { tune: Some(tune::Extent::Quick), ..single }, Standard::None),
        Measurement::Verify => (Wanted { check: Some(Extent::Full), kernels: true, ..single }, Standard::None),
        Measurement::Bench(asked) => (tests(asked), Standard::None),
        Measurement::Test(asked, standard) => {
            (Wanted { standard: *standard != Standard::None, ..tests(asked) }, *standard)
        }
    }
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
