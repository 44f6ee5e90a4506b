//! The integration tests, in one binary: what they share is compiled once, and so are its links to the library and its
//! crates. One file of them: `cargo test --test main golden::`, or of one name: `cargo test --test main -- --exact …`.
//!
//! Apart stand those that count the process's memory (`hostile_memory`, `upload_memory`), since other tests beside them
//! would be counted too, and `tidy`, which needs nothing of the library. `tidy` also sees that no file is forgotten here.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]

mod crafted;
mod delta_models;
mod gguf_writer;
mod hub_server;
mod mla_models;
mod small_files;
mod support;

mod bench;
mod bounds;
mod chat;
mod chat_cli;
mod chat_templates;
mod cli;
mod compare;
mod conversation;
mod convert;
mod deepseek_formats;
mod delta;
mod documents;
mod drawn;
mod embedded;
mod family;
mod faults;
mod formats;
mod found_models;
mod fusion;
mod golden;
mod gpu_script;
mod grouped;
mod hostile;
mod hub;
mod kernels;
mod long_context;
mod mla;
mod mla_forms;
mod model;
mod models;
mod order;
mod packing;
mod probes;
mod quantize;
mod quantized;
mod real_shapes;
mod reports;
mod sampled;
mod sampling;
mod saved_models;
mod scales_apart;
mod shards;
mod small_models;
mod soak;
mod standard;
mod synthetic;
mod text;
mod tokenizers;
mod tune;
mod verify;
mod verify_cli;
