//! The order in which tests run: by rounds, in each round by tests, for each test by lanes. Two adapters that are to be
//! compared so run one right after the other, again and again, and a machine that grows warm or busy slows both.

use crate::error::{Error, Result};
use crate::measure::{Progress, Watch};
use std::ops::ControlFlow;

/// One run of one test on one lane; all three are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) round: u32,
    pub(super) test: usize,
    pub(super) lane: usize,
}

/// What takes turns.
pub(super) trait Runs {
    fn n_lanes(&self) -> usize;

    /// Whether a lane has failed.
    fn is_out(&self, lane: usize) -> bool;

    /// Keeps the error of a lane that failed.
    fn fall_out(&mut self, lane: usize, error: Error);

    /// In a few words, for the progress.
    fn describe(&self, turn: Turn) -> String;

    /// Brings the clock of a turn's adapter up, which fell while others had their turns.
    async fn warm(&mut self, turn: Turn) -> Result<()>;

    /// Takes a turn; breaks where `watch` did.
    async fn run(&mut self, turn: Turn, progress: &Progress, watch: &mut Watch<'_>) -> Result<ControlFlow<()>>;
}

/// Runs all rounds. A lane that fails takes no more turns, and the others go on; breaks where `watch` did.
pub(super) async fn run(runs: &mut impl Runs, n_rounds: u32, n_tests: usize, watch: &mut Watch<'_>) -> ControlFlow<()> {
    let n_lanes = runs.n_lanes();
    let total = u32::try_from(n_lanes * n_tests).unwrap_or(u32::MAX).saturating_mul(n_rounds);
    let mut done = 0;
    for round in 0..n_rounds {
        for test in 0..n_tests {
            for lane in 0..n_lanes {
                let turn = Turn { round, test, lane };
                let progress = Progress { what: runs.describe(turn), done, total };
                done += 1;
                if runs.is_out(lane) {
                    continue;
                }
                watch(&progress)?;
                let warmed = runs.warm(turn).await;
                let ended = match warmed {
                    Ok(()) => runs.run(turn, &progress, watch).await,
                    Err(error) => Err(error),
                };
                match ended {
                    Ok(flow) => flow?,
                    Err(error) => runs.fall_out(lane, error),
                }
            }
        }
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::settle::settle;
    use crate::measure::settle::tests::Sleepy;
    use std::collections::BTreeMap;

    /// Writes down the turns that it takes; lane `broken` fails at its turn of that number.
    #[derive(Default)]
    struct Recorder {
        turns: Vec<(u32, usize, usize)>,
        broken: Option<(usize, usize)>,
        failed: Vec<(usize, String)>,
        gpus: BTreeMap<usize, Sleepy>,
        times_ms: Vec<f64>,
    }

    impl Runs for Recorder {
        fn n_lanes(&self) -> usize {
            3
        }

        fn is_out(&self, lane: usize) -> bool {
            self.failed.iter().any(|failed| failed.0 == lane)
        }

        fn fall_out(&mut self, lane: usize, error: Error) {
            self.failed.push((lane, error.to_string()));
        }

        fn describe(&self, turn: Turn) -> String {
            format!("{turn:?}")
        }

        async fn warm(&mut self, turn: Turn) -> Result<()> {
            let gpu = self.gpus.entry(turn.lane).or_default();
            gpu.rest();
            settle(&mut async || Ok(gpu.work(2.0))).await.map(|_| ())
        }

        async fn run(&mut self, turn: Turn, _: &Progress, _: &mut Watch<'_>) -> Result<ControlFlow<()>> {
            let Turn { round, test, lane } = turn;
            self.turns.push((round, test, lane));
            self.times_ms.push(self.gpus.entry(lane).or_default().work(4.0));
            let n_turns = self.turns.iter().filter(|turn| turn.2 == lane).count();
            if self.broken == Some((lane, n_turns)) {
                return Err(Error::adapter("adapter", "the device was lost"));
            }
            Ok(ControlFlow::Continue(()))
        }
    }

    fn record(recorder: &mut Recorder, watch: &mut Watch<'_>) -> ControlFlow<()> {
        pollster::block_on(super::run(recorder, 2, 2, watch))
    }

    #[test]
    fn every_round_runs_every_test_on_every_lane_in_turn() {
        let mut recorder = Recorder::default();
        let mut done = Vec::new();
        let ended = record(&mut recorder, &mut |progress| {
            assert_eq!(progress.total, 12);
            done.push(progress.done);
            ControlFlow::Continue(())
        });
        let in_order = (0..2).flat_map(|r| (0..2).flat_map(move |t| (0..3).map(move |l| (r, t, l))));
        assert_eq!(recorder.turns, in_order.collect::<Vec<_>>());
        assert_eq!(done, (0..12).collect::<Vec<_>>());
        // Each at the full clock, though all adapters fall asleep between their turns.
        assert!(recorder.times_ms.iter().all(|ms| (ms - 4.0).abs() < 0.2), "{:?}", recorder.times_ms);
        assert!(ended.is_continue());
    }

    #[test]
    fn a_lane_that_fails_keeps_its_error_and_the_others_go_on() {
        let mut recorder = Recorder { broken: Some((1, 2)), ..Recorder::default() };
        assert!(record(&mut recorder, &mut |_| ControlFlow::Continue(())).is_continue());
        let turns_of = |lane| recorder.turns.iter().filter(|turn| turn.2 == lane).count();
        assert_eq!([turns_of(0), turns_of(1), turns_of(2)], [4, 2, 4]);
        assert_eq!(recorder.failed, [(1, "adapter: the device was lost".to_owned())]);
    }

    #[test]
    fn it_can_be_broken_off_before_any_turn() {
        let mut recorder = Recorder::default();
        let ended = record(&mut recorder, &mut |progress| match progress.done {
            5 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        assert!(ended.is_break());
        assert_eq!(recorder.turns.len(), 5);
    }
}
