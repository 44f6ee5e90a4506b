//! What the tests of whole models share: fixtures, the places to run, and how far two distributions are apart.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]
#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::PathBuf;
use std::rc::Rc;

use headstart::engine::PlayerChoice;
use headstart::format::{Memory, Source};
use headstart::gpu::Adapter;

/// The path of a fixture.
pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A fixture as a source.
pub(crate) fn memory(name: &str) -> Rc<dyn Source> {
    Rc::new(Memory::new(name, std::fs::read(fixture(name)).unwrap()))
}

/// Every place to run, by name: the CPU player and each adapter.
pub(crate) fn places() -> Vec<(String, PlayerChoice)> {
    let mut places = vec![("CPU player".to_owned(), PlayerChoice::Cpu)];
    for adapter in pollster::block_on(Adapter::all()) {
        places.push((format!("{} ({})", adapter.identity.name, adapter.identity.backend), PlayerChoice::Gpu(adapter)));
    }
    places
}

/// Natural logarithms of the probabilities.
pub(crate) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
    let total: f64 = logits.iter().map(|z| f64::from(z - greatest).exp()).sum();
    logits.iter().map(|z| f64::from(z - greatest) - total.ln()).collect()
}

/// Kullback-Leibler divergence in nats: Σ p (log p − log q).
pub(crate) fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum()
}

/// Mean and standard deviation.
pub(crate) fn spread(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / n;
    let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}
