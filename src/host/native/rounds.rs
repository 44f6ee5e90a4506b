//! `--exact` and `--int8`: how far kernels may round activations, in every command that runs a model.

use crate::gpu::Rounding;
use clap::Args;

/// How far kernels may round activations.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Rounds {
    /// Leave out kernels that round activations, also where they were found to be fast
    #[arg(long)]
    exact: bool,
    /// Let a search, and what it found, round activations to 8 bits too: faster in places, and as far off as weights of 8 bits
    #[arg(long, conflicts_with = "exact")]
    int8: bool,
}

impl Rounds {
    /// The same, as tunings have it.
    pub(super) fn rounding(self) -> Rounding {
        match self {
            Self { exact: true, .. } => Rounding::Exact,
            Self { int8: true, .. } => Rounding::Int8,
            _ => Rounding::Usual,
        }
    }
}
