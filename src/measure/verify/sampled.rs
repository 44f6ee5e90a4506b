//! The check for a model of any size: results of every dispatch, drawn at random, against the references.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::engine::check::lockstep::{Head, LockstepStep, SampledStage, sampled};
use crate::engine::{ExecutorChoice, Session};
use crate::error::{Error, Result};
use crate::format::random::hash;
use crate::measure::report::{Check, SampledCheck};
use crate::measure::{Progress, Watch};

use super::of_session;
use super::stages::note;
use super::verdict::conclude;

/// Tokens of the first step: enough for tiles, and fewer than the largest step takes.
const N_FIRST: u32 = 24;
/// Tokens of the second step at least: it takes the recording of the largest steps.
const LEAST_SECOND: u32 = 40;
/// Tokens that are computed one by one, as decode does.
const N_DECODED: u32 = 2;
/// Operations that the second step may ask of an adapter: some seconds. Its size is no matter of time, so that the same
/// check is the same again.
const MOST_OPS: u64 = 20_000_000_000_000;
/// The same on an adapter that is a program on the CPU.
const MOST_OPS_IN_SOFTWARE: u64 = 20_000_000_000;

/// Checks a model of any size, over `ids` (see [`built_in_ids`](super::built_in_ids)): in a small and a large step of a
/// prompt and two of decode, results of every dispatch are drawn by `seed`, computed by the kernel's reference from what
/// the adapter holds, and compared. What was compared before the watch broke it off is kept; the verdict is then
/// [`Verdict::Unknown`](crate::measure::report::Verdict), unless something was wrong. The session's state is lost by it.
///
/// # Errors
/// When the session is on the CPU executor, which runs the references itself; when an id is unknown, or the adapter fails.
pub async fn check_sampled(session: &mut Session, ids: &[u32], seed: u32, watch: &mut Watch<'_>) -> Result<Check> {
    let ExecutorChoice::Gpu(adapter) = session.choice() else {
        return Err(Error::usage("check", "the CPU executor").expected("an adapter to hold against the references"));
    };
    let most_ops = if adapter.caps.is_software { MOST_OPS_IN_SOFTWARE } else { MOST_OPS };
    let steps = steps(ids.len() as u32, session.n_chunk(), largest(session, most_ops));
    let mut check = of_session(session);
    let mut tally = Tally::default();
    let mut each = |stage: &SampledStage, done: u32, total: u32| {
        note(&mut check, &stage.deviation);
        tally.add(stage);
        watch(&Progress { what: format!("stage {}", stage.deviation.stage), done, total })
    };
    let flow = sampled(session, ids, &steps, seed, &mut each).await?;
    check.sampled = Some(tally.sum(seed));
    conclude(&mut check, flow == ControlFlow::Continue(()));
    Ok(check)
}

/// A seed by the clock, so that repeated checks draw other results.
#[must_use]
pub fn any_seed() -> u32 {
    let now = web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).unwrap_or_default();
    hash(now.as_secs() as u32, now.subsec_nanos())
}

/// Tokens of a step that stays within so many operations.
fn largest(session: &Session, most_ops: u64) -> u32 {
    let per_token = session.work_of_prompt(0, LEAST_SECOND).ops / u64::from(LEAST_SECOND);
    u32::try_from(most_ops / per_token.max(1)).unwrap_or(u32::MAX).max(LEAST_SECOND)
}

/// A small step, a large one of at most `largest` tokens, and some of one, over at most `n` tokens.
fn steps(n: u32, n_chunk: u32, largest: u32) -> Vec<LockstepStep> {
    let step = |position, n_tokens| LockstepStep { position, n_tokens, head: Head::Last };
    let n_decoded = N_DECODED.min(n.saturating_sub(1));
    let first = N_FIRST.min(n - n_decoded).min(n_chunk);
    let second = (n - n_decoded - first).min(n_chunk).min(largest);
    let mut steps = vec![step(0, first)];
    steps.extend((second > 0).then(|| step(first, second)));
    steps.extend((0..n_decoded).map(|token| step(first + second + token, 1)));
    steps
}

/// What was compared so far.
#[derive(Default)]
struct Tally {
    check: SampledCheck,
    seen: BTreeSet<&'static str>,
    compared: BTreeSet<&'static str>,
}

impl Tally {
    fn add(&mut self, SampledStage { deviation, n_drawn }: &SampledStage) {
        self.seen.insert(deviation.stage);
        if deviation.n_words == 0 {
            return;
        }
        self.compared.insert(deviation.stage);
        self.check.n_results += deviation.n_words as u64;
        self.check.n_dispatches += 1;
        self.check.fewest_rows = [self.check.fewest_rows, *n_drawn].into_iter().flatten().min();
    }

    fn sum(self, seed: u32) -> SampledCheck {
        let idle = self.seen.difference(&self.compared).map(|stage| (*stage).to_owned()).collect();
        let missed = self.check.fewest_rows.map_or(0.0, |n| 0.99_f64.powf(f64::from(n)));
        SampledCheck { missed, idle, seed, ..self.check }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_a_small_one_a_large_one_and_decode() {
        let sizes = |n, n_chunk, largest| -> Vec<(u32, u32)> {
            steps(n, n_chunk, largest).iter().map(|step| (step.position, step.n_tokens)).collect()
        };
        assert_eq!(sizes(200, 256, 1000), [(0, 24), (24, 174), (198, 1), (199, 1)]);
        assert_eq!(sizes(200, 256, 40), [(0, 24), (24, 40), (64, 1), (65, 1)]);
        assert_eq!(sizes(200, 16, 40), [(0, 16), (16, 16), (32, 1), (33, 1)]);
        assert_eq!(sizes(3, 256, 40), [(0, 1), (1, 1), (2, 1)]);
        assert_eq!(sizes(1, 256, 40), [(0, 1)]);
    }

    #[test]
    fn a_tally_says_what_can_be_missed_and_what_had_nothing_to_do() {
        let stage = |stage, n_words, n_drawn| SampledStage {
            deviation: crate::engine::check::lockstep::StageDeviation {
                stage,
                layer: None,
                position: 0,
                n_words,
                error: 0.0,
                budget: 1e-4,
            },
            n_drawn,
        };
        let mut tally = Tally::default();
        let stages = [("q", 512, Some(64)), ("q", 256, Some(256)), ("norm", 90, None), ("index_score", 0, None)];
        stages.into_iter().for_each(|(name, n_words, n_drawn)| tally.add(&stage(name, n_words, n_drawn)));
        let sum = tally.sum(7);
        assert_eq!((sum.n_results, sum.n_dispatches, sum.fewest_rows, sum.seed), (858, 3, Some(64), 7));
        assert_eq!(sum.idle, ["index_score"]);
        assert!((sum.missed - 0.5256).abs() < 1e-4, "{}", sum.missed);
        assert_eq!(Tally::default().sum(0).missed, 0.0);
    }
}
