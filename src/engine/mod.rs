//! A model on a player: weights uploaded, steps recorded, tokens generated.
//! The only floor that knows both a model and the GPU; it knows no platform and no file system.

pub mod attention;
pub mod buffers;
pub mod conversation;
pub mod decoder;
pub mod export;
pub mod fault;
pub mod ffn;
pub mod files;
mod fill;
pub mod fit;
pub mod forward;
pub mod generation;
mod given;
mod grouped;
pub mod lockstep;
mod mla;
mod mlp;
mod network;
mod numbers;
mod pace;
mod past;
mod prompt;
pub mod prompt_cache;
mod rows;
pub mod sampling;
pub mod session;
mod synthesis;
pub mod trial;
pub mod upload;
pub mod work;

pub use conversation::{Answer, Conversation};
pub use export::{Export, ExportTensor};
pub use files::ModelFiles;
pub use generation::{Generation, Timings};
pub use pace::StepTime;
pub use sampling::Sampling;
pub use session::{LoadOptions, LoadProgress, LoadTimings, Memory, PlayerChoice, Session};
pub use synthesis::Synthesis;
