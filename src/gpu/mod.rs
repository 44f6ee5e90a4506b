//! The GPU as this program sees it: adapters, kernels as values, recordings, their lowering, and the two players.
//! Knows no model and no particular kernel.

pub mod adapter;
pub mod caps;
pub mod config;
pub mod kernel;
pub mod lower;
pub mod play;
pub mod play_cpu;
pub mod play_gpu;
pub mod recording;
pub mod space;
pub mod tuning;

pub use adapter::Adapter;
pub use caps::Caps;
pub use config::{Config, Nibbles, Reduce};
pub use kernel::{Access, Call, Case, Field, Kernel, Sample, Variant};
pub use play::{Player, Ticket};
pub use recording::{Arena, BufferId, Purpose, Recording, Slice, Stage};
pub use tuning::{Choice, Problem, Tuning};
