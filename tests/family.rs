//! What the tests of families share: a small random model of each, beside what transformers computed with it.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use crate::mla_models::tensors;
use crate::support::memory;
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::error::Error;
use headstart::format::Memory;
use headstart::gpu::ShaderChecks;
use pollster::block_on;
use serde_json::Value as Json;
use std::rc::Rc;

/// A slip of a converter: what it is, the tensors that it concerns by the end of their names, and what it does to them.
pub(crate) type Change<'a> = (&'a str, &'a str, &'a dyn Fn(&mut Vec<f32>));

/// What transformers computed: ids, logits after each, and the tokens that follow.
pub(crate) struct Expected {
    pub(crate) ids: Vec<u32>,
    pub(crate) logits: Vec<f32>,
    pub(crate) greedy: Vec<u32>,
}

pub(crate) fn expected(family: &str) -> Expected {
    let all = tensors(&format!("families/{family}/expected.safetensors"));
    let ids = |name: &str| all[name].values.iter().map(|id| *id as u32).collect();
    Expected { ids: ids("ids"), logits: all["logits"].values.clone(), greedy: ids("greedy") }
}

pub(crate) fn options() -> LoadOptions {
    LoadOptions { shader_checks: ShaderChecks::On, n_context: Some(256), ..LoadOptions::default() }
}

pub(crate) fn with_config(family: &str, config: &Json) -> ModelFiles {
    let sources = vec![memory(&format!("families/{family}/model.safetensors"))];
    ModelFiles { sources, config: Some(config.to_string()), ..ModelFiles::default() }
}

pub(crate) fn in_memory(bytes: Vec<u8>) -> ModelFiles {
    ModelFiles::gguf(Rc::new(Memory::new("model.gguf", bytes)))
}

pub(crate) fn refused(files: &ModelFiles) -> Error {
    block_on(Session::load(files, ExecutorChoice::Cpu, &options(), &mut |_| ())).err().unwrap()
}
