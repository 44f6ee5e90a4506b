//! Repeated tests of speed, named as llama-bench names them, and the time of each stage.

use super::{ProbeKind, Probes};
use crate::gpu::recording::Cost;
use crate::measure::{Spread, StageTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One test of speed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Test {
    /// Tokens of a prompt that were computed together; 0 for none.
    pub n_prompt: u32,
    /// Tokens that were written one after the other; 0 for none.
    pub n_gen: u32,
    /// Tokens that stood before them.
    pub depth: u32,
    /// Tokens per second, over the repetitions.
    pub tokens_per_s: Spread,
    /// Milliseconds per token, the median over the repetitions.
    pub ms_per_token: f64,
    /// From the begin of a repetition to its first new token, in milliseconds; absent where none was written.
    pub first_token_ms: Option<f64>,
    /// Milliseconds of a repetition until its prompt (or the token that writing begins with) was computed, the median.
    #[serde(default)]
    pub prefill_ms: f64,
    /// Milliseconds of a repetition from its first new token to its last, the median; 0 where none was written.
    #[serde(default)]
    pub decode_ms: f64,
    /// Bytes that one token must move, on average over the test, and operations that it must do.
    pub bytes_per_token: u64,
    /// See `bytes_per_token`.
    pub ops_per_token: u64,
    /// At what rate the bytes moved, in 10^9 per second.
    pub gb_per_s: f64,
    /// How near that is to what the adapter can do; absent without probes.
    pub share: Option<Share>,
    /// Of the milliseconds per token those that reading its bytes takes at the measured read, at most all: a model that
    /// lies in a cache is read faster. Absent without that probe, and where a prompt is computed too.
    #[serde(default)]
    pub streaming_ms: Option<f64>,
    /// The other milliseconds per token: computing, dispatches that wait for each other, submits.
    #[serde(default)]
    pub rest_ms: Option<f64>,
}

/// A share of a measured limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// Of which limit: the one that is nearer.
    pub of: ProbeKind,
    /// The share, 1 for all of it.
    pub share: f64,
}

impl Share {
    /// Of work that took so many milliseconds: whichever is the greater of bytes over the read probe and operations
    /// over the FMA probe.
    #[must_use]
    pub fn of(work: Cost, ms: f64, probes: &Probes) -> Option<Self> {
        let share = |amount: u64, of: ProbeKind| {
            let limit = probes.limit(of)?;
            let rate = super::per_second(amount as f64 * 1e-9, ms);
            Some(Self { of, share: rate / limit })
        };
        let shares = [share(work.bytes, ProbeKind::Read), share(work.ops, ProbeKind::FmaF32)];
        shares.into_iter().flatten().max_by(|a, b| a.share.total_cmp(&b.share)).filter(|_| ms > 0.0)
    }
}

impl Test {
    /// With the time of a token told apart by what the adapter reads at best.
    #[must_use]
    pub fn told_apart(self, probes: &Probes) -> Self {
        let read = probes.limit(ProbeKind::Read).filter(|read| *read > 0.0 && self.n_prompt == 0 && self.n_gen > 0);
        let streaming_ms = read.map(|read| (self.bytes_per_token as f64 * 1e-6 / read).min(self.ms_per_token));
        Self { streaming_ms, rest_ms: streaming_ms.map(|ms| self.ms_per_token - ms), ..self }
    }

    /// As llama-bench names it: `pp512`, `tg128`, `pp512+tg128`, each with `@ d4096` where tokens stood before.
    #[must_use]
    pub fn name(&self) -> String {
        let parts = [("pp", self.n_prompt), ("tg", self.n_gen)];
        let parts: Vec<String> = parts.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{what}{n}")).collect();
        let depth = if self.depth > 0 { format!(" @ d{}", self.depth) } else { String::new() };
        parts.join("+") + &depth
    }
}

/// The time of each stage of one step, by the adapter's own clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// Tokens of the step: 1 for decode.
    pub n_tokens: u32,
    /// Tokens that stood before.
    pub depth: u32,
    /// Stages of the whole step, the longest first.
    pub stages: Vec<StageTime>,
    /// The same for each kind of layer.
    pub layers: Vec<LayerTimes>,
}

/// The stages of all layers of a kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerTimes {
    /// The kind: `ratio 4`.
    pub kind: String,
    /// How many layers there are of it.
    pub n_layers: u32,
    /// Milliseconds of one of them, on average.
    pub ms_per_layer: f64,
    /// Their stages, all layers of the kind together, the longest first.
    pub stages: Vec<StageTime>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::report::Probe;

    #[test]
    fn tests_are_named_as_llama_bench_names_them() {
        let name = |n_prompt, n_gen, depth| Test { n_prompt, n_gen, depth, ..Test::default() }.name();
        assert_eq!(name(512, 0, 0), "pp512");
        assert_eq!(name(0, 128, 4096), "tg128 @ d4096");
        assert_eq!(name(512, 128, 0), "pp512+tg128");
    }

    #[test]
    fn a_token_is_streaming_and_the_rest() {
        let value = Spread { n: 1, median: 100.0, ..Spread::default() };
        let probes = Probes(vec![Probe { kind: ProbeKind::Read, value, right: true }]);
        let test = Test { n_gen: 8, ms_per_token: 2.0, bytes_per_token: 50_000_000, ..Test::default() };
        let apart = test.clone().told_apart(&probes);
        assert_eq!((apart.streaming_ms, apart.rest_ms), (Some(0.5), Some(1.5)));
        let cached = Test { bytes_per_token: 900_000_000, ..test.clone() }.told_apart(&probes);
        assert_eq!((cached.streaming_ms, cached.rest_ms), (Some(2.0), Some(0.0)));
        for test in [Test { n_prompt: 4, ..test.clone() }, Test { n_gen: 0, n_prompt: 4, ..test.clone() }] {
            assert_eq!(test.told_apart(&probes).streaming_ms, None);
        }
        assert_eq!(test.told_apart(&Probes::default()).rest_ms, None);
    }

    #[test]
    fn the_share_is_that_of_the_nearer_limit() {
        let probe = |kind, median| Probe { kind, value: Spread { n: 1, median, ..Spread::default() }, right: true };
        let mut probes = Probes(vec![probe(ProbeKind::Read, 100.0), probe(ProbeKind::FmaF32, 1000.0)]);
        let share = |bytes, ops, probes: &Probes| Share::of(Cost { bytes, ops }, 1.0, probes).map(|s| (s.of, s.share));
        // 50 MB in a millisecond are 50 GB/s; 100 Mop are 100 Gop/s.
        assert_eq!(share(50_000_000, 100_000_000, &probes), Some((ProbeKind::Read, 0.5)));
        assert_eq!(share(1_000_000, 900_000_000, &probes), Some((ProbeKind::FmaF32, 0.9)));
        probes.0[0].right = false;
        assert_eq!(share(50_000_000, 100_000_000, &probes), Some((ProbeKind::FmaF32, 0.1)));
        assert_eq!(share(1, 1, &Probes::default()), None);
    }
}
