//! How many operations an adapter does in a second: multiply-adds in f32 and f16, dot products of packed bytes.

use super::Prober;
use super::check::agree;
use super::timing::{Encoding, grown};
use crate::error::Result;
use crate::gpu::adapter::is_software;
use crate::gpu::executor::Prepared;
use crate::gpu::{Adapter, Arena, Case, Executor, Op, Purpose, Recording, Slice};
use crate::kernels::probe_dot::{self, record_probe_dot};
use crate::kernels::probe_fma::{self, Chains, Float, record_probe_fma};
use crate::measure::report::ProbeKind;

/// Dispatches in a timed run, at the least: so long is each that its begin and end do not matter, and none so long that a
/// watchdog ends it.
const DISPATCHES: f64 = 5.0;
/// Rounds of a thread at most.
const MAX_ROUNDS: u32 = 1 << 20;
/// Threads whose results are compared after the timing, over all their rounds.
const N_COMPARED: u32 = 8;

/// A kernel of chains, and how it is recorded.
struct Arithmetic {
    kind: ProbeKind,
    kernel: &'static Op,
    cases: fn(&Case) -> bool,
    /// What `x` holds.
    x: &'static [u8],
    /// Largest difference from the reference relative to `1 + |reference|`.
    tolerance: f32,
    /// With `x` and `y`, for so many rounds and threads.
    record: fn(&mut Recording, Slice, Slice, u32, u32),
}

impl Prober<'_, '_> {
    /// f32, f16, packed bytes, as far as the adapter has them.
    pub(super) async fn arithmetic(&mut self) -> Result<()> {
        let fma = |kind, float| Arithmetic {
            kind,
            kernel: &probe_fma::OP,
            cases: if float == Float::F16 { is_f16 } else { is_not_f16 },
            x: bytemuck::cast_slice(&probe_fma::X),
            tolerance: if float == Float::F16 { 5e-3 } else { 1e-5 },
            record: if float == Float::F16 { record_f16 } else { record_f32 },
        };
        let dot = Arithmetic {
            kind: ProbeKind::DotI8,
            kernel: &probe_dot::OP,
            cases: |_| true,
            x: bytemuck::cast_slice(&probe_dot::X),
            tolerance: 0.0,
            record: record_probe_dot,
        };
        for chains in [fma(ProbeKind::FmaF32, Float::F32), fma(ProbeKind::FmaF16, Float::F16), dot] {
            if self.log.begins(chains.kind) {
                self.operations(&chains).await?;
            }
        }
        Ok(())
    }

    async fn operations(&mut self, chains: &Arithmetic) -> Result<()> {
        let right = self.is_right(chains.kernel, chains.cases).await?;
        let n_threads = n_threads(self.adapter);
        let (arena, x, y) = buffers(n_threads);
        self.executor.allocate(&arena).await?;
        self.executor.write(x, 0, chains.x);
        let (prepared, n_rounds) = self.long_enough(chains, x, y, n_threads).await?;
        let samples = self.sample_ms(prepared, Encoding::LeftOut).await?;
        let expected = self.expected(chains, n_rounds).await?;
        let found = self.executor.read(Slice { bytes: u64::from(N_COMPARED) * 4, ..y }).await?;
        let right = right && agree(&expected, &found, chains.tolerance);
        let ops = chains.recording(x, y, n_rounds, n_threads).stages[0].cost.ops;
        let rates: Vec<f64> = samples.iter().map(|ms| ops as f64 * 1e-6 / ms).collect();
        self.log.note(chains.kind, &rates, right);
        Ok(())
    }

    /// A dispatch of enough rounds to take long enough, and how many those are.
    async fn long_enough(
        &mut self,
        chains: &Arithmetic,
        x: Slice,
        y: Slice,
        n_threads: u32,
    ) -> Result<(Prepared, u32)> {
        let (mut n_rounds, wanted_ms) = (4, self.wanted_ms() / DISPATCHES);
        loop {
            let prepared = self.prepare(chains.recording(x, y, n_rounds, n_threads)).await?;
            // Once for the compiler.
            self.run_ms(prepared, 1, Encoding::LeftOut).await?;
            let ms = self.run_ms(prepared, 1, Encoding::LeftOut).await?;
            let ms = self.less_overhead(ms, 1);
            if ms >= wanted_ms || n_rounds >= MAX_ROUNDS {
                return Ok((prepared, n_rounds));
            }
            n_rounds = grown(n_rounds, ms, wanted_ms).min(MAX_ROUNDS);
        }
    }

    /// What the first threads should come to.
    async fn expected(&self, chains: &Arithmetic, n_rounds: u32) -> Result<Vec<u8>> {
        let mut cpu = Executor::Cpu(Box::default());
        let (arena, x, y) = buffers(N_COMPARED);
        cpu.allocate(&arena).await?;
        cpu.write(x, 0, chains.x);
        let prepared = cpu.prepare(&chains.recording(x, y, n_rounds, N_COMPARED)).await?;
        cpu.run(prepared, 1).await?;
        cpu.read(Slice { bytes: u64::from(N_COMPARED) * 4, ..y }).await
    }
}

impl Arithmetic {
    fn recording(&self, x: Slice, y: Slice, n_rounds: u32, n_threads: u32) -> Recording {
        let mut recording = Recording::default();
        (self.record)(&mut recording, x, y, n_rounds, n_threads);
        recording
    }
}

/// Several times as many threads as the largest GPUs hold at once, so that few wait at the end for the last; a program
/// on the CPU needs only a few for each core.
fn n_threads(adapter: &Adapter) -> u32 {
    if is_software(&adapter.identity) { 1 << 12 } else { 1 << 20 }
}

/// `x` and `y`.
fn buffers(n_threads: u32) -> (Arena, Slice, Slice) {
    let mut arena = Arena::default();
    let x = arena.words("x", 10, Purpose::Scratch);
    let y = arena.words("y", n_threads.into(), Purpose::Scratch);
    (arena, x, y)
}

fn is_f16(case: &Case) -> bool {
    case.recording.stages.iter().any(|stage| stage.spec.f16)
}

fn is_not_f16(case: &Case) -> bool {
    !is_f16(case)
}

fn record_f32(recording: &mut Recording, x: Slice, y: Slice, n_rounds: u32, n_threads: u32) {
    record_probe_fma(recording, x, y, Chains { float: Float::F32, n_rounds, n_threads, salt: 0 });
}

fn record_f16(recording: &mut Recording, x: Slice, y: Slice, n_rounds: u32, n_threads: u32) {
    record_probe_fma(recording, x, y, Chains { float: Float::F16, n_rounds, n_threads, salt: 0 });
}
