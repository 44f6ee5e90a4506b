//! A GPU at rest runs at a fifth of its clock, and needs some tenths of a second of work to come up. Whatever is timed
//! before that is a figure of its sleep.

use super::spread::median;
use crate::error::Result;

/// Work that a GPU gets at least, and at most, in milliseconds.
const LEAST_MS: f64 = 150.0;
const MOST_MS: f64 = 1500.0;
/// Runs that are compared with as many before them.
const WINDOW: usize = 4;
/// Times that differ by less are the same.
const SAME: f64 = 0.03;

/// Runs `work`, which gives its milliseconds, until it no longer becomes faster, or for a second and a half. Gives the
/// milliseconds of all runs together.
///
/// # Errors
/// What `work` returns.
pub async fn settle(work: &mut impl AsyncFnMut() -> Result<f64>) -> Result<f64> {
    let (mut total, mut times) = (0.0, Vec::new());
    loop {
        // A clock too coarse to see a run must not make this endless.
        let ms = work().await?.max(0.01);
        total += ms;
        times.push(ms);
        let is_steady = times.len() >= 2 * WINDOW && {
            let (before, last) = times[times.len() - 2 * WINDOW..].split_at(WINDOW);
            median(last) >= median(before) * (1.0 - SAME)
        };
        if total >= MOST_MS || (total >= LEAST_MS && is_steady) {
            return Ok(total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollster::block_on;

    /// A GPU whose clock rises with the work that it had, from a fifth to all of it.
    fn run(clock: &mut f64, work_ms: f64, rise_ms: f64) -> f64 {
        let ms = work_ms / *clock;
        *clock = (*clock + 0.8 * ms / rise_ms).min(1.0);
        ms
    }

    #[test]
    fn what_is_timed_afterwards_runs_at_the_full_clock() {
        for (work_ms, rise_ms) in [(1.0, 120.0), (5.0, 300.0), (20.0, 400.0)] {
            let mut clock = 0.2;
            assert!(run(&mut clock.clone(), work_ms, rise_ms) > 4.9 * work_ms);
            let total = block_on(settle(&mut async || Ok(run(&mut clock, work_ms, rise_ms)))).expect("no failure");
            assert!((run(&mut clock, work_ms, rise_ms) - work_ms).abs() < 0.05 * work_ms, "{clock}");
            assert!(total < MOST_MS + 100.0);
        }
    }

    #[test]
    fn a_steady_one_is_left_soon_and_a_coarse_clock_ends() {
        let total = block_on(settle(&mut async || Ok(2.0))).expect("no failure");
        assert!((LEAST_MS..LEAST_MS + 10.0).contains(&total));
        assert!(block_on(settle(&mut async || Ok(0.0))).is_ok());
    }
}
