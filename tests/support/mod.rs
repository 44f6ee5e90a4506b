//! What the tests of whole models share: fixtures, the places to run, and how far two distributions are apart.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]
#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::format::{Memory, Source};
use headstart::gpu::Adapter;
use headstart::gpu::ShaderChecks;
use pollster::block_on;

/// The path of a fixture.
pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A small model of `tests/fixtures/families`, as `headstart quantize --to f32` writes its safetensors.
pub(crate) fn exported(family: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture(&format!("families/{family}/{name}")), folder.path().join(name)).unwrap();
    }
    let to = folder.path().join("out.gguf");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_headstart"));
    let output = command.arg("quantize").args([folder.path(), &to]).args(["--to", "f32"]).output().unwrap();
    assert!(output.status.success(), "{family}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(to).unwrap()
}

/// A fixture as a source.
pub(crate) fn memory(name: &str) -> Rc<dyn Source> {
    Rc::new(Memory::new(name, std::fs::read(fixture(name)).unwrap()))
}

/// Every adapter that is there. None is a failure, since whatever is checked on adapters would pass on nothing; who has
/// none says so: `HEADSTART_TEST_GPU=skip`.
pub(crate) fn adapters() -> Vec<Adapter> {
    // Once for all tests, whose executors share a device of each, and what was compiled for it: two in three texts recur.
    static ADAPTERS: LazyLock<Vec<Adapter>> =
        LazyLock::new(|| block_on(Adapter::all()).into_iter().map(Adapter::sharing_a_device).collect());
    let adapters = ADAPTERS.clone();
    let may_skip = std::env::var("HEADSTART_TEST_GPU").is_ok_and(|word| word == "skip");
    assert!(
        may_skip || !adapters.is_empty(),
        "no adapter to test on: install a software one (bash tools/setup.sh native), or set HEADSTART_TEST_GPU=skip"
    );
    adapters
}

/// To be held for as long as a test has an executor on the adapter. Threads that use OpenGL wait for each other inside wgpu, which takes
/// more than six seconds of that for a deadlock and panics; a slow machine that compiles anew needs as long.
pub(crate) fn turn(adapter: &Adapter) -> Option<MutexGuard<'static, ()>> {
    static OPENGL: Mutex<()> = Mutex::new(());
    // A test that failed leaves it as it was.
    (adapter.identity.backend == "gl").then(|| OPENGL.lock().unwrap_or_else(PoisonError::into_inner))
}

/// As [`turn`], of a place.
pub(crate) fn turn_at(choice: &ExecutorChoice) -> Option<MutexGuard<'static, ()>> {
    match choice {
        ExecutorChoice::Gpu(adapter) => turn(adapter),
        ExecutorChoice::Cpu => None,
    }
}

/// Every place to run, by name: the CPU executor and each adapter.
pub(crate) fn all_places() -> Vec<(String, ExecutorChoice)> {
    places_of(adapters())
}

/// Where most whole models are run: of a device that is there by Vulkan and by OpenGL once. Through OpenGL it runs every
/// kernel in every variant (`kernels`) and the golden models.
pub(crate) fn places() -> Vec<(String, ExecutorChoice)> {
    let mut adapters = adapters();
    let by_vulkan: Vec<String> = adapters
        .iter()
        .filter(|adapter| adapter.identity.backend == "vulkan")
        .map(|a| a.identity.name.clone())
        .collect();
    adapters.retain(|adapter| adapter.identity.backend != "gl" || !by_vulkan.contains(&adapter.identity.name));
    places_of(adapters)
}

/// As [`places`], of software adapters only the one whose turn it is: for tests that go over several models. That adapters compute
/// alike is what `kernels` shows of every kernel on each, and `golden`, `verify` and `synthetic` of whole models.
pub(crate) fn places_in_turn(turn: usize) -> Vec<(String, ExecutorChoice)> {
    let is_software = |choice: &ExecutorChoice| matches!(choice, ExecutorChoice::Gpu(of) if of.caps.is_software);
    let (software, mut places): (Vec<_>, Vec<_>) = places().into_iter().partition(|(_, choice)| is_software(choice));
    let n = software.len().max(1);
    places.extend(software.into_iter().skip(turn % n).step_by(n));
    places
}

fn places_of(adapters: Vec<Adapter>) -> Vec<(String, ExecutorChoice)> {
    let named = |adapter: Adapter| {
        (format!("{} ({})", adapter.identity.name, adapter.identity.backend), ExecutorChoice::Gpu(adapter))
    };
    std::iter::once(("CPU executor".to_owned(), ExecutorChoice::Cpu)).chain(adapters.into_iter().map(named)).collect()
}

/// Shaders run with bounds checks, but on SwiftShader as people run them, without: so both forms are tried, and checks take
/// half of its time.
pub(crate) fn checks(adapter: &Adapter) -> ShaderChecks {
    match adapter.identity.name.contains("SwiftShader") {
        true => ShaderChecks::Off,
        false => ShaderChecks::On,
    }
}

/// A model that must load, its shaders checked as [`checks`] has it.
pub(crate) fn load(files: &ModelFiles, choice: ExecutorChoice, options: &LoadOptions) -> Session {
    let shader_checks = match &choice {
        ExecutorChoice::Gpu(adapter) => checks(adapter),
        ExecutorChoice::Cpu => ShaderChecks::On,
    };
    let options = LoadOptions { shader_checks, ..options.clone() };
    block_on(Session::load(files, choice, &options, &mut |_| ())).unwrap()
}

/// Logits after each of `ids`, the first steps of these sizes.
pub(crate) fn logits(session: &mut Session, ids: &[u32], steps: &[u32]) -> Vec<f32> {
    let mut all = Vec::new();
    let mut each = |_, logits: &[f32]| {
        all.extend_from_slice(logits);
        Ok(())
    };
    block_on(session.logits_in_steps(ids, steps, &mut each)).unwrap();
    all
}

/// Texts that the CPU executor writes from nothing, each once: what every place must write that goes on from another text.
pub(crate) struct FromNothing {
    session: Session,
    known: BTreeMap<(Vec<u32>, usize), Vec<u32>>,
}

impl FromNothing {
    pub(crate) fn of(files: &ModelFiles, options: &LoadOptions) -> Self {
        Self { session: load(files, ExecutorChoice::Cpu, options), known: BTreeMap::new() }
    }

    /// What follows a prompt: the likeliest tokens, as many as are asked for or there is room for, an end like any other.
    pub(crate) fn text(&mut self, prompt: &[u32], n: usize) -> Vec<u32> {
        let write = || {
            block_on(async {
                let mut generation = self.session.generate_from(0, prompt, &Sampling::default(), n).await.unwrap();
                let mut ids = Vec::new();
                while let Some(id) = generation.next().await.unwrap() {
                    ids.push(id);
                }
                generation.finish().await.unwrap();
                ids
            })
        };
        self.known.entry((prompt.to_vec(), n)).or_insert_with(write).clone()
    }
}

/// The largest difference, and NaN where anything is not a number.
pub(crate) fn worst(expected: &[f32], found: &[f32]) -> f32 {
    assert_eq!(expected.len(), found.len());
    let differences = expected.iter().zip(found).map(|(e, f)| (e - f).abs());
    differences.fold(0.0, |a, b| if a.is_nan() || b <= a { a } else { b })
}

/// Natural logarithms of the probabilities.
pub(crate) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f32::MIN, f32::max);
    let total: f64 = logits.iter().map(|z| f64::from(z - greatest).exp()).sum();
    logits.iter().map(|z| f64::from(z - greatest) - total.ln()).collect()
}

/// Kullback-Leibler divergence in nats: Σ p (log p − log q).
pub(crate) fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum()
}

/// Mean and standard deviation.
pub(crate) fn spread(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / n;
    let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// What transformers calls a tensor that has an official name, experts apart.
pub(crate) fn in_transformers(official: &str) -> String {
    let Some((layer, name)) = official.strip_prefix("layers.").and_then(|name| name.split_once('.')) else {
        return match official {
            "embed.weight" => "model.embed_tokens.weight".to_owned(),
            "head.weight" => "lm_head.weight".to_owned(),
            "norm.weight" => "model.norm.weight".to_owned(),
            hyper => hyper.replace("hc_head_", "model.hc_head.hc_"),
        };
    };
    let name = match name {
        "attn_norm.weight" => "input_layernorm.weight".to_owned(),
        "ffn_norm.weight" => "post_attention_layernorm.weight".to_owned(),
        _ => name
            .replace("hc_attn_", "attn_hc.")
            .replace("hc_ffn_", "ffn_hc.")
            .replace("attn.indexer.compressor.norm", "self_attn.compressor.indexer.kv_norm")
            .replace("attn.indexer.compressor", "self_attn.compressor.indexer")
            .replace("attn.indexer.weights_proj", "self_attn.compressor.indexer.scorer.weights_proj")
            .replace("attn.indexer.wq_b", "self_attn.compressor.indexer.q_b_proj")
            .replace("attn.compressor.norm", "self_attn.compressor.kv_norm")
            .replace("attn.compressor", "self_attn.compressor")
            .replace("attn.attn_sink", "self_attn.sinks")
            .replace("attn.q_norm", "self_attn.q_a_norm")
            .replace("attn.kv_norm", "self_attn.kv_norm")
            .replace("attn.w", "self_attn.w")
            .replace("self_self_attn", "self_attn")
            .replace(".wq_a.", ".q_a_proj.")
            .replace(".wq_b.", ".q_b_proj.")
            .replace(".wkv.", ".kv_proj.")
            .replace(".wgate.", ".gate_proj.")
            .replace(".wo_a.", ".o_a_proj.")
            .replace(".wo_b.", ".o_b_proj.")
            .replace(".ape", ".position_bias")
            .replace("ffn.gate.bias", "mlp.gate.e_score_correction_bias")
            .replace("ffn.shared_experts.w1", "mlp.shared_experts.gate_proj")
            .replace("ffn.shared_experts.w3", "mlp.shared_experts.up_proj")
            .replace("ffn.shared_experts.w2", "mlp.shared_experts.down_proj")
            .replace("ffn.gate.", "mlp.gate."),
    };
    format!("model.layers.{layer}.{name}")
}

/// A safetensors file of these tensors: name, type, shape and bytes of each.
pub(crate) fn safetensors_of(tensors: &[(String, String, Vec<u64>, Vec<u8>)]) -> Vec<u8> {
    let (mut entries, mut data): (Vec<String>, Vec<u8>) = (Vec::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let (begin, end) = (data.len(), data.len() + bytes.len());
        entries.push(format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#));
        data.extend(bytes);
    }
    let header = format!("{{{}}}", entries.join(","));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(data);
    file
}
