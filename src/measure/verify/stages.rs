//! A model stage by stage on an adapter and on the CPU executor, over steps in which every stage has something to do.

use std::ops::ControlFlow;

use crate::engine::Session;
use crate::engine::check::lockstep::{Head, LockstepStep, StageDeviation, lockstep};
use crate::error::Result;
use crate::measure::report::{Check, NO_NUMBER, StageError};
use crate::measure::{Progress, Watch};

/// Tokens computed: past the 128th, where the first entry of ratio 128 is finished, and the window of every model is full.
const N_TOKENS: u32 = 136;
/// Tokens of the first step, whose logits are computed for all.
const N_FIRST: u32 = 24;
/// Tokens that are computed once more, one by one, as decode does: among them is the 128th, too.
const N_DECODED: u32 = 12;

/// Compares every stage of a model, as the session and as the CPU executor compute it from the same inputs, over the first
/// 136 of `ids`, and adds what was found to `check`: the worst of each stage that had something to do, and the first that is
/// wrong. Gives whether it came to its end before the watch broke it off. The sessions' state is lost by it.
///
/// # Errors
/// When `oracle` is not the same model in contexts and steps of the same size, an id is unknown, or an adapter fails.
pub async fn compare_stages(
    session: &mut Session,
    oracle: &mut Session,
    ids: &[u32],
    check: &mut Check,
    watch: &mut Watch<'_>,
) -> Result<bool> {
    let ids = &ids[..ids.len().min(N_TOKENS as usize)];
    let steps = steps(ids.len() as u32, session.n_chunk(), session.n_logits());
    let mut each = |deviation: &StageDeviation, done: u32, total: u32| {
        note(check, deviation);
        watch(&Progress { what: format!("stage {}", deviation.stage), done, total })
    };
    let flow = lockstep(session, oracle, ids, &steps, &mut each).await?;
    Ok(flow == ControlFlow::Continue(()))
}

/// Steps over `n` tokens: a small one with all logits, the rest together, and the last ones again one by one.
fn steps(n: u32, n_chunk: u32, n_logits: u32) -> Vec<LockstepStep> {
    let first = N_FIRST.min(n).min(n_chunk).min(n_logits);
    let mut steps = vec![LockstepStep { position: 0, n_tokens: first, head: Head::All }];
    for position in (first..n).step_by(n_chunk.max(1) as usize) {
        steps.push(LockstepStep { position, n_tokens: n_chunk.min(n - position), head: Head::Last });
    }
    let decoded = n.saturating_sub(N_DECODED)..n;
    steps.extend(decoded.map(|position| LockstepStep { position, n_tokens: 1, head: Head::Last }));
    steps
}

/// Keeps the worst of each stage, in the order in which the stages came, and the first that is wrong.
pub(super) fn note(check: &mut Check, deviation: &StageDeviation) {
    if deviation.n_words == 0 {
        return;
    }
    // JSON knows no NaN, and neither does any comparison.
    let error = if deviation.error < NO_NUMBER { deviation.error } else { NO_NUMBER };
    let found = StageError {
        stage: deviation.stage.to_owned(),
        layer: deviation.layer,
        position: deviation.position,
        error,
        budget: deviation.budget,
    };
    if !found.is_right() && check.first_wrong_stage.is_none() {
        check.first_wrong_stage = Some(found.clone());
    }
    match check.stages.iter_mut().find(|stage| stage.stage == found.stage) {
        Some(worst) if found.share() > worst.share() => *worst = found,
        Some(_) => {}
        None => check.stages.push(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_cover_every_token_and_fit_the_session() {
        let step = |position, n_tokens, head| LockstepStep { position, n_tokens, head };
        let all = steps(136, 256, 64);
        assert_eq!(all[..2], [step(0, 24, Head::All), step(24, 112, Head::Last)]);
        assert_eq!((all.len(), all[2], all[13]), (14, step(124, 1, Head::Last), step(135, 1, Head::Last)));
        for (n, n_chunk, n_logits) in [(1, 256, 64), (30, 7, 64), (136, 16, 3), (13, 1, 1)] {
            let steps = steps(n, n_chunk, n_logits);
            let fits = |step: &LockstepStep| step.n_tokens >= 1 && step.position + step.n_tokens <= n;
            assert!(steps.iter().all(fits) && steps.iter().all(|step| step.n_tokens <= n_chunk), "{steps:?}");
            assert!(steps[0].n_tokens <= n_logits);
            let computed: u32 = steps.iter().map(|step| step.n_tokens).sum();
            assert_eq!(computed, n + n.min(N_DECODED));
        }
    }

    #[test]
    fn the_first_wrong_stage_and_the_worst_of_each_are_kept() {
        let mut check = Check::default();
        for (stage, position, n_words, error) in [
            ("q", 0, 1, 0.5e-4),
            ("rotate", 0, 0, 9.0),
            ("attend", 0, 1, 2e-4),
            ("q", 1, 1, f64::NAN),
            ("q", 2, 1, 0.0),
        ] {
            let deviation = StageDeviation { stage, layer: None, position, n_words, error, budget: 1e-4 };
            note(&mut check, &deviation);
        }
        let facts = |stage: &StageError| (stage.stage.clone(), stage.position, stage.error);
        assert_eq!(check.first_wrong_stage.as_ref().map(facts), Some(("attend".into(), 0, 2e-4)));
        let stages: Vec<_> = check.stages.iter().map(facts).collect();
        assert_eq!(stages, [("q".into(), 1, NO_NUMBER), ("attend".into(), 0, 2e-4)]);
    }
}
