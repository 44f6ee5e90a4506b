//! How long a recording takes: computed as often as a run takes long enough, several runs, less what a run costs without
//! work.

use super::{Options, Prober};
use crate::error::Result;
use crate::gpu::Recording;
use crate::gpu::executor::Prepared;
use crate::measure::settle::repeats_for;
use web_time::Instant;

/// No run is made longer than this on purpose, in milliseconds: watchdogs end what takes two seconds.
const LONGEST_MS: f64 = 600.0;
/// Runs in one pass at most.
const MAX_RUNS: u32 = 1 << 15;

/// Whether the host's work of encoding the pass belongs to what is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Counted,
    LeftOut,
}

/// Collects samples until there are enough, or it has taken too long.
pub(super) struct Samples {
    begin: Instant,
    repeats: u32,
    patience_ms: f64,
    pub(super) taken: Vec<f64>,
}

impl Samples {
    pub(super) fn new(options: &Options<'_>) -> Self {
        let Options { repeats, patience_ms, .. } = *options;
        Self { begin: Instant::now(), repeats, patience_ms, taken: Vec::new() }
    }

    pub(super) fn wants_more(&self) -> bool {
        let n = self.taken.len() as u32;
        n < self.repeats.min(3) || (n < self.repeats && self.begin.elapsed().as_secs_f64() * 1e3 < self.patience_ms)
    }
}

/// How many more there should be of something of which `n` took `ms`, so that it takes `wanted_ms`: at least twice as
/// many, since this is asked where it took too little.
pub(super) fn grown(n: u32, ms: f64, wanted_ms: f64) -> u32 {
    let factor = (1.2 * wanted_ms / ms.max(1e-3)).clamp(2.0, 16.0);
    (f64::from(n) * factor) as u32
}

impl Prober<'_, '_> {
    /// Makes a recording ready, with the fault in it that is to be noticed, if any.
    pub(super) async fn prepare(&mut self, mut recording: Recording) -> Result<Prepared> {
        (self.options.alter)(&mut recording);
        self.executor.prepare(&recording).await
    }

    /// Milliseconds of one run of `n` repeats, as the host's clock has it.
    pub(super) async fn run_ms(&mut self, prepared: Prepared, n: u32, encoding: Encoding) -> Result<f64> {
        let begin = Instant::now();
        let since_submit = self.executor.run(prepared, n).await?;
        self.n_runs = self.n_runs.wrapping_add(n);
        Ok(if encoding == Encoding::Counted { begin.elapsed().as_secs_f64() * 1e3 } else { since_submit })
    }

    /// Samples of the milliseconds that one run takes.
    pub(super) async fn sample_ms(&mut self, prepared: Prepared, encoding: Encoding) -> Result<Vec<f64>> {
        let asked = (self.wanted_ms(), MAX_RUNS, !self.adapter.caps.is_software);
        let n = repeats_for(asked, grown, &mut async |n| self.run_ms(prepared, n, encoding).await).await?;
        let mut samples = Samples::new(self.options);
        while samples.wants_more() {
            let ms = self.run_ms(prepared, n, encoding).await?;
            samples.taken.push(self.less_overhead(ms, 1) / f64::from(n));
        }
        Ok(samples.taken)
    }

    /// How long a run should take: long beside what it costs without work, and not so long that a watchdog ends it.
    pub(super) fn wanted_ms(&self) -> f64 {
        self.options.run_ms.max((10.0 * self.overhead_ms).min(LONGEST_MS))
    }

    /// `ms` without the fixed cost of so many submits; never less than half, as the fixed cost is uncertain too.
    pub(super) fn less_overhead(&self, ms: f64, n_submits: u32) -> f64 {
        (ms - f64::from(n_submits) * self.overhead_ms).max(ms / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_grows_towards_the_time_wanted_but_in_bounded_steps() {
        assert_eq!(grown(10, 25.0, 50.0), 24);
        assert_eq!(grown(10, 49.0, 50.0), 20);
        assert_eq!(grown(10, 0.0, 50.0), 160);
    }
}
