//! How well a model predicts tokens: the negative logarithm of the probability that it gave to each next one.

/// The sum over scored tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Tokens scored.
    pub n_tokens: u64,
    /// Their negative log-probabilities, natural, added up.
    pub nats: f64,
}

impl Score {
    /// Scores the token that came after `logits`, `[n_vocab]`. An id beyond them counts as never predicted.
    pub fn add(&mut self, logits: &[f32], next: u32) {
        let highest = logits.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
        let logit = logits.get(next as usize).map_or(f64::NEG_INFINITY, |&logit| f64::from(logit));
        self.n_tokens += 1;
        self.nats += sum.ln() + f64::from(highest) - logit;
    }

    /// Nats per token; `None` where nothing was scored.
    #[must_use]
    pub fn nats_per_token(&self) -> Option<f64> {
        (self.n_tokens > 0).then(|| self.nats / self.n_tokens as f64)
    }

    /// The number of equally likely tokens that would be as hard to choose from.
    #[must_use]
    pub fn perplexity(&self) -> Option<f64> {
        self.nats_per_token().map(f64::exp)
    }

    /// Bits per byte, if the scored tokens spell `n_bytes`.
    #[must_use]
    pub fn bits_per_byte(&self, n_bytes: u64) -> Option<f64> {
        (self.n_tokens > 0 && n_bytes > 0).then(|| self.nats / std::f64::consts::LN_2 / n_bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_are_as_hard_as_their_number() {
        let mut score = Score::default();
        assert_eq!((score.perplexity(), score.bits_per_byte(3)), (None, None));
        score.add(&[1000.0; 8], 3);
        score.add(&[-1000.0; 8], 0);
        assert!(score.perplexity().is_some_and(|perplexity| (perplexity - 8.0).abs() < 1e-9));
        assert!(score.bits_per_byte(2).is_some_and(|bits| (bits - 3.0).abs() < 1e-9));
        score.add(&[0.0; 8], 8);
        assert_eq!(score.perplexity(), Some(f64::INFINITY));
    }

    #[test]
    fn a_logit_that_is_no_number_makes_a_score_that_is_none() {
        let mut score = Score::default();
        score.add(&[0.0, f32::NAN], 0);
        assert!(score.nats.is_nan());
    }
}
