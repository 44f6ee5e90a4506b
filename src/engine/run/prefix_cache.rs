//! What the cache holds of the text before, and from where in it another text can go on.
//!
//! A grouped-query cache keeps every position, and what lies behind the one to go on from is simply overwritten. V4's windows
//! and projections are rings: so far as a step is long they can go back, since that many rows more than needed are there.
//! For going back further, the rows behind the end of each prompt are kept aside, see [`crate::engine::arch::ring::Ring`]; entries
//! and keys of the indexer are only ever added to. The state of a delta net or a convolution cannot go back at all: a copy of
//! it is kept from a few tokens before the end of each prompt, and a text that parts from the last one goes on there, or
//! begins again.

/// What the cache holds, from position 0 on; nothing where nobody knows.
#[derive(Debug, Default)]
pub(in crate::engine) struct PrefixCache {
    /// The ids that were computed.
    pub(in crate::engine) ids: Vec<u32>,
    /// The end of what was computed over the rings' rows, by whichever text came furthest.
    pub(in crate::engine) reached: u32,
    /// The earliest position that the rings' rows can go on from.
    pub(in crate::engine) earliest: u32,
    /// Rows behind this position, and recurrent states at it, are kept aside.
    pub(in crate::engine) kept: Option<u32>,
}

/// From where a new text goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Reuse {
    /// Tokens of it that need no running.
    pub known: u32,
    /// Whether the kept rows have to be put back first.
    pub restores: bool,
}

impl PrefixCache {
    /// The most tokens of these ids that need no running; its last token is computed in any case. `n_back` is how far
    /// kept rows reach back.
    pub(in crate::engine) fn reuse(&self, ids: &[u32], n_back: u32) -> Reuse {
        let known = ids.iter().zip(&self.ids).take_while(|(a, b)| a == b).count();
        let known = (known as u32).min((ids.len() as u32).saturating_sub(1));
        match self.kept {
            _ if known >= self.earliest => Reuse { known, restores: false },
            Some(kept) if known >= kept.saturating_sub(n_back) => Reuse { known: known.min(kept), restores: true },
            _ => Reuse { known: 0, restores: false },
        }
    }

    /// These ids were computed from `reuse` on, and now are all there is. `slack` is how far rings can go back from where
    /// they have been; `None` where there are none.
    pub(in crate::engine) fn computed(&mut self, ids: &[u32], slack: Option<u32>) {
        self.ids = ids.to_vec();
        self.reach(slack);
    }

    /// These ids were computed after those before.
    pub(in crate::engine) fn extend(&mut self, ids: &[u32], slack: Option<u32>) {
        self.ids.extend(ids);
        self.reach(slack);
    }

    fn reach(&mut self, slack: Option<u32>) {
        self.reached = self.reached.max(self.ids.len() as u32);
        if let Some(slack) = slack {
            self.earliest = self.earliest.max(self.reached.saturating_sub(slack));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [u32; 300] = {
        let mut ids = [0; 300];
        let mut at = 0;
        while at < ids.len() {
            ids[at] = at as u32;
            at += 1;
        }
        ids
    };

    /// A prompt of 200 tokens and an answer of 100, over rings that go back by `slack`.
    fn prefix(slack: Option<u32>) -> PrefixCache {
        let mut prefix = PrefixCache::default();
        prefix.computed(&IDS[..200], slack);
        prefix.kept = Some(200);
        prefix.extend(&IDS[200..], slack);
        prefix
    }

    /// The same text up to `n`, and then another one.
    fn parting_at(n: usize) -> Vec<u32> {
        [&IDS[..n], &[999, 998]].concat()
    }

    #[test]
    fn without_rings_a_text_goes_on_from_where_it_parts() {
        for n in [0, 1, 57, 200, 300] {
            assert_eq!(prefix(None).reuse(&parting_at(n), 32), Reuse { known: n as u32, restores: false });
        }
        // The last token is computed in any case.
        assert_eq!(prefix(None).reuse(&IDS[..300], 32).known, 299);
        assert_eq!(prefix(None).reuse(&IDS[..1], 32).known, 0);
        assert_eq!(prefix(None).reuse(&[], 32).known, 0);
        assert_eq!(PrefixCache::default().reuse(&IDS, 32).known, 0);
    }

    #[test]
    fn rings_go_back_by_a_step_then_to_where_rows_were_kept_and_then_to_the_begin() {
        let reuse = |n| prefix(Some(40)).reuse(&parting_at(n), 32);
        assert_eq!(reuse(300), Reuse { known: 300, restores: false });
        assert_eq!(reuse(260), Reuse { known: 260, restores: false });
        assert_eq!(reuse(259), Reuse { known: 200, restores: true });
        assert_eq!(reuse(199), Reuse { known: 199, restores: true });
        assert_eq!(reuse(168), Reuse { known: 168, restores: true });
        assert_eq!(reuse(167), Reuse { known: 0, restores: false });
    }

    #[test]
    fn rows_that_a_longer_text_overwrote_stay_lost() {
        let mut prefix = prefix(Some(40));
        // Gone back to 270: rows up to 300 have been written, so that nothing before 260 is left.
        prefix.computed(&parting_at(270), Some(40));
        prefix.kept = None;
        assert_eq!(prefix.reuse(&parting_at(265), 32).known, 265);
        assert_eq!(prefix.reuse(&parting_at(245), 32).known, 0);
    }
}
