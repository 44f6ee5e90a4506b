//! One small Qwen3 in every weight format that a GGUF has, written by `headstart quantize`: held against llama.cpp on
//! the same file, against PyTorch on what gguf-py decodes from it, and every adapter against the CPU executor
//! (`tools/fixtures/formats.py`). The weights are a formula, so that no file need be kept: its hash is.
//!
//! llama.cpp rounds activations to 8 bits before it multiplies: most of what lies between it and the CPU executor is its own
//! distance from the exact answer, which stands in `index.json`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop where it is, and tells what it measured")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use crate::support::{divergence, fixture, log_softmax, memory, safetensors_of};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::format::{Format, Memory, Source, quant, safetensors};
use headstart::measure::model_hash::model_hash;
use pollster::block_on;

/// Mean KL divergence in nats: of an adapter from the CPU executor.
const FROM_CPU: f64 = 1e-4;
/// Of the CPU executor from llama.cpp.
const FROM_LLAMA: f64 = 1e-3;
/// Of the CPU executor from PyTorch, most of which is that the fixture has its logarithms in f16.
const FROM_EXACT: f64 = 1e-5;
const N_VOCAB: usize = 256;

/// Names and shapes, in the order in which the formula counts them.
fn tensors() -> Vec<(String, Vec<u64>)> {
    const LAYER: [(&str, &[u64]); 11] = [
        ("input_layernorm", &[256]),
        ("self_attn.q_proj", &[256, 256]),
        ("self_attn.k_proj", &[128, 256]),
        ("self_attn.v_proj", &[128, 256]),
        ("self_attn.q_norm", &[64]),
        ("self_attn.k_norm", &[64]),
        ("self_attn.o_proj", &[256, 256]),
        ("post_attention_layernorm", &[256]),
        ("mlp.gate_proj", &[512, 256]),
        ("mlp.up_proj", &[512, 256]),
        ("mlp.down_proj", &[256, 512]),
    ];
    let layers = (0..2).flat_map(|n| {
        LAYER.iter().map(move |(name, shape)| (format!("model.layers.{n}.{name}.weight"), shape.to_vec()))
    });
    let table = |name: &str, shape: &[u64]| (format!("{name}.weight"), shape.to_vec());
    let first = [table("model.embed_tokens", &[256, 256])];
    let last = [table("model.norm", &[256]), table("lm_head", &[256, 256])];
    first.into_iter().chain(layers).chain(last).collect()
}

/// Number `place` of a tensor: four bytes of a hash, added up, less their mean.
fn number(tensor: u32, place: u32) -> f32 {
    let mut x = place.wrapping_add((tensor + 1) << 20);
    for (shift, factor) in [(16, 0x85EB_CA6B_u32), (13, 0xC2B2_AE35)] {
        x = (x ^ x >> shift).wrapping_mul(factor);
    }
    let sum: u32 = (x ^ x >> 16).to_le_bytes().into_iter().map(u32::from).sum();
    sum as f32 - 510.0
}

/// A folder with the model as safetensors, inside another. Its name goes into the files.
fn model() -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("qwen3");
    std::fs::create_dir(&folder).unwrap();
    let weights = (0..).zip(tensors()).map(|(index, (name, shape))| {
        let weight = |place| match number(index, place) {
            value if name.contains("norm") => 1.0 + value / 1024.0,
            value if name.contains("embed") => value / 128.0,
            value => value / 2048.0,
        };
        let n = shape.iter().product::<u64>() as u32;
        let bytes = (0..n).flat_map(|place| weight(place).to_le_bytes()).collect();
        (name.clone(), "F32".to_owned(), shape, bytes)
    });
    let file = safetensors_of(&weights.collect::<Vec<_>>());
    std::fs::write(folder.join("model.safetensors"), file).unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(fixture(&format!("formats/{name}")), folder.join(name)).unwrap();
    }
    (outer, folder)
}

/// The model in a format, as the program writes it.
fn quantized(folder: &Path, format: Format) -> Rc<dyn Source> {
    let path = folder.join("out.gguf");
    let mut command = Command::new(env!("CARGO_BIN_EXE_headstart"));
    command.arg("quantize").args([folder, &path]).args(["--to", &format.name().to_lowercase()]).stdin(Stdio::null());
    let ended = command.output().expect("the program starts");
    assert!(ended.status.success(), "{format}: {}", String::from_utf8_lossy(&ended.stderr));
    Rc::new(Memory::new(format!("{format}.gguf"), std::fs::read(&path).unwrap()))
}

/// What the fixture has.
struct Expected {
    source: Rc<dyn Source>,
    directory: headstart::format::Directory,
    index: serde_json::Value,
}

impl Expected {
    fn read() -> Self {
        let source = memory("formats/expected.safetensors");
        let directory = block_on(safetensors::read(source.as_ref(), 0)).unwrap().directory;
        let index = serde_json::from_slice(&std::fs::read(fixture("formats/index.json")).unwrap()).unwrap();
        Self { source, directory, index }
    }

    fn bytes(&self, name: &str) -> Option<(Format, Vec<u8>)> {
        let info = self.directory.get(name)?;
        let mut bytes = vec![0; info.bytes as usize];
        block_on(self.source.read_at(info.offset, &mut bytes)).unwrap();
        Some((info.require_supported().unwrap(), bytes))
    }

    fn ids(&self) -> Vec<u32> {
        let (format, bytes) = self.bytes("ids").unwrap();
        let mut ids = Vec::new();
        quant::decode_integers(format, &bytes, &mut ids).unwrap();
        ids.into_iter().map(i32::cast_unsigned).collect()
    }

    /// Log-probabilities, normed again after their rounding.
    fn rows(&self, name: &str) -> Option<Vec<Vec<f64>>> {
        let (format, bytes) = self.bytes(name)?;
        let mut values = vec![0.0; bytes.len() / 2];
        quant::decode_row(format, &bytes, &mut values).unwrap();
        Some(values.chunks(N_VOCAB).map(log_softmax).collect())
    }
}

/// Log-probabilities after each id.
fn rows(source: &Rc<dyn Source>, ids: &[u32], choice: ExecutorChoice) -> Vec<Vec<f64>> {
    let options = LoadOptions { n_context: Some(64), ..LoadOptions::default() };
    let files = ModelFiles::gguf(Rc::clone(source));
    let mut session = block_on(Session::load(&files, choice, &options, &mut |_| ())).unwrap();
    let mut rows = Vec::new();
    let mut each = |_: usize, row: &[f32]| {
        rows.push(log_softmax(row));
        Ok(())
    };
    block_on(session.logits_in_steps(ids, &[7, 1, 32], &mut each)).unwrap();
    rows
}

/// Mean KL divergence.
fn gap(expected: &[Vec<f64>], found: &[Vec<f64>]) -> f64 {
    assert_eq!((expected.len(), expected[0].len()), (found.len(), found[0].len()));
    let total: f64 = expected.iter().zip(found).map(|(e, f)| divergence(e, f)).sum();
    total / expected.len() as f64
}

fn formats() -> impl Iterator<Item = Format> {
    Format::WEIGHTS.into_iter().filter(|format| format.can_encode() && format.ggml_id().is_some())
}

#[test]
fn every_format_is_as_near_to_pytorch_and_llama_cpp_as_it_must_be() {
    let (expected, (_outer, folder)) = (Expected::read(), model());
    let ids = expected.ids();
    for format in formats() {
        let facts = &expected.index[format.name()];
        let source = quantized(&folder, format);
        let hash = block_on(model_hash(&[Rc::clone(&source)], &mut |_| ControlFlow::Continue(()))).unwrap();
        assert_eq!(hash.as_deref(), facts["sha256"].as_str(), "{format}: another file than the fixture's");
        let ours = rows(&source, &ids, ExecutorChoice::Cpu);
        let from_exact = gap(&expected.rows(&format!("exact_{format}")).unwrap(), &ours);
        assert!(from_exact <= FROM_EXACT, "{format}: {from_exact} from PyTorch");
        let from_llama = gap(&expected.rows(&format!("llama_{format}")).unwrap(), &ours);
        let llama_from_exact = facts["llama_from_exact"].as_f64().unwrap();
        println!("| {format} | {from_exact:.1e} | {from_llama:.1e} | {llama_from_exact:.1e} |");
        assert!(from_llama <= FROM_LLAMA, "{format}: {from_llama} from llama.cpp, which is {llama_from_exact} off");
    }
}

#[test]
fn every_adapter_is_near_to_the_cpu_executor_in_every_format() {
    let (expected, (_outer, folder)) = (Expected::read(), model());
    let ids = expected.ids();
    let adapters = crate::support::adapters();
    for format in formats() {
        let source = quantized(&folder, format);
        let ours = rows(&source, &ids, ExecutorChoice::Cpu);
        for adapter in &adapters {
            let _turn = crate::support::turn(adapter);
            let place = format!("{format} on {} ({})", adapter.identity.name, adapter.identity.backend);
            let found = gap(&ours, &rows(&source, &ids, ExecutorChoice::Gpu(adapter.clone())));
            println!("{place}: {found:.1e}");
            assert!(found.abs() <= FROM_CPU, "{place}: {found} from the CPU executor");
        }
    }
}

/// The exact answer of one format is no answer of another.
#[test]
fn another_format_is_noticed() {
    let (expected, (_outer, folder)) = (Expected::read(), model());
    let ours = rows(&quantized(&folder, Format::Q8_0), &expected.ids(), ExecutorChoice::Cpu);
    for format in formats().filter(|format| *format != Format::Q8_0) {
        let gap = gap(&expected.rows(&format!("exact_{format}")).unwrap(), &ours);
        assert!(gap > FROM_EXACT, "{format}: {gap}");
    }
}
