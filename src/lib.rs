//! headstart runs the DeepSeek family as quantized transformer layers in WGSL, on any GPU, from one source
//! as a native binary and as a web page, and says how fast, how near the adapter's limit, and how right.
//!
//! The floors, bottom up: [`error`]; [`format`] and `gpu`; `kernels`, `model` and `text`; `engine`;
//! `measure`; `host`. Nothing points up; `tests/tidy.rs` holds the house to that.

pub mod engine;
pub mod error;
pub mod format;
pub mod gpu;
pub mod host;
pub mod kernels;
pub mod measure;
pub mod model;
pub mod text;

pub use error::{Error, ErrorKind, Result};
