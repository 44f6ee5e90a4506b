//! The time of a step by stages: what `--profile` shows.

use super::report::{Probes, Share, per_second};
use crate::format::sorted::{falling, sort};
use crate::gpu::recording::Cost;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All dispatches of one name in one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageTime {
    /// Name, in the papers' words.
    pub name: String,
    /// How many dispatches.
    pub count: u32,
    /// Their milliseconds: medians over a few steps, added up.
    pub ms: f64,
    /// Their share of the step.
    pub share: f64,
    /// Bytes that they must move at this length of the text.
    pub bytes: u64,
    /// Operations that they must do.
    pub ops: u64,
    /// At what rate the bytes moved, in 10^9 per second.
    pub gb_per_s: f64,
    /// How near that is to what the adapter can do; absent without probes.
    pub of_limit: Option<Share>,
}

impl StageTime {
    /// Adds up dispatches by name, the longest first. Each dispatch is its name, milliseconds and work.
    pub fn by_name<'a>(dispatches: impl IntoIterator<Item = (&'a str, f64, Cost)>, probes: &Probes) -> Vec<Self> {
        let mut sums: BTreeMap<&str, (u32, f64, Cost)> = BTreeMap::new();
        for (name, ms, work) in dispatches {
            let sum = sums.entry(name).or_default();
            let cost = Cost { bytes: sum.2.bytes + work.bytes, ops: sum.2.ops + work.ops };
            *sum = (sum.0 + 1, sum.1 + ms, cost);
        }
        let total: f64 = sums.values().map(|sum| sum.1).sum();
        let stage = |(name, (count, ms, work)): (&str, (u32, f64, Cost))| Self {
            name: name.to_owned(),
            count,
            ms,
            share: if total > 0.0 { ms / total } else { 0.0 },
            bytes: work.bytes,
            ops: work.ops,
            gb_per_s: per_second(work.bytes as f64 * 1e-9, ms),
            of_limit: Share::of(work, ms, probes),
        };
        let mut stages: Vec<Self> = sums.into_iter().map(stage).collect();
        sort(&mut stages, |stage: &Self| falling(stage.ms));
        stages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_add_up_by_name_longest_first() {
        let work = |bytes| Cost { bytes, ops: 2 * bytes };
        let dispatches = [("q", 1.0, work(1_000_000)), ("attend", 5.0, work(0)), ("q", 2.0, work(2_000_000))];
        let stages = StageTime::by_name(dispatches, &Probes::default());
        assert_eq!(stages[0].name, "attend");
        assert_eq!((stages[1].count, stages[1].ms, stages[1].bytes, stages[1].ops), (2, 3.0, 3_000_000, 6_000_000));
        assert!((stages[1].share - 0.375).abs() < 1e-12);
        assert!((stages[1].gb_per_s - 1.0).abs() < 1e-9);
        assert_eq!(stages[1].of_limit, None);
    }
}
