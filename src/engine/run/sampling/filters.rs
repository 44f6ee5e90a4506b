//! Filters that depend on the logits alone.
//!
//! - top-n-sigma: Tang et al., "Top-nσ: Not All Logits Are You Need", <https://arxiv.org/abs/2411.07641>;
//! - typical: Meister et al., "Locally Typical Sampling", <https://arxiv.org/abs/2202.00666>;
//! - top-p: Holtzman et al., "The Curious Case of Neural Text Degeneration", <https://arxiv.org/abs/1904.09751>;
//! - min-p: Nguyen et al., "Turning Up the Heat", <https://arxiv.org/abs/2407.01082>.
//!
//! Which side of a limit a token falls on is as in llama.cpp's `llama-sampler.cpp`.

use super::candidates::Candidates;

/// The logit below which top-n-sigma leaves tokens out: `n` standard deviations under the greatest, over all logits that
/// are finite.
pub(super) fn sigma_limit(logits: &[f32], n: f32) -> f32 {
    let finite = || logits.iter().copied().filter(|logit| logit.is_finite());
    let count = finite().count().max(1) as f64;
    let mean = finite().map(f64::from).sum::<f64>() / count;
    let variance = finite().map(|logit| (f64::from(logit) - mean).powi(2)).sum::<f64>() / count;
    let greatest = finite().fold(f32::MIN, f32::max);
    (f64::from(greatest) - f64::from(n) * variance.sqrt()) as f32
}

/// Keeps the tokens whose information, `-ln p`, is nearest to the expected one, until they are likelier than `p` together.
pub(super) fn typical(candidates: &mut Candidates, p: f32) {
    if p >= 1.0 {
        return;
    }
    let probabilities = candidates.probabilities(1.0);
    let information = |p: f64| -p.max(f64::MIN_POSITIVE).ln();
    let entropy: f64 = probabilities.iter().map(|&p| p * information(p)).sum();
    let distance = |place: usize| (information(probabilities[place]) - entropy).abs();
    let mut places: Vec<usize> = (0..probabilities.len()).collect();
    places.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
    let mut sum = 0.0;
    let passes = |place: &usize| {
        sum += probabilities[*place];
        sum > f64::from(p)
    };
    let last = places.iter().position(passes).unwrap_or(places.len() - 1);
    places.truncate(last + 1);
    candidates.keep_places(places);
}

/// Keeps the likeliest tokens that reach the probability `p` together.
pub(super) fn top_p(candidates: &mut Candidates, p: f32) {
    if p >= 1.0 {
        return;
    }
    let mut sum = 0.0;
    let reaches = |share: f64| {
        sum += share;
        sum >= f64::from(p)
    };
    if let Some(last) = candidates.probabilities(1.0).into_iter().position(reaches) {
        candidates.keep_first(last + 1);
    }
}

/// Keeps the tokens that are at least `p` times as likely as the likeliest.
pub(super) fn min_p(candidates: &mut Candidates, p: f32) {
    if p > 0.0 {
        let least = candidates.greatest() + p.min(1.0).ln();
        candidates.keep_first(candidates.as_slice().partition_point(|it| it.logit >= least));
    }
}
