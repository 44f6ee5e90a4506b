//! Rows of the last positions, kept aside at the end of a prompt so that another text may go on from there.

use crate::gpu::{Arena, Purpose, Slice};

/// Positions that a text may go back by from where rows were kept: templates that leave out earlier thoughts part from the
/// text before a few tokens ahead of a prompt's end, at the mark that begins the thought.
pub const MAX_BACK: u32 = 32;

/// Rows over positions, of which the last ones are there: as many as a layer looks back on, and a step's. The rows behind
/// one position can be kept aside, so that another text may go on from there.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// `[look_back + n_chunk, stride]` f32; a token's row is its position modulo that.
    rows: Slice,
    /// Elements of a row.
    stride: u32,
    /// Earlier rows that a token needs.
    look_back: u32,
    /// Tokens of a step at most.
    n_chunk: u32,
    /// Room for kept rows, `[look_back + n_back, stride]`.
    kept: Slice,
}

impl Ring {
    pub(in crate::engine) fn plan(
        arena: &mut Arena,
        label: &str,
        rows: Slice,
        (look_back, stride): (u32, u32),
        n_chunk: u32,
    ) -> Self {
        let n_kept = look_back + n_back(n_chunk);
        let kept = arena.words(format!("{label}.kept"), u64::from(n_kept) * u64::from(stride), Purpose::Cache);
        Self { rows, stride, look_back, n_chunk, kept }
    }

    /// Where the rows lie that a text needs to go on from `end`, or from a little before; and where they are kept.
    pub fn behind(&self, end: u32) -> impl Iterator<Item = (Slice, Slice)> {
        let row_bytes = u64::from(self.stride) * 4;
        let n_rows = self.look_back + self.n_chunk;
        let n_kept = end.min(self.look_back + n_back(self.n_chunk));
        let first = (end - n_kept) % n_rows;
        let n_first = n_kept.min(n_rows - first);
        let part = move |of: Slice, row: u32, n: u32| Slice {
            offset: of.offset + u64::from(row) * row_bytes,
            bytes: u64::from(n) * row_bytes,
            ..of
        };
        let parts = [(first, 0, n_first), (0, n_first, n_kept - n_first)];
        let parts = parts.into_iter().filter(|(_, _, n)| *n > 0);
        let (rows, kept) = (self.rows, self.kept);
        parts.map(move |(from, to, n)| (part(rows, from, n), part(kept, to, n)))
    }

    /// The rows, and those kept aside.
    pub(in crate::engine) fn held(&self) -> [Slice; 2] {
        [self.rows, self.kept]
    }
}

/// Positions that a text may go back by from where rows were kept, with steps of `n_chunk` tokens.
pub fn n_back(n_chunk: u32) -> u32 {
    MAX_BACK.min(n_chunk)
}
