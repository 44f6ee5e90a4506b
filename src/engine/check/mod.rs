//! Whether the numbers are right, and what they cost: a session against the CPU executor, stage by stage.

pub mod copies;
mod cost;
pub mod lockstep;
mod numbers;
pub mod trial;
