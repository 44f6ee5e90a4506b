//! The best single config: what one config for every problem, as an adapter had it before it was tuned problem by problem,
//! would come to. It is worked out from the times that a full search took, and nothing is timed for it.

use crate::gpu::Config;
use crate::gpu::space::Space;
use crate::measure::report::SingleConfig;
use std::collections::BTreeMap;

/// A problem as a search left it.
pub(super) struct Searched {
    /// Tokens of its step.
    pub(super) n_tokens: u32,
    /// Milliseconds of the choice.
    pub(super) choice_ms: f64,
    /// Milliseconds of every candidate that was timed, by what it comes to.
    pub(super) times: BTreeMap<String, f64>,
    /// What a config comes to in the variant that is guessed.
    pub(super) essence: Box<dyn Fn(&Config) -> String>,
}

impl Searched {
    fn ms(&self, config: &Config) -> Option<f64> {
        self.times.get(&(self.essence)(config)).copied().filter(|ms| *ms > 0.0)
    }
}

/// The config whose times add up to the least, walking along the axes from `guess` on, with the choices' gain over it.
/// `None` where fewer than two problems were timed with the guess.
pub(super) fn best_single(problems: &[Searched], spaces: &[Space], guess: Config) -> Option<SingleConfig> {
    // A config counts only where it was timed for every problem that the guess was timed for.
    let problems: Vec<&Searched> = problems.iter().filter(|problem| problem.ms(&guess).is_some()).collect();
    if problems.len() < 2 {
        return None;
    }
    let total = |config: &Config| problems.iter().map(|problem| problem.ms(config)).sum::<Option<f64>>();
    let mut best = (total(&guess)?, guess);
    loop {
        let before = best.0;
        for change in spaces.iter().flatten().flatten() {
            let config = best.1.with(*change);
            if let Some(ms) = total(&config).filter(|ms| *ms < best.0) {
                best = (ms, config);
            }
        }
        if best.0 >= before {
            break;
        }
    }
    let logs: f64 = problems.iter().filter_map(|problem| Some((problem.ms(&best.1)? / problem.choice_ms).ln())).sum();
    let gain = (logs / problems.len() as f64).exp();
    Some(SingleConfig { config: best.1, n_problems: problems.len() as u32, gain })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::space::Change;

    /// A problem that takes `ms(rows, threads)`.
    fn searched(choice_ms: f64, ms: fn(u32, u32) -> f64) -> Searched {
        let all = [1, 2, 4, 8].into_iter().flat_map(|rows| [16, 32].map(|threads| (rows, threads)));
        let times = all.map(|(rows, threads)| (format!("{rows} {threads}"), ms(rows, threads))).collect();
        Searched {
            n_tokens: 1,
            choice_ms,
            times,
            essence: Box::new(|config| format!("{} {}", config.rows, config.threads)),
        }
    }

    fn spaces() -> Vec<Space> {
        vec![vec![[1, 2, 4, 8].map(Change::Rows).to_vec(), [16, 32].map(Change::Threads).to_vec()]]
    }

    #[test]
    fn the_single_config_is_the_best_compromise_and_the_gain_is_over_it() {
        // The first wants few rows, the second many; the second takes ten times as long.
        let few = searched(1.0, |rows, _| f64::from(rows));
        let many = searched(10.0, |rows, threads| 80.0 / f64::from(rows) + f64::from(threads - 16));
        let guess = Config { rows: 1, threads: 32, ..Config::default() };
        let single = best_single(&[few, many], &spaces(), guess).expect("two problems");
        assert_eq!((single.config.rows, single.config.threads, single.n_problems), (8, 16, 2));
        // 8 times and once: the geometric mean is the root of 8.
        assert!((single.gain - 8f64.sqrt()).abs() < 1e-9, "{single:?}");
    }

    #[test]
    fn what_was_not_timed_for_all_is_not_taken() {
        let mut other = searched(1.0, |rows, _| 9.0 - f64::from(rows));
        other.times.retain(|essence, _| !essence.starts_with('8'));
        let guess = Config { rows: 4, threads: 16, ..Config::default() };
        let single = best_single(&[searched(1.0, |rows, _| 9.0 - f64::from(rows)), other], &spaces(), guess);
        assert_eq!(single.expect("two problems").config.rows, 4);
        assert!(best_single(&[searched(1.0, |_, _| 1.0)], &spaces(), guess).is_none());
    }
}
