//! How a session goes back in a text: what it keeps aside at the end of a prompt, and puts back for the next one.

use super::prefix_cache::PrefixCache;
use super::session::Session;
use crate::engine::arch::ring::MAX_BACK;
use crate::engine::arch::state::State;
use crate::error::Result;

impl Session {
    /// How far the cache can go back from the furthest position that was computed; `None` where it can from any to any.
    pub(in crate::engine) fn slack(&self) -> Option<u32> {
        let n_chunk = self.largest_capacity();
        self.network.states().iter().map(|state| state.slack(n_chunk)).min()
    }

    /// How many positions a text can go back by from what was kept aside.
    fn n_back(&self) -> u32 {
        let n_chunk = self.largest_capacity();
        self.network.states().iter().map(|state| state.n_back(n_chunk)).min().unwrap_or(0)
    }

    /// Where a prompt of `n` tokens is to be interrupted for a snapshot: templates part from the text before a few tokens
    /// ahead of a prompt's end, and from there rings go back by themselves, recurrent states do not.
    pub(in crate::engine) fn snapshot_at(&self, n: u32) -> u32 {
        let is_recurrent = |state: &State| matches!(state, State::Recurrent(_));
        if self.network.states().iter().any(is_recurrent) { n.saturating_sub(MAX_BACK) } else { n }
    }

    /// Keeps aside what a text needs to go on from `end`, which is what has been computed.
    pub(in crate::engine) fn snapshot(&mut self, prefix: &mut PrefixCache, end: u32) -> Result<()> {
        let states = self.network.states();
        self.executor.copy(states.iter().flat_map(|state| state.snapshot(end)))?;
        prefix.kept = Some(end);
        Ok(())
    }

    /// Makes the cache one that a text of these ids can go on from, and says how many of them need no running. What the
    /// cache holds is then for the caller to tell, once the rest was computed: [`PrefixCache::computed`].
    pub(in crate::engine) fn go_back(&mut self, ids: &[u32]) -> Result<(u32, PrefixCache)> {
        let mut prefix = std::mem::take(&mut self.prefix);
        let n_back = self.n_back();
        let reuse = prefix.reuse(ids, n_back);
        if reuse.known == 0 {
            return Ok((0, PrefixCache::default()));
        }
        if let (true, Some(kept)) = (reuse.restores, prefix.kept) {
            let states = self.network.states();
            self.executor.copy(states.iter().flat_map(|state| state.restore(kept)))?;
            (prefix.reached, prefix.earliest) = (kept, kept.saturating_sub(n_back));
        }
        Ok((reuse.known, prefix))
    }
}
