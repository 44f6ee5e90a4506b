//! The kinds of step that every architecture has.

use crate::gpu::Recording;
use crate::kernels::Matrix;
use crate::kernels::linear::{Flow, record_linear};

/// A kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One token through all layers, head and sampling.
    Decode,
    /// The same at a position where no layer has more to attend to than it chooses, so that none has to choose.
    DecodeDense,
    /// Up to so many tokens through all layers.
    Body(u32),
    /// The same, with latent attention in plain form.
    BodyPlain(u32),
    /// Logits of the last of up to so many tokens, and sampling.
    HeadLast(u32),
    /// Logits of all of up to so many tokens.
    HeadAll(u32),
}

impl Kind {
    /// The same for up to `n` tokens, of a kind that has a number of them.
    #[must_use]
    pub(in crate::engine) fn sized(self, n: u32) -> Self {
        match self {
            Self::Decode | Self::DecodeDense => self,
            Self::Body(_) => Self::Body(n),
            Self::BodyPlain(_) => Self::BodyPlain(n),
            Self::HeadLast(_) => Self::HeadLast(n),
            Self::HeadAll(_) => Self::HeadAll(n),
        }
    }

    /// Sizes of steps that are recorded where a step takes `n_chunk` tokens at most, ascending.
    pub(in crate::engine) fn capacities(n_chunk: u32) -> Vec<u32> {
        let mut capacities: Vec<u32> = [1, 32, n_chunk].into_iter().filter(|n| *n <= n_chunk).collect();
        capacities.dedup();
        capacities
    }
}

/// Tokens that may be computed ahead of the host's knowledge.
pub const MAX_AHEAD: u32 = 256;

/// One dispatch for each shard of a matrix, all into the same output.
pub(in crate::engine) fn record_all(recording: &mut Recording, name: &'static str, matrices: &[Matrix], flow: Flow) {
    for matrix in matrices {
        record_linear(recording, name, matrix, flow);
    }
}
