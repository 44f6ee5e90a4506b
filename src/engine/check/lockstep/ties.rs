//! Choices of experts that rounding may decide either way: two experts whose scores are all but equal. All other choices
//! are of the same words on both executors: entries are selected, and tokens chosen, by numbers that both are given.

use crate::error::Result;
use crate::gpu::op::Spec;
use crate::gpu::{Executor, Stage};
use crate::kernels::route;

use super::words;

/// How near two scores must be, relative to 1 and the score: what `route` is allowed for its weights, see its cases.
const TIE: f32 = 1e-4;

/// The choice of experts among some stages and what they were fused of.
pub(super) fn choice_among(stages: &[Stage]) -> Option<&Stage> {
    stages.iter().flat_map(Stage::with_parts).find(|stage| stage.op.name == route::OP.name)
}

/// What a dispatch of `route` chose by.
pub(super) struct Ties {
    params: route::Params,
    spec: Spec,
    /// `[n_tokens, n_experts]`.
    logits: Vec<f32>,
    /// `[n_experts]`.
    bias: Vec<f32>,
}

impl Ties {
    /// Of the inputs of a dispatch of `route`, which it leaves as they are.
    ///
    /// # Errors
    /// When the executor fails.
    pub(super) async fn read(executor: &mut Executor, stage: &Stage) -> Result<Self> {
        let params = bytemuck::pod_read_unaligned(&stage.params[..size_of::<route::Params>()]);
        let [logits, bias] = [stage.bindings[route::LOGITS], stage.bindings[route::BIAS]];
        let logits = bytemuck::cast_vec(words(&executor.read(logits).await?));
        let bias = bytemuck::cast_vec(words(&executor.read(bias).await?));
        Ok(Self { params, spec: stage.spec.clone(), logits, bias })
    }

    /// Whether the token whose expert stands at `place` may as well go to `a` as to `b`.
    pub(super) fn excuse(&self, place: usize, a: u32, b: u32) -> bool {
        let n_experts = self.params.n_experts;
        if self.params.hash == 1 || a >= n_experts || b >= n_experts {
            return false;
        }
        let token = place / self.params.n_slots as usize;
        let rank = |expert: u32| {
            let logit = self.logits.get(token * n_experts as usize + expert as usize)?;
            let bias = if route::is_biased(&self.spec) { *self.bias.get(expert as usize)? } else { 0.0 };
            Some(route::rank(&self.spec, *logit, bias))
        };
        let near = |a: f32, b: f32| (a - b).abs() <= TIE * (1.0 + a.abs());
        if rank(a).zip(rank(b)).is_some_and(|(a, b)| near(a, b)) {
            return true;
        }
        // Or their groups are all but equal.
        let Some(ranks) = (0..n_experts).map(rank).collect::<Option<Vec<f32>>>() else { return false };
        let groups = route::group_ranks(&self.spec, &ranks);
        let group_of = |expert: u32| expert as usize * groups.len() / ranks.len();
        let (a, b) = (group_of(a), group_of(b));
        a != b && near(groups[a], groups[b])
    }

    /// Whether the token at `place` has other experts on one executor than on the other.
    pub(super) fn parted(&self, place: usize, expected: &[u32], found: &[u32]) -> bool {
        let n_slots = self.params.n_slots as usize;
        let row = place / n_slots * n_slots..(place / n_slots + 1) * n_slots;
        expected.get(row.clone()) != found.get(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_experts_of_all_but_equal_scores_tie() {
        let params = route::Params { n_experts: 4, n_slots: 3, ..route::Params::default() };
        let ties = |hash| Ties {
            spec: Spec::default(),
            params: route::Params { hash, ..params },
            logits: vec![1.0, 1.00001, 1.1, 9.0, 5.0, 1.0, 1.00001, 9.0],
            bias: vec![0.0; 4],
        };
        // Places 0 to 2 are the first token's.
        assert!(ties(0).excuse(0, 0, 1) && ties(0).excuse(2, 1, 0));
        assert!(!ties(0).excuse(0, 0, 2) && !ties(0).excuse(3, 0, 1) && ties(0).excuse(3, 1, 2));
        assert!(!ties(1).excuse(0, 0, 1), "a table has no ties");
        assert!(!ties(0).excuse(0, 0, 4) && !ties(0).excuse(0, u32::MAX, 0) && !ties(0).excuse(900, 0, 1));
    }

    #[test]
    fn a_tokens_weights_part_with_its_experts() {
        let params = route::Params { n_experts: 4, n_slots: 2, ..route::Params::default() };
        let ties = Ties { params, spec: Spec::default(), logits: Vec::new(), bias: Vec::new() };
        let (expected, found) = ([0, 1, 2, 3], [0, 1, 3, 2]);
        assert_eq!([0, 1, 2, 3].map(|place| ties.parted(place, &expected, &found)), [false, false, true, true]);
    }
}
