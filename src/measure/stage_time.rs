//! The time of a decoded token by stages: what `--profile` shows.

use super::report::per_second;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All dispatches of one name in one decoded token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// Name, in the papers' words.
    pub name: String,
    /// How many dispatches.
    pub count: u32,
    /// Their milliseconds: medians over a few tokens, added up.
    pub ms: f64,
    /// Their share of the token.
    pub share: f64,
    /// Bytes that they must move, at most.
    pub bytes: u64,
    /// At what rate they did, in 10^9 bytes per second; absent where the bytes depend on the length of the text, since
    /// they are known for a full context only.
    pub gb_per_s: Option<f64>,
}

/// Stages that move more bytes the longer the text is.
const BY_LENGTH: [&str; 6] = ["compress", "index_compress", "index_score", "index_top_k", "attend_score", "attend"];

impl StageTime {
    /// Adds up dispatches by name, the longest first. Each dispatch is its name, milliseconds and bytes.
    pub fn by_name<'a>(dispatches: impl IntoIterator<Item = (&'a str, f64, u64)>) -> Vec<Self> {
        let mut sums: BTreeMap<&str, (u32, f64, u64)> = BTreeMap::new();
        for (name, ms, bytes) in dispatches {
            let sum = sums.entry(name).or_default();
            *sum = (sum.0 + 1, sum.1 + ms, sum.2 + bytes);
        }
        let total: f64 = sums.values().map(|sum| sum.1).sum();
        let stage = |(name, (count, ms, bytes)): (&str, (u32, f64, u64))| Self {
            name: name.to_owned(),
            count,
            ms,
            share: if total > 0.0 { ms / total } else { 0.0 },
            bytes,
            gb_per_s: (!BY_LENGTH.contains(&name)).then(|| per_second(bytes as f64 * 1e-9, ms)),
        };
        let mut stages: Vec<Self> = sums.into_iter().map(stage).collect();
        stages.sort_by(|a, b| b.ms.total_cmp(&a.ms));
        stages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_add_up_by_name_longest_first() {
        let stages = StageTime::by_name([("q", 1.0, 1_000_000), ("attend", 5.0, 0), ("q", 2.0, 2_000_000)]);
        assert_eq!(stages[0].name, "attend");
        assert_eq!((stages[1].count, stages[1].ms, stages[1].bytes), (2, 3.0, 3_000_000));
        assert!((stages[1].share - 0.375).abs() < 1e-12);
        assert!(stages[1].gb_per_s.is_some_and(|rate| (rate - 1.0).abs() < 1e-9));
        assert_eq!(stages[0].gb_per_s, None);
    }
}
