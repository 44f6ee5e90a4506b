//! The search for the fastest choice: candidates along the axes of their space, each held against what is right before it
//! is timed, timed by turns with the best so far, and dropped once it is hopeless. It knows neither stages nor adapters.

use crate::error::Result;
use crate::gpu::space::{Space, product};
use crate::gpu::{Choice, Config};
use crate::measure::spread::median;
use std::collections::{BTreeMap, BTreeSet};

/// A candidate this many times as slow as the fastest is timed no more.
const HOPELESS: f64 = 1.5;
/// A candidate replaces the guess only if its time is at most this share of the guess's.
pub(super) const WORTH: f64 = 0.97;
/// How often candidates are timed by turns.
const N_ROUNDS: usize = 3;
/// How often the last ones are.
const N_LAST_ROUNDS: usize = 7;
/// Candidates that are timed by turns at once where every combination is tried.
const N_TOGETHER: usize = 8;

/// What can be tried.
pub(super) trait Track {
    /// What a choice comes to: two of the same are one candidate.
    fn essence(&self, choice: &Choice) -> String;
    /// Says where a choice computes something wrong, or is refused.
    async fn fault_of(&mut self, choice: &Choice) -> Result<Option<String>>;
    /// Makes choices ready in place of those from before.
    async fn line_up(&mut self, choices: &[Choice]) -> Result<()>;
    /// Works on the first of them for some milliseconds, so that what is timed next is not timed asleep: making ready takes long.
    async fn warm(&mut self) -> Result<()>;
    /// Milliseconds of one of them.
    async fn time(&mut self, place: usize) -> Result<f64>;
    /// Whether there is no time for more.
    fn is_late(&mut self) -> bool;
}

/// A variant to be tried, and its configs worth trying.
pub(super) struct Entrant {
    pub(super) variant: &'static str,
    pub(super) space: Space,
}

/// How far a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Along one axis after the other, from the guess on.
    Quick,
    /// Every combination.
    Full,
}

/// What a search came to.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) choice: Choice,
    pub(super) choice_ms: f64,
    pub(super) guess_ms: f64,
    pub(super) n_tried: u32,
    /// Candidates that compute something wrong.
    pub(super) wrong: Vec<String>,
    /// Milliseconds of every candidate that was timed, by its essence.
    pub(super) times: BTreeMap<String, f64>,
}

/// Searches among `entrants`, from `guess` on, whose own results are right.
///
/// # Errors
/// When the adapter fails.
pub(super) async fn search<T: Track>(
    track: &mut T,
    entrants: &[Entrant],
    guess: &Choice,
    extent: Extent,
) -> Result<Found> {
    let seen = BTreeSet::from([track.essence(guess)]);
    let mut search = Search { guess, seen, n_tried: 1, wrong: Vec::new(), times: BTreeMap::new(), track };
    let mut finalists = vec![guess.clone()];
    for Entrant { variant, space } in entrants {
        let start = Choice { variant: (*variant).to_owned(), config: guess.config };
        let Some(best) = search.best_of(start, space, extent).await? else { continue };
        if !finalists.contains(&best) {
            finalists.push(best);
        }
    }
    // The times of the search itself were taken apart from each other.
    let times = search.race(&finalists, N_LAST_ROUNDS).await?;
    let fastest = (0..times.len()).min_by(|a, b| times[*a].total_cmp(&times[*b])).unwrap_or(0);
    let winner = if times[fastest] <= times[0] * WORTH { fastest } else { 0 };
    Ok(Found {
        choice: finalists.swap_remove(winner),
        choice_ms: times[winner],
        guess_ms: times[0],
        n_tried: search.n_tried,
        wrong: search.wrong,
        times: search.times,
    })
}

struct Search<'a, T> {
    track: &'a mut T,
    guess: &'a Choice,
    seen: BTreeSet<String>,
    n_tried: u32,
    wrong: Vec<String>,
    times: BTreeMap<String, f64>,
}

impl<T: Track> Search<'_, T> {
    /// The best of a variant; `None` where none of it is right.
    async fn best_of(&mut self, start: Choice, space: &Space, extent: Extent) -> Result<Option<Choice>> {
        let is_guess = !self.seen.insert(self.track.essence(&start));
        let mut best = if is_guess || self.is_right(&start).await? { Some(start.clone()) } else { None };
        let batches: Vec<Vec<Config>> = match extent {
            Extent::Full => product(space, start.config).chunks(N_TOGETHER).map(<[_]>::to_vec).collect(),
            Extent::Quick => vec![Vec::new(); space.len()],
        };
        for (index, batch) in batches.into_iter().enumerate() {
            if self.track.is_late() {
                break;
            }
            let batch = match extent {
                Extent::Full => batch,
                Extent::Quick => {
                    let at = best.as_ref().unwrap_or(&start).config;
                    space[index].iter().map(|change| at.with(*change)).collect()
                }
            };
            let mut runners: Vec<Choice> = best.iter().cloned().collect();
            for config in batch {
                let choice = Choice { variant: start.variant.clone(), config };
                if self.seen.insert(self.track.essence(&choice)) && self.is_right(&choice).await? {
                    runners.push(choice);
                }
            }
            if runners.len() > usize::from(best.is_some()) {
                let times = self.race(&runners, N_ROUNDS).await?;
                let fastest = (0..times.len()).min_by(|a, b| times[*a].total_cmp(&times[*b])).unwrap_or(0);
                best = Some(runners.swap_remove(fastest));
            }
        }
        Ok(best)
    }

    /// Medians of choices that are timed by turns, which are noted.
    async fn race(&mut self, choices: &[Choice], n_rounds: usize) -> Result<Vec<f64>> {
        let times = race(self.track, choices, n_rounds).await?;
        for (choice, ms) in choices.iter().zip(&times) {
            self.times.insert(self.track.essence(choice), *ms);
        }
        Ok(times)
    }

    async fn is_right(&mut self, choice: &Choice) -> Result<bool> {
        self.n_tried += 1;
        match self.track.fault_of(choice).await? {
            None => Ok(true),
            Some(place) => {
                self.wrong.push(format!("{}: {place}", choice.beside(&self.guess.config)));
                Ok(false)
            }
        }
    }
}

/// Medians of choices that are timed by turns. Those that turn out hopeless are timed less often.
async fn race<T: Track>(track: &mut T, choices: &[Choice], n_rounds: usize) -> Result<Vec<f64>> {
    track.line_up(choices).await?;
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); choices.len()];
    let mut runs = vec![true; choices.len()];
    // The first does not count: drivers compile at first use.
    for place in 0..choices.len() {
        track.time(place).await?;
    }
    track.warm().await?;
    for _ in 0..n_rounds {
        for place in (0..choices.len()).filter(|place| runs[*place]) {
            times[place].push(track.time(place).await?);
        }
        let best = times.iter().map(|times| least(times)).fold(f64::INFINITY, f64::min);
        for (runs, times) in runs.iter_mut().zip(&times) {
            *runs &= least(times) <= best * HOPELESS;
        }
    }
    Ok(times.iter().map(|times| median(times)).collect())
}

fn least(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::space::Change;
    use crate::measure::settle::settle_again;
    use crate::measure::settle::tests::Sleepy;
    use pollster::block_on;

    /// Times that are known: a table in place of an adapter.
    struct Table {
        time_of: fn(&Choice) -> f64,
        wrong: fn(&Choice) -> bool,
        line: Vec<Choice>,
        n_times: usize,
        patience: usize,
    }

    impl Track for Table {
        fn essence(&self, choice: &Choice) -> String {
            // Lanes make no difference on this track.
            format!("{} {} {}", choice.variant, choice.config.rows, choice.config.threads)
        }
        async fn fault_of(&mut self, choice: &Choice) -> Result<Option<String>> {
            Ok((self.wrong)(choice).then(|| "planted".to_owned()))
        }
        async fn line_up(&mut self, choices: &[Choice]) -> Result<()> {
            self.line = choices.to_vec();
            Ok(())
        }
        async fn warm(&mut self) -> Result<()> {
            Ok(())
        }
        async fn time(&mut self, place: usize) -> Result<f64> {
            self.n_times += 1;
            // One in four is disturbed, and not the same candidate's every time.
            let is_disturbed = (self.n_times as u32).wrapping_mul(2_654_435_761) >> 30 == 0;
            let noise = if is_disturbed { 1.3 } else { 1.0 };
            Ok((self.time_of)(&self.line[place]) * noise)
        }
        fn is_late(&mut self) -> bool {
            self.n_times > self.patience
        }
    }

    fn table(time_of: fn(&Choice) -> f64) -> Table {
        Table { time_of, wrong: |_| false, line: Vec::new(), n_times: 0, patience: usize::MAX }
    }

    fn entrants() -> Vec<Entrant> {
        let space = || {
            vec![
                [1, 2, 4, 8].map(Change::Rows).to_vec(),
                [16, 32, 64].map(Change::Threads).to_vec(),
                vec![Change::RowLanes(64)],
            ]
        };
        ["plain", "tiled"].map(|variant| Entrant { variant, space: space() }).into()
    }

    fn guess() -> Choice {
        Choice { variant: "plain".to_owned(), config: Config { rows: 4, threads: 16, ..Config::default() } }
    }

    fn found(mut table: Table, extent: Extent) -> Found {
        block_on(search(&mut table, &entrants(), &guess(), extent)).expect("a search")
    }

    #[test]
    fn both_extents_find_the_fastest() {
        let time = |choice: &Choice| {
            let tiled = if choice.variant == "tiled" { 0.6 } else { 1.0 };
            let rows = f64::from(choice.config.rows.abs_diff(8)) * 0.1;
            tiled * (1.0 + rows + f64::from(choice.config.threads.abs_diff(32)) * 0.01)
        };
        for extent in [Extent::Quick, Extent::Full] {
            let found = found(table(time), extent);
            assert_eq!((found.choice.variant.as_str(), found.choice.config.rows), ("tiled", 8), "{found:?}");
            assert_eq!(found.choice.config.threads, 32);
            assert!(found.choice_ms < 0.7 && found.guess_ms > 1.4, "{found:?}");
        }
        // Every candidate once: 2 variants, 4 numbers of rows, 3 of threads.
        assert_eq!(super::tests::found(table(time), Extent::Full).n_tried, 24);
    }

    #[test]
    fn what_is_wrong_is_never_chosen_and_is_named() {
        let wrong = |choice: &Choice| choice.config.rows == 8;
        let time = |choice: &Choice| 1.0 / f64::from(choice.config.rows);
        for extent in [Extent::Quick, Extent::Full] {
            let found = found(Table { wrong, ..table(time) }, extent);
            assert!(found.choice.config.rows == 4, "{found:?}");
            assert!(!found.wrong.is_empty() && found.wrong.iter().all(|place| place.contains("planted")));
        }
    }

    #[test]
    fn a_planted_slow_candidate_is_dropped_and_the_guess_stays_where_nothing_is_worth_it() {
        let slow = |choice: &Choice| if choice.config.rows == 8 { 100.0 } else { 1.0 };
        let found_slow = found(table(slow), Extent::Quick);
        assert_eq!((found_slow.choice, found_slow.choice_ms), (guess(), found_slow.guess_ms));
        let hardly = |choice: &Choice| if choice.config.rows == 2 { 0.98 } else { 1.0 };
        assert_eq!(found(table(hardly), Extent::Full).choice, guess());
    }

    /// A GPU that falls asleep while candidates are made ready.
    struct Asleep {
        table: Table,
        gpu: Sleepy,
    }

    impl Track for Asleep {
        fn essence(&self, choice: &Choice) -> String {
            self.table.essence(choice)
        }
        async fn fault_of(&mut self, choice: &Choice) -> Result<Option<String>> {
            self.gpu.rest();
            self.table.fault_of(choice).await
        }
        async fn line_up(&mut self, choices: &[Choice]) -> Result<()> {
            self.gpu.rest();
            self.table.line_up(choices).await
        }
        async fn warm(&mut self) -> Result<()> {
            settle_again(&mut async || Ok(self.gpu.work(2.0))).await.map(|_| ())
        }
        async fn time(&mut self, place: usize) -> Result<f64> {
            Ok(self.gpu.work((self.table.time_of)(&self.table.line[place])))
        }
        fn is_late(&mut self) -> bool {
            false
        }
    }

    #[test]
    fn candidates_are_timed_at_the_full_clock() {
        // A twentieth faster than the guess, which is timed before it: less than a clock that rises makes of it.
        let time = |choice: &Choice| if choice.config.rows == 1 { 1.9 } else { 2.0 };
        let mut track = Asleep { table: table(time), gpu: Sleepy::default() };
        let found = block_on(search(&mut track, &entrants(), &guess(), Extent::Quick)).expect("a search");
        assert_eq!(found.choice.config.rows, 1, "{found:?}");
        assert!((found.guess_ms - 2.0).abs() < 0.05 && (found.choice_ms - 1.9).abs() < 0.05, "{found:?}");
        // Nor is one taken for faster that is timed later.
        let mut track = Asleep { table: table(|_| 2.0), gpu: Sleepy::default() };
        let found = block_on(search(&mut track, &entrants(), &guess(), Extent::Quick)).expect("a search");
        assert_eq!(found.choice, guess(), "{found:?}");
    }

    #[test]
    fn the_same_times_give_the_same_choice_and_no_time_gives_the_guess() {
        let time = |choice: &Choice| 1.0 / f64::from(choice.config.rows + choice.config.threads);
        assert_eq!(found(table(time), Extent::Quick), found(table(time), Extent::Quick));
        let late = found(Table { patience: 0, n_times: 1, ..table(|_| 1.0) }, Extent::Quick);
        assert_eq!(late.choice, guess());
    }
}
