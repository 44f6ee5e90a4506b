//! The probes of an adapter: what it can do at best, measured on itself in a few seconds, so that every other figure
//! can be held against it. Every kernel's result is checked before its time counts.
//!
//! Time is the host's, from a submit to the end of its work, because that clock is there everywhere. Runs are made so
//! long that neither a coarse clock (browsers round theirs to as much as a millisecond) nor the way to the adapter and
//! back matters much, and what an empty submit takes is subtracted.

mod arithmetic;
mod bandwidth;
mod check;
mod cpu;
mod latency;
mod subgroups;
mod timing;

pub use cpu::probe_cpu;
pub use subgroups::{subgroups_are_right, with_right_subgroups};

use super::report::{Probe, ProbeKind, Probes};
use super::{Progress, Spread, Watch};
use crate::engine::ExecutorChoice;
use crate::error::Result;
use crate::format::sorted::sort;
use crate::gpu::ShaderChecks;
use crate::gpu::executor_gpu::GpuExecutor;
use crate::gpu::{Adapter, Executor, Recording};

/// Changes a recording before it is computed: how a fault is brought in, to see that it is noticed.
pub type Alter<'a> = dyn Fn(&mut Recording) + 'a;

/// How long to look, and what to do to what is looked at.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// A timed run should take this long, in milliseconds.
    pub run_ms: f64,
    /// Samples of each kind.
    pub repeats: u32,
    /// After this long, in milliseconds, no new sample of a kind is begun, once there are three.
    pub patience_ms: f64,
    /// Bytes of each of the two buffers that are read and copied; chosen to lie past the adapter's caches when `None`.
    pub large_bytes: Option<u64>,
    /// Changes every recording before the adapter runs it; the references stay as they are.
    pub alter: &'a Alter<'a>,
}

impl Default for Options<'_> {
    /// Runs of fifty steps of the coarsest clock that a browser has.
    fn default() -> Self {
        Self { run_ms: 50.0, repeats: 7, patience_ms: 1500.0, large_bytes: None, alter: &|_| {} }
    }
}

/// Measures what an adapter can do at best, on a device opened for it. Browsers give one device for each adapter that
/// they hand out, so there it wants an adapter of its own. Where `watch` breaks off, what was measured until then is
/// the result.
///
/// # Errors
/// When the adapter gives no device, refuses a kernel, has no room for 16 MiB, or is lost.
pub async fn probe(adapter: &Adapter, watch: &mut Watch<'_>) -> Result<Probes> {
    probe_with(adapter, &Options::default(), watch).await
}

/// The probes of the place where a model runs.
///
/// # Errors
/// See [`probe`].
pub async fn probe_choice(choice: &ExecutorChoice, watch: &mut Watch<'_>) -> Result<Probes> {
    match choice {
        ExecutorChoice::Gpu(adapter) => probe(adapter, watch).await,
        ExecutorChoice::Cpu => Ok(probe_cpu(watch)),
    }
}

/// [`probe`] in another way than the usual.
///
/// # Errors
/// See [`probe`].
pub async fn probe_with(adapter: &Adapter, options: &Options<'_>, watch: &mut Watch<'_>) -> Result<Probes> {
    let executor = Executor::Gpu(Box::new(GpuExecutor::open(adapter, ShaderChecks::Off).await?));
    let log = Log::new(kinds(adapter), watch);
    let mut prober = Prober { adapter, options, executor, overhead_ms: 0.0, n_runs: 0, log };
    prober.latencies().await?;
    prober.bandwidths().await?;
    prober.arithmetic().await?;
    Ok(prober.log.finish())
}

/// What can be measured on an adapter.
fn kinds(adapter: &Adapter) -> Vec<ProbeKind> {
    let can = |kind: &ProbeKind| match kind {
        ProbeKind::FmaF16 => adapter.caps.f16,
        ProbeKind::DotI8 => adapter.caps.packed_dot,
        _ => true,
    };
    ProbeKind::ALL.into_iter().filter(can).collect()
}

/// A device under measurement.
struct Prober<'a, 'w> {
    adapter: &'a Adapter,
    options: &'a Options<'a>,
    executor: Executor,
    /// What submitting and waiting take without work, in milliseconds; known after the first probe.
    overhead_ms: f64,
    /// How often recordings were computed on the buffers now allocated.
    n_runs: u32,
    log: Log<'a, 'w>,
}

/// What was measured so far, and who hears of it.
struct Log<'a, 'w> {
    kinds: Vec<ProbeKind>,
    probes: Vec<Probe>,
    watch: &'a mut Watch<'w>,
    stopped: bool,
}

impl<'a, 'w> Log<'a, 'w> {
    fn new(kinds: Vec<ProbeKind>, watch: &'a mut Watch<'w>) -> Self {
        Self { kinds, probes: Vec::new(), watch, stopped: false }
    }

    /// Whether a kind is to be measured now: the adapter can do it, and nobody has broken off.
    fn begins(&mut self, kind: ProbeKind) -> bool {
        if self.stopped || !self.kinds.contains(&kind) {
            return false;
        }
        let (done, total) = (self.probes.len() as u32, self.kinds.len() as u32);
        self.stopped = (self.watch)(&Progress { what: kind.label().to_owned(), done, total }).is_break();
        !self.stopped
    }

    /// Notes what a kind came to; samples that are no numbers are no measurement.
    fn note(&mut self, kind: ProbeKind, samples: &[f64], right: bool) {
        let value = Spread::of(samples);
        self.probes.push(Probe { kind, value: value.unwrap_or_default(), right: right && value.is_some() });
    }

    fn finish(mut self) -> Probes {
        sort(&mut self.probes, |probe| probe.kind as u64);
        Probes(self.probes)
    }
}
