//! A model on a player: weights uploaded, steps recorded, tokens generated.
//! The only floor that knows both a model and the GPU; it knows no platform and no file system.

pub mod attention;
pub mod buffers;
pub mod conversation;
pub mod export;
pub mod fault;
pub mod ffn;
pub mod files;
mod fill;
pub mod fit;
pub mod forward;
pub mod generation;
mod given;
pub mod grouped;
pub mod lockstep;
mod network;
mod numbers;
mod pace;
mod past;
mod prompt;
mod rows;
pub mod session;
pub mod upload;
pub mod work;

pub use conversation::{Answer, Conversation};
pub use export::{Export, ExportTensor};
pub use files::ModelFiles;
pub use generation::{Generation, Sampling, Timings};
pub use pace::StepTime;
pub use session::{LoadOptions, LoadProgress, LoadTimings, Memory, PlayerChoice, Session};
