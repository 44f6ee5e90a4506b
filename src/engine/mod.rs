//! A model on an executor: weights uploaded, steps recorded, tokens generated.
//! The only floor that knows both a model and the GPU; it knows no platform and no file system.

pub mod attention;
pub mod buffers;
mod classify;
pub mod conversation;
pub mod cost;
pub mod decoder;
mod delta;
pub mod draft;
pub mod export;
pub mod fault;
pub mod ffn;
pub mod files;
pub mod fit;
pub mod forward;
pub mod generation;
mod grouped;
pub mod lockstep;
mod mla;
mod mlp;
mod network;
mod numbers;
mod planning;
mod prefill_budget;
mod prefix_cache;
mod prompt;
pub mod prompt_cache;
mod read_rows;
pub mod sampling;
pub mod session;
mod short_conv;
mod state;
mod synthesis;
mod synthetic_fill;
pub mod trial;
pub mod upload;

pub use conversation::{Answer, Conversation};
pub use export::{Export, ExportTensor};
pub use files::ModelFiles;
pub use generation::{Generation, Timings};
pub use prefill_budget::StepTime;
pub use sampling::Sampling;
pub use session::{ExecutorChoice, LoadOptions, LoadProgress, LoadTimings, Memory, Session};
pub use synthesis::Synthesis;
