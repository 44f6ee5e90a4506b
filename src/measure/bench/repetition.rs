//! One run of one test: the ids that are computed, and the clock around them.

use super::TestPlan;
use crate::engine::{Sampling, Session};
use crate::error::Result;
use crate::gpu::recording::Cost;
use crate::measure::{Progress, Watch};
use std::ops::ControlFlow;
use web_time::{Duration, Instant};

/// What one run took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// All of it.
    pub(super) ms: f64,
    /// Its prompt.
    pub(super) prefill_ms: f64,
    /// From its begin to its first new id; `None` where none was written.
    pub(super) first_token_ms: Option<f64>,
    /// From its first new id to its last.
    pub(super) decode_ms: f64,
}

/// While tokens are written, `watch` is asked this often: seldom enough to cost nothing.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// Tokens that are filled in between two questions to `watch`.
const FILL_TOKENS: usize = 1024;

/// The ids of a lane, one for each position. They depend on nothing but the position, so that every test finds before
/// it the text that it would have computed there itself.
pub(super) struct Text(Vec<u32>);

impl Text {
    /// For `n_context` positions.
    pub(super) fn new(session: &Session, n_context: u32) -> Self {
        Self(super::ids(n_context, session.outline().n_vocab))
    }

    /// Runs the first `depth` ids into the cache. That is done once, not before each repetition: the cache is addressed
    /// by position, and what a test at some depth finds there is this text, but for what tests wrote behind their own
    /// depths, and for the window's ring and the projections' ring, whose rows may still be those of later positions.
    /// All of them are finite rows of some text; how many are read depends on the position alone, and which entries
    /// and experts are chosen is as arbitrary as it was before. So the time is the same.
    pub(super) async fn fill(
        &self,
        session: &mut Session,
        depth: u32,
        what: &str,
        watch: &mut Watch<'_>,
    ) -> Result<ControlFlow<()>> {
        let ids = &self.0[..depth as usize];
        for known in (0..ids.len()).step_by(FILL_TOKENS) {
            if watch(&Progress { what: what.to_owned(), done: known as u32, total: depth }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let end = ids.len().min(known + FILL_TOKENS);
            session.prefill(known as u32, &ids[..end]).await?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Runs a test once; `None` where `watch` broke off.
    pub(super) async fn repeat(
        &self,
        session: &mut Session,
        test: &TestPlan,
        progress: &Progress,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Sample>> {
        let ids = &self.0[..(test.depth + n_first(test)) as usize];
        if test.n_gen == 0 {
            let ms = session.prefill(test.depth, ids).await?;
            return Ok(Some(Sample { ms, prefill_ms: ms, ..Sample::default() }));
        }
        let begin = Instant::now();
        let mut asked = begin;
        let mut generation = session.generate_from(test.depth, ids, &Sampling::default(), n_new(test) as usize).await?;
        while generation.next().await?.is_some() {
            if asked.elapsed() >= WATCH_EVERY {
                if watch(progress).is_break() {
                    generation.finish().await?;
                    return Ok(None);
                }
                asked = Instant::now();
            }
        }
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        let timings = generation.finish().await?;
        let (prefill_ms, decode_ms) = (timings.prefill_ms, timings.decode_ms);
        Ok(Some(Sample { ms, prefill_ms, first_token_ms: Some(timings.first_token_ms), decode_ms }))
    }
}

/// Tokens that are given: the prompt, or the one that writing has to begin with.
fn n_first(test: &TestPlan) -> u32 {
    test.n_prompt.max(1)
}

/// Ids that are written, so that as many tokens are computed as count. The last id is written but not computed; without a
/// prompt, the given token is the first that counts.
fn n_new(test: &TestPlan) -> u32 {
    test.n_gen + u32::from(test.n_prompt > 0)
}

/// What a test must move and do, from the recordings of its steps.
pub(super) fn work(session: &Session, test: &TestPlan) -> Cost {
    if test.n_gen == 0 {
        session.work_of_prompt(test.depth, test.n_prompt)
    } else {
        session.work_of_generation(test.depth, n_first(test), n_new(test))
    }
}

/// A number that looks arbitrary, another one for each: the finalizer of MurmurHash3.
pub(super) fn scatter(n: u32) -> u32 {
    let n = (n ^ (n >> 16)).wrapping_mul(0x85eb_ca6b);
    let n = (n ^ (n >> 13)).wrapping_mul(0xc2b2_ae35);
    n ^ (n >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_tokens_are_computed_as_count() {
        for (n_prompt, n_gen) in [(0, 1), (0, 128), (512, 128), (1, 1)] {
            let test = TestPlan { n_prompt, n_gen, depth: 3 };
            // All given tokens are computed, and all new ones but the last.
            assert_eq!(n_first(&test) + n_new(&test) - 1, n_prompt + n_gen, "{test:?}");
            assert!(test.depth + n_first(&test) + n_new(&test) <= test.n_context(), "{test:?}");
        }
    }

    #[test]
    fn ids_are_scattered() {
        let mut ids: Vec<u32> = (0..1000).map(|n| scatter(n) % 2048).collect();
        ids.sort_unstable();
        ids.dedup();
        // Of 1000 draws out of 2048, 791 differ on average.
        assert!((740..840).contains(&ids.len()), "{}", ids.len());
    }
}
