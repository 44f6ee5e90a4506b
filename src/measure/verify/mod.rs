//! Whether an adapter's numbers are right: held against the CPU executor, which runs the plain reference of every kernel.
//! [`check`] compares a loaded model, whole or in the short form that stands beside every timing; [`check_sampled`] does
//! for one of any size what can be done in seconds.

mod kernels;
mod predictions;
mod rows;
mod sampled;
mod stages;
mod text;
mod verdict;

pub use kernels::{Configs, configs, difference, kernels, run_case, tunings};
pub use predictions::{KL_MEAN_BUDGET, KL_WORST_BUDGET, Predictions};
pub use rows::rows;
pub use sampled::{any_seed, check_sampled};
pub use stages::compare_stages;
pub use text::built_in_ids;
pub use verdict::{add_kernels, describe, divergence};

use super::report::Check;
use super::{Progress, Watch, within};
use crate::engine::{ExecutorChoice, Session};
use crate::error::{Error, Result};
use predictions::is_right;

/// How much is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Full,
    /// The logits after a few dozen tokens, which a fault in any stage moves that matters to them.
    Short,
}

/// Which tokens are fed, and in which steps: first several together, as prefill runs them, then one by one, as decode
/// does, since small and large steps take different kernels.
struct Feed {
    n_tokens: usize,
    /// Sizes of the first steps; the others are of one token.
    steps: &'static [u32],
}

/// More than a tile, and then some.
const SHORT: Feed = Feed { n_tokens: 48, steps: &[32] };
/// Past the 128th token, where the first entry of ratio 128 is finished, in small and in large steps.
const FULL: Feed = Feed { n_tokens: 168, steps: &[24, 64, 60] };
/// How much of the time of a whole check the stages take.
const STAGES_SHARE: f64 = 0.6;
/// The same tokens with none by itself.
const FULL_TOGETHER: Feed = Feed { n_tokens: 168, steps: &[64, 64, 40] };

/// Holds a session's model against the same model on the CPU executor, over `ids` (see [`built_in_ids`]). What was compared
/// before the watch broke it off is kept; the verdict is then [`Verdict::Unknown`](super::report::Verdict), unless
/// something was wrong.
///
/// # Errors
/// When `oracle` is not the same model on the CPU executor, `ids` cannot be computed, or an adapter fails.
pub async fn check(
    session: &mut Session,
    oracle: &mut Session,
    ids: &[u32],
    extent: Extent,
    watch: &mut Watch<'_>,
) -> Result<Check> {
    Ok(check_and_keep(session, oracle, ids, extent, watch).await?.check)
}

/// A check, and the logits that came of it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What was found.
    pub check: Check,
    /// The adapter's logits over the text, to hold another adapter's against them; `None` where it was broken off before.
    pub predictions: Option<Predictions>,
}

/// As [`check`], and keeps the adapter's logits: `[168, n_vocab]` in the full form.
///
/// # Errors
/// As [`check`].
pub async fn check_and_keep(
    session: &mut Session,
    oracle: &mut Session,
    ids: &[u32],
    extent: Extent,
    watch: &mut Watch<'_>,
) -> Result<Checked> {
    check_oracle(session, oracle)?;
    let mut check = of_session(session);
    let (feed, n_passes, begin) = match extent {
        Extent::Full => (FULL, 4, STAGES_SHARE),
        Extent::Short => (SHORT, 2, 0.0),
    };
    if extent == Extent::Full {
        let mut watch = within((0.0, begin), watch);
        if !compare_stages(session, oracle, ids, &mut check, &mut watch).await? {
            return Ok(Checked { check: concluded(check, false), predictions: None });
        }
    }
    let mut watch = within((begin, 1.0), watch);
    let mut passes = Passes { ids, n_passes, n_done: 0, watch: &mut watch };
    let Some(expected) = passes.feed("logits of the CPU executor", oracle, &feed).await? else {
        return Ok(Checked { check: concluded(check, false), predictions: None });
    };
    let Some(found) = passes.feed("logits of the adapter", session, &feed).await? else {
        return Ok(Checked { check: concluded(check, false), predictions: None });
    };
    check.tokens = Some(expected.against(&found));
    let whole = extent == Extent::Short || passes.repeat(session, &feed, &found, &mut check).await?.is_some();
    Ok(Checked { check: concluded(check, whole), predictions: Some(found) })
}

/// A check of which nothing is known yet but what the session is.
fn of_session(session: &Session) -> Check {
    Check { fault: session.fault().map(str::to_owned), rounded: session.rounded(), ..Check::default() }
}

fn concluded(mut check: Check, whole: bool) -> Check {
    verdict::conclude(&mut check, whole);
    check
}

/// The text's ways through a session, of which there are so many in all.
struct Passes<'a, 'w> {
    ids: &'a [u32],
    n_passes: u32,
    n_done: u32,
    watch: &'a mut Watch<'w>,
}

impl Passes<'_, '_> {
    /// Compares the logits that were found with those of the same text again, and in other steps; `None` where the watch
    /// broke it off.
    async fn repeat(
        &mut self,
        session: &mut Session,
        feed: &Feed,
        found: &Predictions,
        check: &mut Check,
    ) -> Result<Option<()>> {
        let Some(again) = self.feed("the same again", session, feed).await? else { return Ok(None) };
        check.twice_the_same = Some(found.is_same(&again));
        let Some(together) = self.feed("the same together", session, &FULL_TOGETHER).await? else { return Ok(None) };
        check.prefill_equals_decode = Some(is_right(&found.against(&together), &check.rounded));
        Ok(Some(()))
    }

    async fn feed(&mut self, what: &str, session: &mut Session, feed: &Feed) -> Result<Option<Predictions>> {
        let ids = &self.ids[..self.ids.len().min(feed.n_tokens)];
        let n = ids.len() as u32;
        let progress = Progress { what: what.to_owned(), done: self.n_done * n, total: self.n_passes * n };
        self.n_done += 1;
        Predictions::by(session, ids, feed.steps, &progress, self.watch).await
    }
}

/// Fails unless `oracle` is on the CPU and has the session's shape.
fn check_oracle(session: &Session, oracle: &Session) -> Result<()> {
    if !matches!(oracle.choice(), ExecutorChoice::Cpu) {
        return Err(Error::usage("oracle", "a model on an adapter").expected("the same model on the CPU executor"));
    }
    if session.outline() == oracle.outline() {
        return Ok(());
    }
    Err(Error::usage("oracle", "another model than the adapter's").expected("the same model on the CPU executor"))
}
