//! The timings of one text that was written.

use super::per_second;
use crate::engine::{Sampling, Timings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One text: how it was asked for, and what it took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TextTimes {
    /// How its tokens were chosen.
    pub sampling: SamplingSettings,
    /// The prompt.
    pub prefill: Prefill,
    /// From the begin of the prompt to the first token of the answer, in milliseconds; absent if none came.
    pub first_token_ms: Option<f64>,
    /// The tokens after the first; absent if there were none.
    pub decode: Option<Decode>,
}

impl TextTimes {
    /// Of what the engine timed; `on_cpu` where the CPU executor wrote it.
    #[must_use]
    pub fn new(sampling: SamplingSettings, timings: &Timings, on_cpu: bool) -> Self {
        Self {
            sampling,
            prefill: Prefill::new(timings.n_prompt - timings.n_known.min(timings.n_prompt), timings.prefill_ms),
            first_token_ms: (timings.first_token_ms > 0.0).then_some(timings.first_token_ms),
            decode: Decode::new(timings, on_cpu),
        }
    }
}

/// How tokens were chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SamplingSettings {
    /// Tokens asked for.
    pub n_predict: u32,
    /// 0: always the likeliest token.
    pub temperature: f32,
    /// Among the likeliest this many; 0: all.
    pub top_k: u32,
    /// Among the likeliest that have this probability together; 1: all.
    pub top_p: f32,
    /// Among those with at least this share of the likeliest's probability; 0: all.
    pub min_p: f32,
    /// Divides the logits of tokens written before; 1: none.
    pub repeat_penalty: f32,
    /// Among this many of the last tokens.
    pub repeat_window: u32,
    /// The begin of the random numbers.
    pub seed: u32,
}

impl SamplingSettings {
    /// Of a request.
    #[must_use]
    pub fn new(sampling: &Sampling, n_predict: u32) -> Self {
        Self {
            n_predict,
            temperature: sampling.temperature,
            top_k: sampling.top_k,
            top_p: sampling.top_p,
            min_p: sampling.min_p,
            repeat_penalty: sampling.repeat_penalty,
            repeat_window: sampling.repeat_window,
            seed: sampling.seed,
        }
    }
}

/// The prompt's way through the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prefill {
    /// Tokens.
    pub n_tokens: u32,
    /// Milliseconds for all.
    pub ms: f64,
    /// Tokens per second.
    pub tokens_per_s: f64,
}

impl Prefill {
    /// Of so many tokens in so many milliseconds.
    #[must_use]
    pub fn new(n_tokens: u32, ms: f64) -> Self {
        Self { n_tokens, ms, tokens_per_s: per_second(f64::from(n_tokens), ms) }
    }
}

/// Token by token, after the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decode {
    /// Tokens timed.
    pub n_tokens: u32,
    /// Tokens per second, at the median time of one.
    pub tokens_per_s: f64,
    /// Milliseconds per token: the median over submits.
    pub median_ms: f64,
    /// A tenth of the submits took less per token.
    pub p10_ms: f64,
    /// A tenth of the submits took more per token.
    pub p90_ms: f64,
    /// Time that the CPU spent encoding passes (submitting left out), as a share of the whole; absent where the CPU does it all.
    pub encode_share: Option<f64>,
}

impl Decode {
    /// From what the engine timed; `None` without tokens. Tokens come in submits of several, so the spread is that of
    /// the submits' means.
    #[must_use]
    pub fn new(timings: &Timings, on_cpu: bool) -> Option<Self> {
        let mut sorted = timings.token_ms.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| sorted.get((share * (sorted.len().saturating_sub(1)) as f64).round() as usize).copied();
        let median_ms = at(0.5)?;
        Some(Self {
            n_tokens: timings.n_decoded,
            tokens_per_s: per_second(1.0, median_ms),
            median_ms,
            p10_ms: at(0.1)?,
            p90_ms: at(0.9)?,
            encode_share: (!on_cpu).then_some(timings.encode_ms / timings.decode_ms.max(f64::MIN_POSITIVE)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_decode_is_that_of_its_submits() {
        let token_ms: Vec<f64> = (1..=101).rev().map(f64::from).collect();
        let timings = Timings { n_decoded: 101, decode_ms: 5151.0, token_ms, encode_ms: 515.1, ..Timings::default() };
        let decode = Decode::new(&timings, false).expect("tokens");
        assert_eq!((decode.p10_ms, decode.median_ms, decode.p90_ms), (11.0, 51.0, 91.0));
        assert_eq!(decode.tokens_per_s, 1000.0 / 51.0);
        assert!(decode.encode_share.is_some_and(|share| (share - 0.1).abs() < 1e-12));
        assert_eq!(Decode::new(&timings, true).expect("tokens").encode_share, None);
        assert_eq!(Decode::new(&Timings::default(), false), None);
    }
}
