//! Whether the numbers are right, and what they cost: a session against the CPU executor, stage by stage.

mod cost;
pub mod lockstep;
mod numbers;
pub mod spread;
pub mod trial;
