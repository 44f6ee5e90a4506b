//! Tokens predicted: the logits that a session gives after each token of a text, and how far two sessions' are apart.

use crate::engine::Session;
use crate::error::{Error, Result};
use crate::kernels;
use crate::measure::report::{NO_NUMBER, TokenCheck};
use crate::measure::spread::quantile;
use crate::measure::{Progress, Watch};

/// What the divergence from the CPU executor may be at most, in nats.
///
/// Rounding in f32 leaves 1e-12 to 1e-7 on the adapters that were measured; a choice of experts or entries that was all
/// but a tie and fell the other way moves single tokens by up to some 1e-4. Quantizing to Q8_0, which nobody calls
/// wrong, costs 2.4e-4 on average; any stage that computes something else costs 1e-2 and far more. The budgets stand in
/// the gap between.
pub const KL_MEAN_BUDGET: f64 = 1e-4;
/// The same for the worst token.
pub const KL_WORST_BUDGET: f64 = 1e-2;
/// How many times as much each may be where activations are rounded to 8 bits, which costs about what weights of 8 bits do.
const QUANTIZED: f64 = 10.0;

/// Logits after each token of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    /// `[n_tokens, n_vocab]`.
    logits: Vec<f32>,
    n_vocab: usize,
}

impl Predictions {
    /// Feeds `ids` (teacher forcing) in steps of these sizes, and token by token after them. `None` where the watch broke
    /// it off; it hears of each token after `progress`.
    ///
    /// # Errors
    /// As [`Session::logits`].
    pub async fn by(
        session: &mut Session,
        ids: &[u32],
        steps: &[u32],
        progress: &Progress,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Self>> {
        let steps: Vec<u32> = steps.iter().copied().chain(std::iter::repeat_n(1, ids.len())).collect();
        let mut found = Self { logits: Vec::new(), n_vocab: session.outline().n_vocab as usize };
        let mut stopped = false;
        let mut each = |position: usize, row: &[f32]| {
            found.logits.extend_from_slice(row);
            stopped = watch(&Progress { done: progress.done + position as u32, ..progress.clone() }).is_break();
            if stopped { Err(Error::usage("check", "broken off")) } else { Ok(()) }
        };
        match session.logits_in_steps(ids, &steps, &mut each).await {
            Err(_) if stopped => Ok(None),
            done => done.map(|()| Some(found)),
        }
    }

    /// Tokens.
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        self.logits.len().checked_div(self.n_vocab).unwrap_or(0)
    }

    /// Whether both are the same, bit for bit.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        bytemuck::cast_slice::<f32, u32>(&self.logits) == bytemuck::cast_slice::<f32, u32>(&other.logits)
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.logits.chunks_exact(self.n_vocab.max(1))
    }

    /// How far `found` is from this, token by token.
    #[must_use]
    pub fn against(&self, found: &Self) -> TokenCheck {
        let pairs = || self.rows().zip(found.rows());
        let divergences: Vec<f64> = pairs().map(|(p, q)| divergence(p, q)).collect();
        let same = pairs().filter(|(p, q)| likeliest(p).is_some_and(|id| likeliest(q) == Some(id)));
        let worst = (0..divergences.len()).max_by(|a, b| divergences[*a].total_cmp(&divergences[*b]).then(b.cmp(a)));
        let mut sorted = divergences.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let mean = divergences.iter().map(|kl| kl / divergences.len() as f64).sum::<f64>();
        TokenCheck {
            n_tokens: divergences.len() as u32,
            n_same: same.count() as u32,
            kl_mean: mean.min(NO_NUMBER),
            kl_p999: quantile(&sorted, 0.999),
            kl_max: worst.map_or(0.0, |at| divergences[at]),
            worst_position: worst.unwrap_or(0) as u32,
        }
    }
}

/// Whether tokens are predicted as the CPU executor predicts them, by a session with these variants that round. Where the
/// divergence is within its budget, another token can only be the likeliest where two are all but equally likely: one in fifty
/// may be, and one in a short text; with activations of 8 bits one in twenty.
#[must_use]
pub(super) fn is_right(tokens: &TokenCheck, rounded: &[String]) -> bool {
    let (factor, share) = if rounded.iter().any(|name| kernels::quantizes(name)) { (QUANTIZED, 20) } else { (1.0, 50) };
    let n_other = tokens.n_tokens.saturating_sub(tokens.n_same);
    tokens.n_tokens > 0
        && tokens.kl_mean <= factor * KL_MEAN_BUDGET
        && tokens.kl_max <= factor * KL_WORST_BUDGET
        && n_other <= (tokens.n_tokens / share).max(1)
}

/// Σ p (log p − log q) in nats, for logits; [`NO_NUMBER`] where a logit is none, or there is no other for it.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let finite = |row: &[f32]| row.iter().all(|logit| logit.is_finite());
    if p.len() != q.len() || !finite(p) || !finite(q) {
        return NO_NUMBER;
    }
    let (log_p, log_q) = (log_softmax(p), log_softmax(q));
    let sum: f64 = log_p.iter().zip(&log_q).map(|(p, q)| p.exp() * (p - q)).sum();
    // Rounding may leave less than nothing.
    sum.max(0.0)
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
    let total: f64 = logits.iter().map(|z| (f64::from(*z) - f64::from(greatest)).exp()).sum();
    logits.iter().map(|z| f64::from(*z) - f64::from(greatest) - total.ln()).collect()
}

/// The likeliest token, the lower of two that tie; none among logits that are no numbers.
fn likeliest(logits: &[f32]) -> Option<usize> {
    let finite = logits.iter().all(|logit| logit.is_finite());
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b]).then(b.cmp(a))).filter(|_| finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictions(logits: &[f32]) -> Predictions {
        Predictions { logits: logits.to_vec(), n_vocab: 2 }
    }

    #[test]
    fn the_divergence_of_a_coin_by_hand() {
        // p is fair, q says 3 to 1: ½ ln(½ / ¾) + ½ ln(½ / ¼) = ½ ln(4/3).
        let tokens = predictions(&[0.0, 0.0, 1.0, 0.0]).against(&predictions(&[3.0f32.ln(), 0.0, 1.0, 0.0]));
        assert!((tokens.kl_max - 0.5 * (4.0f64 / 3.0).ln()).abs() < 1e-7, "{tokens:?}");
        assert!((tokens.kl_mean - tokens.kl_max / 2.0).abs() < 1e-12);
        assert_eq!((tokens.n_tokens, tokens.n_same, tokens.worst_position), (2, 2, 0));
    }

    #[test]
    fn what_is_no_number_is_never_right() {
        let (right, quantized) = (predictions(&[1.0, 2.0, 3.0, 4.0]), ["linear_int8".to_owned()]);
        assert!(is_right(&right.against(&right), &[]));
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let found = predictions(&[1.0, 2.0, 3.0, wrong]);
            for tokens in [right.against(&found), found.against(&right), found.against(&found)] {
                assert!(
                    !is_right(&tokens, &quantized) && tokens.kl_max == NO_NUMBER && tokens.kl_mean.is_finite(),
                    "{tokens:?}"
                );
                assert_eq!(tokens.worst_position, 1);
            }
        }
        assert!(!is_right(&TokenCheck::default(), &quantized), "nothing compared is not right");
    }

    #[test]
    fn eight_bits_have_a_budget_of_their_own() {
        let tokens = TokenCheck { n_tokens: 100, n_same: 96, kl_mean: 5e-4, kl_max: 2e-2, ..TokenCheck::default() };
        let is_right = |name: &str| is_right(&tokens, &[name.to_owned()]);
        assert!(is_right("linear_int8") && is_right("experts_in_int8"));
        assert!(!is_right("linear_fixed") && !is_right("linear_shared_f16") && !is_right("no_such_variant"));
    }

    #[test]
    fn a_flipped_sign_is_not_right() {
        let right = predictions(&[1.0, 2.0, 3.0, 4.0]);
        for rounded in [vec![], vec!["linear_int8".to_owned()]] {
            assert!(!is_right(&right.against(&predictions(&[1.0, -2.0, 3.0, 4.0])), &rounded));
        }
        assert!(!right.is_same(&predictions(&[1.0, 2.0, 3.0, -4.0])));
        assert!(right.is_same(&right.clone()));
    }
}
