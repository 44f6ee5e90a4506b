//! What does not grow with the work: submitting, reading back, one more dispatch, compiling.

use super::Prober;
use super::check::agree;
use super::timing::{Encoding, Samples, grown};
use crate::error::Result;
use crate::gpu::executor::Prepared;
use crate::gpu::{Arena, Executor, Purpose, Recording, Slice};
use crate::kernels::probe_dispatch::{self, record_probe_dispatch};
use crate::kernels::probe_fma::{self, Chains, Float, record_probe_fma};
use crate::measure::report::ProbeKind;
use crate::measure::settle::settle;
use crate::measure::spread::median;
use web_time::{Instant, SystemTime, UNIX_EPOCH};

/// Repetitions for one sample at most.
const MAX_REPEATS: u32 = 1 << 12;
/// Dispatches in one submit that wake an adapter up.
const WAKING_RUNS: u32 = 2000;
/// Counters of the dispatch that does next to nothing: one workgroup.
const N_COUNTERS: u32 = 16;

/// Something short.
#[derive(Clone, Copy)]
enum Short {
    Submit(Prepared),
    Readback(Slice),
    Compile,
}

/// The dispatch that is compiled again and again.
struct Salted {
    arena: Arena,
    x: Slice,
    y: Slice,
    salt: u32,
}

impl Prober<'_, '_> {
    /// Submit, readback, dispatch, compile, in this order: the later ones subtract what the first one tells.
    pub(super) async fn latencies(&mut self) -> Result<()> {
        let counts = self.is_right(&probe_dispatch::OP, |_| true).await?;
        let mut arena = Arena::default();
        let counters = arena.words("counters", N_COUNTERS.into(), Purpose::Scratch);
        self.executor.allocate(&arena).await?;
        self.n_runs = 0;
        let mut recording = Recording::default();
        record_probe_dispatch(&mut recording, counters, N_COUNTERS);
        let dispatch = self.prepare(recording).await?;
        // Warm-up: drivers compile at the first use.
        self.run_ms(dispatch, 1, Encoding::Counted).await?;
        if !self.adapter.caps.is_software {
            // A submit to an adapter that sleeps says how long it takes to wake.
            settle(&mut async || self.run_ms(dispatch, WAKING_RUNS, Encoding::Counted).await).await?;
        }
        if self.log.begins(ProbeKind::Submit) {
            let samples = self.short_ms(Short::Submit(dispatch), &mut None).await?;
            self.overhead_ms = median(&samples);
            let right = counts && self.has_counted(counters).await?;
            self.log.note(ProbeKind::Submit, &scaled(&samples, 1e3), right);
        }
        if self.log.begins(ProbeKind::Readback) {
            let samples = self.short_ms(Short::Readback(Slice { bytes: 4, ..counters }), &mut None).await?;
            let right = counts && self.has_counted(counters).await?;
            self.log.note(ProbeKind::Readback, &scaled(&samples, 1e3), right);
        }
        if self.log.begins(ProbeKind::Dispatch) {
            let samples = self.sample_ms(dispatch, Encoding::Counted).await?;
            let right = counts && self.has_counted(counters).await?;
            self.log.note(ProbeKind::Dispatch, &scaled(&samples, 1e3), right);
        }
        if self.log.begins(ProbeKind::Compile) {
            let right = self.is_right(&probe_fma::OP, |case| !case.recording.stages[0].spec.f16).await?;
            let mut salted = Some(self.salted().await?);
            let samples = self.short_ms(Short::Compile, &mut salted).await?;
            let right = right && self.agrees(salted).await?;
            self.log.note(ProbeKind::Compile, &samples, right);
        }
        Ok(())
    }

    /// Whether every counter has grown with every run.
    async fn has_counted(&mut self, counters: Slice) -> Result<bool> {
        let bytes = self.executor.read(Slice { bytes: u64::from(N_COUNTERS) * 4, ..counters }).await?;
        let counts: Vec<u32> = bytemuck::pod_collect_to_vec(&bytes);
        Ok(counts.iter().all(|count| *count == self.n_runs))
    }

    /// Samples of the milliseconds that something short takes, each the mean of as many repetitions as the clock needs.
    async fn short_ms(&mut self, what: Short, salted: &mut Option<Salted>) -> Result<Vec<f64>> {
        // Every one of them passes by the host's clock, so fewer will do than for what is divided.
        let (mut n, wanted_ms) = (1, self.options.run_ms / 2.0);
        loop {
            let ms = self.repeated_ms(what, n, salted).await?;
            if ms >= wanted_ms || n >= MAX_REPEATS {
                break;
            }
            n = grown(n, ms, wanted_ms).min(MAX_REPEATS);
        }
        let mut samples = Samples::new(self.options);
        while samples.wants_more() {
            let ms = self.repeated_ms(what, n, salted).await?;
            samples.taken.push(ms / f64::from(n));
        }
        Ok(samples.taken)
    }

    async fn repeated_ms(&mut self, what: Short, n: u32, salted: &mut Option<Salted>) -> Result<f64> {
        let begin = Instant::now();
        for _ in 0..n {
            match what {
                Short::Submit(prepared) => {
                    self.run_ms(prepared, 1, Encoding::Counted).await?;
                }
                Short::Readback(slice) => {
                    self.executor.read(slice).await?;
                }
                Short::Compile => {
                    let Some(salted) = salted else { continue };
                    // Computed as well: some drivers compile no earlier.
                    let compiled = self.prepare(salted.next()).await?;
                    self.run_ms(compiled, 1, Encoding::Counted).await?;
                }
            }
        }
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        Ok(if matches!(what, Short::Compile) { self.less_overhead(ms, n) } else { ms })
    }

    async fn salted(&mut self) -> Result<Salted> {
        let mut arena = Arena::default();
        let x = arena.words("x", probe_fma::X.len() as u64, Purpose::Scratch);
        let y = arena.words("y", 64, Purpose::Scratch);
        self.executor.allocate(&arena).await?;
        self.executor.write(x, 0, bytemuck::cast_slice(&probe_fma::X));
        // Caches of compiled shaders outlive the program, so the first salt differs from run to run.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let salt = (now.as_micros() as u32) % Salted::END;
        Ok(Salted { arena, x, y, salt })
    }

    /// Whether the text compiled last came to its reference's values.
    async fn agrees(&mut self, salted: Option<Salted>) -> Result<bool> {
        let Some(salted) = salted else { return Ok(false) };
        let mut cpu = Executor::Cpu(Box::default());
        cpu.allocate(&salted.arena).await?;
        cpu.write(salted.x, 0, bytemuck::cast_slice(&probe_fma::X));
        let prepared = cpu.prepare(&salted.recording()).await?;
        cpu.run(prepared, 1).await?;
        Ok(agree(&cpu.read(salted.y).await?, &self.executor.read(salted.y).await?, 1e-5))
    }
}

impl Salted {
    /// Salts are below this.
    const END: u32 = 1 << 24;

    fn recording(&self) -> Recording {
        let mut recording = Recording::default();
        let chains = Chains { float: Float::F32, n_rounds: 1, n_threads: 64, salt: self.salt };
        record_probe_fma(&mut recording, self.x, self.y, chains);
        recording
    }

    /// A text that was never compiled before.
    fn next(&mut self) -> Recording {
        self.salt = (self.salt + 1) % Self::END;
        self.recording()
    }
}

fn scaled(samples: &[f64], by: f64) -> Vec<f64> {
    samples.iter().map(|sample| sample * by).collect()
}
