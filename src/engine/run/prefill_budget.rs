//! How many tokens of a prompt a step takes: as many as fit in the time that a submit may last, which the steps before
//! tell. A watchdog ends submits of two seconds and more, and a page that waits for one stands still.

/// A step should not take longer than this, in milliseconds.
const BUDGET_MS: f64 = 500.0;
/// Where most of a step's time does not depend on its tokens, it may take so long: shorter ones would only be more.
const LONGEST_MS: f64 = 800.0;
/// Tokens of the first step, when nothing is known.
pub(in crate::engine) const FIRST: u32 = 16;
/// By how much a step may be larger than the one before.
const MOST_GROWTH: u32 = 32;
/// Steps whose sizes differ by less than this part tell nothing of what a token costs.
const LEAST_DIFFERENCE: f64 = 0.25;

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
pub(in crate::engine) struct PrefillBudget {
    /// Layers of the model that steps stand for, for each that is there.
    scale: f64,
    /// What a step takes outside of the layers, in milliseconds: submit, wait, and the way back.
    overhead_ms: f64,
    allowed: u32,
    longest: StepTime,
    /// A step of another size, as long as it would be with all layers.
    other: Option<StepTime>,
    /// What one more token adds to a step, where steps of different sizes have told.
    each_ms: Option<f64>,
}

impl Default for PrefillBudget {
    fn default() -> Self {
        Self { scale: 1.0, overhead_ms: 0.0, allowed: FIRST, longest: StepTime::default(), other: None, each_ms: None }
    }
}

impl PrefillBudget {
    /// Of a model that has so many of the layers of another: its steps are as short as those that the other would need.
    pub(in crate::engine) fn of_a_cut(n_layers: usize, n_whole: usize) -> Self {
        Self { scale: n_whole.max(1) as f64 / n_layers.max(1) as f64, ..Self::default() }
    }

    /// Whether it stands for more layers than there are.
    pub(in crate::engine) fn is_of_a_cut(&self) -> bool {
        self.scale > 1.0
    }

    /// With what a step takes without any work.
    pub(in crate::engine) fn with_overhead(self, overhead_ms: f64) -> Self {
        Self { overhead_ms, ..self }
    }

    /// Tokens that the next step may take.
    pub(in crate::engine) fn allowed(&self) -> u32 {
        self.allowed
    }

    /// The step that took longest.
    pub(in crate::engine) fn longest(&self) -> StepTime {
        self.longest
    }

    /// Takes note of a step. One that was short for want of tokens says nothing of longer ones, whose tokens cost less
    /// each; but one over the budget always shortens the next.
    pub(in crate::engine) fn took(&mut self, n_tokens: u32, ms: f64) {
        if ms > self.longest.ms {
            self.longest = StepTime { n_tokens, ms };
        }
        let whole = ms + (ms - self.overhead_ms).max(0.0) * (self.scale - 1.0);
        let step = StepTime { n_tokens, ms: whole.max(0.001) };
        self.learn(step);
        let affordable = self.affordable(step) as u32;
        if n_tokens >= self.allowed || affordable < n_tokens {
            self.allowed = affordable.clamp(1, n_tokens.saturating_mul(MOST_GROWTH));
        }
    }

    /// Tells apart, by two steps of different sizes, what a token costs and what all tokens of a step share.
    fn learn(&mut self, step: StepTime) {
        let Some(other) = self.other else {
            self.other = Some(step);
            return;
        };
        if differ(other, step) {
            let each = (step.ms - other.ms) / (f64::from(step.n_tokens) - f64::from(other.n_tokens));
            let shares = each > 0.0 && each * f64::from(step.n_tokens) < step.ms;
            self.each_ms = shares.then_some(each);
            self.other = Some(step);
        }
    }

    /// Tokens that fit the budget, after a step. By its time alone they cost the same each. Where it is known what they
    /// share, reading the weights above all, and that is most of the budget, short steps would pay it over and over.
    fn affordable(&self, step: StepTime) -> f64 {
        let n = f64::from(step.n_tokens);
        let alone = BUDGET_MS * n / step.ms;
        let Some(each) = self.each_ms else { return alone };
        let shared = (step.ms - each * n).max(0.0);
        let wanted = (2.0 * shared).clamp(BUDGET_MS, LONGEST_MS);
        // Even if nothing is shared, it lasts no longer than the longest may.
        ((wanted - shared) / each).clamp(alone, alone * (LONGEST_MS / BUDGET_MS))
    }
}

/// Whether steps differ enough in size to be compared.
fn differ(a: StepTime, b: StepTime) -> bool {
    let (a, b) = (f64::from(a.n_tokens), f64::from(b.n_tokens));
    (a - b).abs() >= LEAST_DIFFERENCE * a.max(b)
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
        assert_eq!(after(16, 16, 10.0), 512);
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

    /// Sizes of the steps that are taken where a step of `n` tokens takes `shared + each · n` milliseconds.
    fn sizes(mut budget: PrefillBudget, shared: f64, each: f64) -> Vec<u32> {
        let step = |budget: &mut PrefillBudget| {
            let n = budget.allowed().min(512);
            budget.took(n, shared + each * f64::from(n));
            n
        };
        (0..20).map(|_| step(&mut budget)).collect()
    }

    #[test]
    fn after_the_first_step_a_fast_adapter_takes_all_it_can() {
        assert_eq!(sizes(PrefillBudget::default(), 4.0, 0.5)[1], 512);
        assert_eq!(sizes(PrefillBudget::default(), 10.0, 0.2)[1], 512);
    }

    /// Where reading the weights takes most of the budget, half as many tokens would take nearly as long.
    #[test]
    fn steps_that_are_long_whatever_their_tokens_are_not_cut_to_pieces() {
        for (shared, each) in [(520.0, 15.0), (450.0, 10.0), (600.0, 5.0)] {
            let sizes = sizes(PrefillBudget::default(), shared, each);
            let last = f64::from(*sizes.last().expect("steps"));
            let ms = shared + each * last;
            assert!(
                ms <= LONGEST_MS * 1.01 && last >= 0.7 * (LONGEST_MS - shared) / each,
                "{shared}, {each}: {sizes:?}"
            );
        }
    }

    #[test]
    fn what_a_submit_costs_is_not_taken_for_layers() {
        // Two of forty layers, 1 ms a token in all of them, and 90 ms to submit and wait, as in some browsers.
        let (cut, whole) = (PrefillBudget::of_a_cut(2, 40), PrefillBudget::default());
        let expected = sizes(whole, 90.0, 1.0);
        let found = sizes(cut.with_overhead(90.0), 90.0, 0.05);
        // But for the last digit of a division.
        assert!(
            found.iter().zip(&expected).all(|(found, whole)| found.abs_diff(*whole) <= 1),
            "{found:?}, {expected:?}"
        );
        assert!(sizes(cut, 90.0, 0.05).last() < expected.last());
    }
}
