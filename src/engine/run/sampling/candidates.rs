//! The tokens that may still be chosen.

/// Stands for logits that are no finite numbers, as in the kernel: below all that are.
const LEAST: f32 = -1e30;

/// Tokens that may still be chosen; there is always one. The likeliest comes first, of equals the one of the lower id.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidates(Vec<Candidate>);

/// A token with its logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: u32,
    pub(super) logit: f32,
}

impl Candidates {
    /// The `most` likeliest of all ids that are `allowed`; if none is, the id 0.
    pub(super) fn new(logits: &[f32], most: usize, allowed: impl Fn(u32, f32) -> bool) -> Self {
        let finite = |logit: f32| if logit.is_finite() { logit.max(LEAST) } else { LEAST };
        let all = (0..).zip(logits).map(|(id, &logit)| Candidate { id, logit: finite(logit) });
        let mut kept: Vec<Candidate> = all.filter(|it| allowed(it.id, it.logit)).collect();
        // Of a large vocabulary only the few that are wanted are brought into order.
        if (1..kept.len()).contains(&most) {
            kept.select_nth_unstable_by(most - 1, order);
            kept.truncate(most);
        }
        kept.sort_unstable_by(order);
        if kept.is_empty() {
            kept.push(Candidate { id: 0, logit: LEAST });
        }
        Self(kept)
    }

    pub(super) fn as_slice(&self) -> &[Candidate] {
        &self.0
    }

    /// The greatest logit.
    pub(super) fn greatest(&self) -> f32 {
        self.0[0].logit
    }

    /// Keeps the first `n`, and one in any case.
    pub(super) fn keep_first(&mut self, n: usize) {
        self.0.truncate(n.max(1));
    }

    /// Leaves out the first `n`, but never the last.
    pub(super) fn drop_first(&mut self, n: usize) {
        self.0.drain(..n.min(self.0.len() - 1));
    }

    /// Keeps those at these places, of which there must be one.
    pub(super) fn keep_places(&mut self, mut places: Vec<usize>) {
        places.sort_unstable();
        self.0 = places.into_iter().map(|place| self.0[place]).collect();
    }

    /// The probability of each, at a temperature over 0.
    pub(super) fn probabilities(&self, temperature: f32) -> Vec<f64> {
        let (greatest, temperature) = (f64::from(self.greatest()), f64::from(temperature));
        let weight = |it: &Candidate| ((f64::from(it.logit) - greatest) / temperature).exp();
        let weights: Vec<f64> = self.0.iter().map(weight).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }
}

fn order(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}
