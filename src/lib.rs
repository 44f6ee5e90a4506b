//! headstart runs the DeepSeek family as quantized transformer layers in WGSL, on any GPU, from one source
//! as a native binary and as a web page, and says how fast, how near the adapter's limit, and how right.
//!
//! A text, from a file on the best adapter (`examples/generate.rs` has the whole of it):
//!
//! ```no_run
//! # async fn write() -> headstart::Result<()> {
//! use std::rc::Rc;
//!
//! use headstart::engine::{LoadOptions, ModelFiles, ExecutorChoice, Sampling, Session};
//! use headstart::format::Memory;
//! use headstart::gpu::Adapter;
//!
//! let bytes: Vec<u8> = std::fs::read("model.gguf").expect("a model");
//! let files = ModelFiles::gguf(Rc::new(Memory::new("model.gguf", bytes)));
//! let place = Adapter::preferred(false).await.map_or(ExecutorChoice::Cpu, ExecutorChoice::Gpu);
//! let mut session = Session::load(&files, place, &LoadOptions::default(), &mut |_| ()).await?;
//! let mut generation = session.generate(&[1, 2, 3], &Sampling::default(), 16).await?;
//! while let Some(id) = generation.next().await? {
//!     println!("{id}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Where to look:
//! - models and texts: [`engine::ModelFiles`], [`engine::Session`], [`engine::Conversation`], [`text::Tokenizer`];
//! - measuring: [`measure::bench`], [`measure::probe`], [`measure::verify`], all of which fill a [`measure::Report`];
//! - GPUs: [`gpu::Adapter`], [`gpu::Recording`], and [`kernels::ALL`];
//! - files: [`format::gguf`], [`format::safetensors`], and the weight formats, [`format::Format`].
//!
//! Nothing here blocks: futures are driven by the host, natively by any executor (`pollster` will do), in a browser by
//! its own. All errors are one type, [`Error`], which names the thing, what was found, what was expected, what to do.
//!
//! The floors, bottom up: [`error`], `shader_text`, `unchecked_device` and `unicode`; [`format`] and `gpu`; `kernels`, `model` and `text`; `engine`;
//! `measure`; `host`. Nothing points up; `tests/tidy.rs` holds the house to that. ARCHITECTURE.md is the map, and says
//! what to touch for a new format, kernel, architecture or figure.

#[macro_use]
mod shader_text;
pub mod engine;
pub mod error;
pub mod format;
pub mod gpu;
pub mod host;
pub mod kernels;
pub mod measure;
pub mod model;
pub mod text;
#[cfg_attr(any(target_arch = "wasm32", target_vendor = "apple"), path = "unchecked_device/elsewhere.rs")]
#[cfg_attr(not(any(target_arch = "wasm32", target_vendor = "apple")), path = "unchecked_device/vulkan.rs")]
mod unchecked_device;
#[cfg_attr(target_arch = "wasm32", path = "unicode/browser.rs")]
#[cfg_attr(not(target_arch = "wasm32"), path = "unicode/native.rs")]
mod unicode;

pub use error::{Error, ErrorKind, Result};
