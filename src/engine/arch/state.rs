//! What layers keep that later tokens overwrite, and how a text goes back in it. Keys and values by position need nothing of
//! this: what lies behind a position is simply overwritten.

use crate::gpu::{Arena, Purpose, Slice};

use super::ring::{self, Ring};

/// State that a text cannot go back in at will.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) enum State {
    /// Rows of the last positions.
    Ring(Ring),
    /// One value that stands for all tokens before.
    Recurrent(Recurrent),
}

impl State {
    /// The copies that keep aside what a text needs to go on from `end`, where it has come to.
    pub(in crate::engine) fn snapshot(&self, end: u32) -> Vec<(Slice, Slice)> {
        match self {
            Self::Ring(ring) => ring.behind(end).collect(),
            Self::Recurrent(Recurrent { live, kept }) => vec![(*live, *kept)],
        }
    }

    /// The copies that put back what was kept aside at `end`.
    pub(in crate::engine) fn restore(&self, end: u32) -> Vec<(Slice, Slice)> {
        self.snapshot(end).into_iter().map(|(live, kept)| (kept, live)).collect()
    }

    /// How many positions a text can go back by from the furthest that was computed, with steps of `n_chunk` tokens.
    pub(in crate::engine) fn slack(&self, n_chunk: u32) -> u32 {
        match self {
            Self::Ring(_) => n_chunk,
            Self::Recurrent(_) => 0,
        }
    }

    /// How many positions a text can go back by from a snapshot that was put back.
    pub(in crate::engine) fn n_back(&self, n_chunk: u32) -> u32 {
        match self {
            Self::Ring(_) => ring::n_back(n_chunk),
            Self::Recurrent(_) => 0,
        }
    }
}

/// A recurrent state, with room for one copy. It is zeros at position 0, whatever it holds: kernels see to that.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Recurrent {
    live: Slice,
    kept: Slice,
}

impl Recurrent {
    /// Plans a state of `n` f32.
    pub(in crate::engine) fn plan(arena: &mut Arena, label: &str, n: u64) -> Self {
        let live = arena.words(label, n, Purpose::Cache);
        Self { live, kept: arena.words(format!("{label}.kept"), n, Purpose::Cache) }
    }

    /// The state itself.
    pub(in crate::engine) fn live(&self) -> Slice {
        self.live
    }

    /// The state and its copy.
    pub(in crate::engine) fn held(&self) -> [Slice; 2] {
        [self.live, self.kept]
    }
}
