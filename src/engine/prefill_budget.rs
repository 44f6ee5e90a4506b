//! How many tokens of a prompt a step takes: as many as fit in the time that a submit may last, which the steps before
//! tell. A watchdog ends submits of two seconds and more, and a page that waits for one stands still.

/// A step should not take longer than this, in milliseconds.
const BUDGET_MS: f64 = 500.0;
/// Tokens of the first step, when nothing is known.
const FIRST: u32 = 16;
/// By how much a step may be larger than the one before.
const MOST_GROWTH: u32 = 8;

/// A step that was computed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepTime {
    /// Its tokens.
    pub n_tokens: u32,
    /// What it took, in milliseconds.
    pub ms: f64,
}

/// The budget of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrefillBudget {
    budget_ms: f64,
    allowed: u32,
    longest: StepTime,
}

impl Default for PrefillBudget {
    fn default() -> Self {
        Self { budget_ms: BUDGET_MS, allowed: FIRST, longest: StepTime::default() }
    }
}

impl PrefillBudget {
    /// Of a model that has so many of the layers of another: its steps are as short as those that the other would need.
    pub(super) fn of_a_cut(n_layers: usize, n_whole: usize) -> Self {
        let share = n_layers as f64 / n_whole.max(1) as f64;
        Self { budget_ms: BUDGET_MS * share, ..Self::default() }
    }

    /// Tokens that the next step may take.
    pub(super) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// The step that took longest.
    pub(super) fn longest(&self) -> StepTime {
        self.longest
    }

    /// Takes note of a step. One that was short for want of tokens says nothing of longer ones, whose tokens cost less
    /// each; but one over the budget always shortens the next.
    pub(super) fn took(&mut self, n_tokens: u32, ms: f64) {
        if ms > self.longest.ms {
            self.longest = StepTime { n_tokens, ms };
        }
        let affordable = (self.budget_ms / (ms.max(0.001) / f64::from(n_tokens))) as u32;
        if n_tokens >= self.allowed || affordable < n_tokens {
            self.allowed = affordable.clamp(1, n_tokens.saturating_mul(MOST_GROWTH));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(allowed: u32, n_tokens: u32, ms: f64) -> u32 {
        let mut budget = PrefillBudget { allowed, ..PrefillBudget::default() };
        budget.took(n_tokens, ms);
        budget.allowed()
    }

    #[test]
    fn steps_grow_with_what_is_affordable_and_single_tokens_do_not_shrink_them() {
        assert_eq!(after(16, 16, 10.0), 128);
        assert_eq!(after(128, 128, 1000.0), 64);
        assert_eq!(after(256, 1, 20.0), 256);
        assert_eq!(after(256, 1, 2000.0), 1);
    }

    #[test]
    fn a_cut_of_a_model_takes_the_steps_that_the_whole_would_take() {
        let (mut cut, mut whole) = (PrefillBudget::of_a_cut(2, 12), PrefillBudget::default());
        for _ in 0..4 {
            assert_eq!(cut.allowed(), whole.allowed());
            let n = whole.allowed().min(256);
            cut.took(n, 2.0 * f64::from(n));
            whole.took(n, 12.0 * f64::from(n));
        }
        assert_eq!(whole.allowed(), 41);
    }

    /// A prompt of 4,096 tokens whose tokens cost the more the more there are before them, on adapters of any speed: no
    /// step comes near the two seconds of a watchdog, and steps are not shorter than they must be.
    #[test]
    fn steps_stay_short_while_tokens_become_dearer() {
        for ms_per_token in [0.01, 0.3, 2.0, 15.0, 90.0] {
            // Ten times as much at the end as at the beginning.
            let cost = |position: u32| ms_per_token * (1.0 + 9.0 * f64::from(position) / 4096.0);
            let (mut budget, mut position, mut n_steps) = (PrefillBudget::default(), 0, 0);
            while position < 4096 {
                let n = budget.allowed().min(256).min(4096 - position);
                let ms = (position..position + n).map(cost).sum();
                // The first step is a guess; all others are known.
                assert!(n_steps == 0 || ms < 2.0 * BUDGET_MS, "{ms_per_token}: {n} tokens took {ms} ms");
                budget.took(n, ms);
                (position, n_steps) = (position + n, n_steps + 1);
            }
            let all: f64 = (0..4096).map(cost).sum();
            let fewest = (all / BUDGET_MS).max(4096.0 / 256.0);
            assert!(f64::from(n_steps) <= 2.0 * fewest + 4.0, "{ms_per_token}: {n_steps} steps, {fewest} would do");
            assert!(budget.longest().ms <= all && budget.longest().n_tokens > 0);
        }
    }
}
