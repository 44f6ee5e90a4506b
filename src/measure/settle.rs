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

/// Work that brings a clock up again after what a processor did in between: 60 ms were enough on an H100 that had been idle.
const AGAIN_MS: f64 = 60.0;

/// Runs `work`, which gives its milliseconds, until it no longer becomes faster, or for a second and a half. Gives the
/// milliseconds of all runs together.
///
/// # Errors
/// What `work` returns.
pub async fn settle(work: &mut impl AsyncFnMut() -> Result<f64>) -> Result<f64> {
    settle_after(LEAST_MS, work).await
}

/// The same for an adapter that was at work a moment ago: shorter.
///
/// # Errors
/// What `work` returns.
pub(super) async fn settle_again(work: &mut impl AsyncFnMut() -> Result<f64>) -> Result<f64> {
    settle_after(AGAIN_MS, work).await
}

async fn settle_after(least_ms: f64, work: &mut impl AsyncFnMut() -> Result<f64>) -> Result<f64> {
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
        if total >= MOST_MS || (total >= least_ms && is_steady) {
            return Ok(total);
        }
    }
}

/// What is timed, and work without a gap that brings an adapter's clock up for it.
pub(super) trait Timed {
    /// What timing it once gives.
    type Sample;
    /// Works for some milliseconds without a gap, and gives them; `None` where there is no clock to bring up.
    async fn warm(&mut self) -> Result<Option<f64>>;
    /// Times it once.
    async fn time(&mut self) -> Result<Self::Sample>;
}

/// Brings the clock up, and times right afterwards.
///
/// # Errors
/// What `timed` returns.
pub(super) async fn time_warm<T: Timed>(timed: &mut T) -> Result<T::Sample> {
    if timed.warm().await?.is_some() {
        settle(&mut async || Ok(timed.warm().await?.unwrap_or(MOST_MS))).await?;
    }
    timed.time().await
}

/// How often something has to run so that it takes `wanted_ms` at the full clock; `run` runs it so often and gives the
/// milliseconds. At most `most`, and `grown` says how many are next. Leaves the clock up where `has_clock`.
///
/// # Errors
/// What `run` returns.
pub(super) async fn repeats_for(
    (wanted_ms, most, has_clock): (f64, u32, bool),
    grown: fn(u32, f64, f64) -> u32,
    run: &mut impl AsyncFnMut(u32) -> Result<f64>,
) -> Result<u32> {
    let (mut n, mut is_up) = (1, !has_clock);
    loop {
        let ms = run(n).await?;
        if ms < wanted_ms && n < most {
            n = grown(n, ms, wanted_ms).min(most);
        } else if is_up {
            return Ok(n);
        } else {
            // What was enough for a sleeping adapter may be too little for one that is awake.
            settle(&mut async || run(n).await).await?;
            is_up = true;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
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

    /// A GPU that falls asleep between two timings, and takes 4 ms for its work when it is awake.
    #[derive(Default)]
    pub(crate) struct Sleepy {
        clock: f64,
    }

    impl Sleepy {
        /// What happens between two timings: nothing, for a while.
        pub(crate) fn rest(&mut self) {
            self.clock = 0.2;
        }

        /// Works for some milliseconds of the full clock, and gives those that it takes.
        pub(crate) fn work(&mut self, work_ms: f64) -> f64 {
            run(&mut self.clock, work_ms, 200.0)
        }
    }

    impl Timed for Sleepy {
        type Sample = f64;
        async fn warm(&mut self) -> Result<Option<f64>> {
            Ok(Some(self.work(2.0)))
        }
        async fn time(&mut self) -> Result<f64> {
            Ok(self.work(4.0))
        }
    }

    #[test]
    fn whatever_is_timed_warm_is_timed_at_the_full_clock() {
        let mut gpu = Sleepy::default();
        gpu.rest();
        assert!(block_on(gpu.time()).expect("no failure") > 15.0);
        for _ in 0..3 {
            gpu.rest();
            let ms = block_on(time_warm(&mut gpu)).expect("no failure");
            assert!((ms - 4.0).abs() < 0.2, "{ms}");
        }
    }

    #[test]
    fn repeats_are_counted_at_the_full_clock() {
        let double = |n, _: f64, _: f64| 2 * n;
        let repeats = |has_clock| {
            let mut gpu = Sleepy::default();
            gpu.rest();
            let n =
                block_on(repeats_for((50.0, 1 << 20, has_clock), double, &mut async |n| Ok(gpu.work(f64::from(n)))));
            let n = n.expect("no failure");
            (n, gpu.work(f64::from(n)))
        };
        let (n, ms) = repeats(true);
        assert!((50.0..110.0).contains(&ms) && (ms - f64::from(n)).abs() < 0.05 * ms, "{n}: {ms}");
        // Without, a few slow ones pass for enough.
        assert!(repeats(false).0 < n);
        let forever = block_on(repeats_for((50.0, 8, true), double, &mut async |_| Ok(0.0)));
        assert_eq!(forever.expect("no failure"), 8);
    }

    #[test]
    fn a_steady_one_is_left_soon_and_a_coarse_clock_ends() {
        let total = block_on(settle(&mut async || Ok(2.0))).expect("no failure");
        assert!((LEAST_MS..LEAST_MS + 10.0).contains(&total));
        assert!(block_on(settle(&mut async || Ok(0.0))).is_ok());
    }
}
