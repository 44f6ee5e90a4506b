//! The GPU as this program sees it: adapters, kernels as values, recordings, their lowering, and the two executors.
//! Knows no model and no particular kernel.

pub mod adapter;
pub mod caps;
pub mod config;
pub mod device;
pub mod executor;
pub mod executor_cpu;
pub mod executor_gpu;
pub mod fuse;
pub mod lower;
pub mod op;
pub mod recording;
pub mod space;
pub mod tile;
pub mod tuning;

pub use adapter::Adapter;
pub use caps::Caps;
pub use config::{Config, Nibbles, Reduce};
pub use device::ShaderChecks;
pub use executor::{Executor, Ticket};
pub use op::{Access, Call, Case, Field, Op, Sample, Variant};
pub use recording::{Arena, BufferId, Purpose, Recording, Slice, Stage};
pub use tile::Tile;
pub use tuning::{APART, Choice, Problem, Rounding, Tuning};
