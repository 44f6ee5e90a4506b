//! A model planned with no executor at hand: what its steps do and what its buffers take, of a model of any size.

use crate::gpu::{Arena, Recording, Tuning};
use crate::model::Model;

use super::fit::{Plan, Room};
use super::step::Kind;
use crate::engine::load::options::Choices;

/// A model's buffers and steps; nothing is allocated.
pub struct Draft(Plan);

impl Draft {
    /// Of a model, for an executor that binds so many bytes.
    #[must_use]
    pub fn new(model: &Model, choices: Choices, binding_bytes: u64) -> Self {
        let room = Room { binding_bytes, shard_bytes: binding_bytes, most_bytes: None, program_bytes: 0 };
        Self(Plan::new(model, choices, room))
    }

    /// The buffers.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.0.arena
    }

    /// A step of `n` tokens at a position: of 1 a decode step, with the choice of the next token; of more a prompt's, without
    /// its head.
    #[must_use]
    pub fn step(&self, n: u32, position: u32) -> Recording {
        let (network, capacities) = (&self.0.network, Kind::capacities(self.0.n_chunk));
        let body = || network.body_at(position, n, &capacities, &Tuning::default()).sized(n);
        network.record(if n == 1 { network.decode_at(position) } else { body() })
    }
}
