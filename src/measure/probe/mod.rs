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
mod timing;

pub use cpu::probe_cpu;

use super::report::{Probe, ProbeKind, Probes};
use super::{Progress, Spread, Watch};
use crate::engine::PlayerChoice;
use crate::error::Result;
use crate::gpu::play_gpu::{GpuPlayer, ShaderChecks};
use crate::gpu::{Adapter, Player, Recording};

/// Changes a recording before it is played: how a fault is brought in, to see that it is noticed.
pub type Alter<'a> = dyn Fn(&mut Recording) + 'a;

/// Measures what an adapter can do at best, on a device opened for it. Browsers give one device for each adapter that
/// they hand out, so there it wants an adapter of its own. Where `watch` breaks off, what was measured until then is
/// the result.
///
/// # Errors
/// When the adapter gives no device, refuses a kernel, has no room for 16 MiB, or is lost.
pub async fn probe(adapter: &Adapter, watch: &mut Watch<'_>) -> Result<Probes> {
    probe_altered(adapter, &|_| {}, watch).await
}

/// The probes of wherever a model runs.
///
/// # Errors
/// See [`probe`].
pub async fn probe_choice(choice: &PlayerChoice, watch: &mut Watch<'_>) -> Result<Probes> {
    match choice {
        PlayerChoice::Gpu(adapter) => probe(adapter, watch).await,
        PlayerChoice::Cpu => Ok(probe_cpu(watch)),
    }
}

/// [`probe`] with every recording changed by `alter` before the adapter plays it. The references stay as they are.
///
/// # Errors
/// See [`probe`].
pub async fn probe_altered(adapter: &Adapter, alter: &Alter<'_>, watch: &mut Watch<'_>) -> Result<Probes> {
    let player = Player::Gpu(Box::new(GpuPlayer::open(adapter, ShaderChecks::Off).await?));
    let mut prober =
        Prober { adapter, alter, player, overhead_ms: 0.0, n_plays: 0, log: Log::new(kinds(adapter), watch) };
    prober.latencies().await?;
    prober.bandwidths().await?;
    prober.arithmetic().await?;
    Ok(prober.log.finish())
}

/// What can be measured on an adapter.
fn kinds(adapter: &Adapter) -> Vec<ProbeKind> {
    let can = |kind: &ProbeKind| match kind {
        ProbeKind::FmaF16 => adapter.knobs.f16,
        ProbeKind::DotI8 => adapter.knobs.packed_dot,
        _ => true,
    };
    ProbeKind::ALL.into_iter().filter(can).collect()
}

/// A device under measurement.
struct Prober<'a, 'w> {
    adapter: &'a Adapter,
    alter: &'a Alter<'a>,
    player: Player,
    /// What submitting and waiting take without work, in milliseconds; known after the first probe.
    overhead_ms: f64,
    /// How often recordings were played on the buffers now allocated.
    n_plays: u32,
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
        self.probes.sort_by_key(|probe| probe.kind);
        Probes(self.probes)
    }
}
