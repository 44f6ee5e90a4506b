//! The GPU as this program sees it: adapters, kernels as values, recordings, and the two players that run them.
//! Knows no model and no particular kernel.

pub mod adapter;
pub mod kernel;
pub mod play;
pub mod play_cpu;
pub mod play_gpu;
pub mod recording;

pub use adapter::Adapter;
pub use kernel::{Access, Call, Case, Field, Kernel};
pub use play::{Player, Ticket};
pub use recording::{Arena, BufferId, Knobs, Purpose, Recording, Slice, Stage, Team};
