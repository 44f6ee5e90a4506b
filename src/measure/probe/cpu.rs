//! The limits of the CPU executor: what plain loops on one thread come to, as its references are plain loops on one thread.
//! Dispatches, submits and compiling have no meaning there.

use super::timing::{Samples, grown};
use super::{Log, Options};
use crate::measure::Watch;
use crate::measure::report::{ProbeKind, Probes};
use std::hint::black_box;
use web_time::Instant;

/// Words of a buffer past the caches of most CPUs: 64 MiB, as a browser's 32-bit memory grows and never shrinks. Not a
/// power of two, by which their sum would mostly be zeros.
const N_WORDS: usize = (16 << 20) - 1;
/// From word to word of what is read.
const WORD_STEP: u32 = 0x9e37_79b1;
/// Independent chains: what vector units hold.
const CHAINS: usize = 32;
const FACTOR: f32 = 0.875;
const ADDEND: f32 = 0.125;

/// Reading, copying and multiply-adds, by plain loops on one thread. Where `watch` breaks off, what was measured until
/// then is the result.
pub fn probe_cpu(watch: &mut Watch<'_>) -> Probes {
    let mut log = Log::new(vec![ProbeKind::Read, ProbeKind::Copy, ProbeKind::FmaF32], watch);
    if log.begins(ProbeKind::Read) {
        let words = words();
        // Σ index · c over n indices is c · n (n − 1) / 2.
        let pairs = N_WORDS as u64 * (N_WORDS as u64 - 1) / 2;
        let expected = (pairs as u32).wrapping_mul(WORD_STEP);
        let mut sum = 0;
        let ms = run_ms(|| sum = add_up(black_box(&words)));
        log.note(ProbeKind::Read, &rates(4 * N_WORDS, &ms), sum == expected);
    }
    if log.begins(ProbeKind::Copy) {
        let (words, mut copied) = (words(), vec![0; N_WORDS]);
        let ms = run_ms(|| black_box(&mut copied).copy_from_slice(black_box(&words)));
        log.note(ProbeKind::Copy, &rates(8 * N_WORDS, &ms), copied == words);
    }
    if log.begins(ProbeKind::FmaF32) {
        let n_steps = 1 << 16;
        let mut chains = [0.0; CHAINS];
        let ms = run_ms(|| chains = multiply_add(black_box([2.0; CHAINS]), black_box(FACTOR), n_steps));
        // So many steps end where value · factor + addend is the value.
        let right = chains.iter().all(|value| (value - ADDEND / (1.0 - FACTOR)).abs() < 1e-5);
        log.note(ProbeKind::FmaF32, &rates(2 * CHAINS * n_steps, &ms), right);
    }
    log.finish()
}

fn words() -> Vec<u32> {
    (0..N_WORDS as u32).map(|index| index.wrapping_mul(WORD_STEP)).collect()
}

fn add_up(words: &[u32]) -> u32 {
    words.iter().fold(0, |sum, word| sum.wrapping_add(*word))
}

/// Multiplied and added apart, as the references do: without a compiler's leave to use the one instruction for both, a
/// fused one is a call of a library.
fn multiply_add(mut chains: [f32; CHAINS], factor: f32, n_steps: usize) -> [f32; CHAINS] {
    for _ in 0..n_steps {
        chains = chains.map(|value| value * factor + ADDEND);
    }
    chains
}

/// Samples of the milliseconds that a run takes.
fn run_ms(mut run: impl FnMut()) -> Vec<f64> {
    let options = Options::default();
    let mut run_ms = |n: u32| {
        let begin = Instant::now();
        (0..n).for_each(|_| run());
        begin.elapsed().as_secs_f64() * 1e3
    };
    let mut n = 1;
    loop {
        let ms = run_ms(n);
        if ms >= options.run_ms {
            break;
        }
        n = grown(n, ms, options.run_ms);
    }
    let mut samples = Samples::new(&options);
    while samples.wants_more() {
        samples.taken.push(run_ms(n) / f64::from(n));
    }
    samples.taken
}

/// Times as 10^9 of `amount` per second.
fn rates(amount: usize, samples_ms: &[f64]) -> Vec<f64> {
    samples_ms.iter().map(|ms| amount as f64 * 1e-6 / ms).collect()
}
