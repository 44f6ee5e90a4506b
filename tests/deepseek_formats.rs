//! FP8 and FP4 as DeepSeek stores them, with the scales in tensors of their own: a small model in official names whose
//! logits PyTorch computed from the values that it decoded itself (`tools/fixtures/deepseek_formats.py`).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop where it is, and tells what it measured")]

use std::rc::Rc;

use crate::support::{fixture, in_transformers, memory, safetensors_of};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::error::Result;
use headstart::format::{Directory, Format, Memory, quant, safetensors};
use headstart::gpu::ShaderChecks;
use headstart::model::{Shape, Weights};
use pollster::block_on;

/// The most that a logit may differ from PyTorch's, whose sums are in another order.
const BUDGET: f32 = 1e-3;
/// Sizes of steps; they straddle the compressors' blocks.
const STEPS: [u32; 5] = [7, 1, 30, 2, 64];

fn config() -> String {
    std::fs::read_to_string(fixture("deepseek/config.json")).unwrap()
}

fn model_bytes() -> Vec<u8> {
    std::fs::read(fixture("deepseek/model.safetensors")).unwrap()
}

fn directory(bytes: &[u8]) -> Directory {
    block_on(safetensors::read(&Memory::new("model.safetensors", bytes.to_vec()), 0)).unwrap().directory
}

/// Ids, and the logits after each of them, `[n_tokens][n_vocab]`.
fn expected() -> (Vec<u32>, Vec<Vec<f32>>) {
    let source = memory("deepseek/expected.safetensors");
    let directory = block_on(safetensors::read(source.as_ref(), 0)).unwrap().directory;
    let read = |name: &str| {
        let info = directory.require(name).unwrap();
        let mut bytes = vec![0; info.bytes as usize];
        block_on(source.read_at(info.offset, &mut bytes)).unwrap();
        (info.require_supported().unwrap(), bytes)
    };
    let (format, bytes) = read("ids");
    let mut ids = Vec::new();
    quant::decode_integers(format, &bytes, &mut ids).unwrap();
    let (format, bytes) = read("logits");
    let mut logits = vec![0.0; bytes.len() / 4];
    quant::decode_row(format, &bytes, &mut logits).unwrap();
    let n_vocab = logits.len() / ids.len();
    (ids.iter().map(|id| *id as u32).collect(), logits.chunks(n_vocab).map(<[f32]>::to_vec).collect())
}

fn logits(bytes: Vec<u8>, ids: &[u32], choice: ExecutorChoice, shard_bytes: Option<u64>) -> Result<Vec<Vec<f32>>> {
    let source = Rc::new(Memory::new("model.safetensors", bytes));
    let files = ModelFiles { config: Some(config()), ..ModelFiles::gguf(source) };
    let options = LoadOptions { shader_checks: ShaderChecks::On, shard_bytes, ..LoadOptions::default() };
    let mut session = block_on(Session::load(&files, choice, &options, &mut |_| ()))?;
    let mut rows = Vec::new();
    let mut each = |_: usize, row: &[f32]| {
        rows.push(row.to_vec());
        Ok(())
    };
    block_on(session.logits_in_steps(ids, &STEPS, &mut each))?;
    Ok(rows)
}

/// The largest difference; NaN where anything is not a number.
fn worst(expected: &[Vec<f32>], found: &[Vec<f32>]) -> f32 {
    assert_eq!((expected.len(), expected[0].len()), (found.len(), found[0].len()));
    let differences = expected.iter().flatten().zip(found.iter().flatten()).map(|(e, f)| (e - f).abs());
    differences.fold(0.0, |worst: f32, d| if worst.is_nan() || d <= worst { worst } else { d })
}

#[test]
fn weights_are_bound_with_their_scales() {
    let directory = directory(&model_bytes());
    let weights = Weights::bind(&Shape::from_config(&config()).unwrap(), &directory).unwrap();
    assert!(weights.ignored.is_empty(), "{:?}", weights.ignored);
    let [first, last] = [&weights.layers[1], &weights.layers[3]];
    assert_eq!((first.attn.q_a.format, last.attn.q_a.format), (Format::FP8, Format::FP8_F32));
    assert_eq!((first.ffn.experts.gate.format, last.ffn.experts.down.format), (Format::MXFP4, Format::MXFP4));
    assert_eq!((first.ffn.shared.up.format, weights.embed.format), (Format::FP8, Format::BF16));
    // Rows from the middle of a tensor know which scales are theirs, and where they lie in a file of bytes.
    let q_b = &first.attn.q_b;
    let whole = directory.require(&q_b.name).unwrap();
    let scales = directory.require("layers.1.attn.wq_b.scale").unwrap();
    let [piece] = q_b.pieces_of(130..140).collect::<Vec<_>>()[..] else { panic!("one piece") };
    assert_eq!((piece.offset, piece.n_rows), (whole.offset + 130 * u64::from(q_b.n_in), 10));
    let place = piece.scales.unwrap();
    assert_eq!((place.offset, place.first_row), (scales.offset, 130));
    // Of an expert's FP4, two elements to a byte.
    let down = &first.ffn.experts.down;
    let [piece] = down.pieces_of(3 * 160 + 5..3 * 160 + 6).collect::<Vec<_>>()[..] else { panic!("one piece") };
    let third = directory.require("layers.1.ffn.experts.3.w2.weight").unwrap();
    assert_eq!((piece.offset, piece.scales.unwrap().first_row), (third.offset + 5 * 96 / 2, 5));
}

#[test]
fn logits_are_those_that_pytorch_computes_on_every_executor() {
    let (ids, wanted) = expected();
    for adapter in [None].into_iter().chain(crate::support::adapters().into_iter().map(Some)) {
        let name = adapter
            .as_ref()
            .map_or("CPU executor".to_owned(), |a| format!("{} ({})", a.identity.name, a.identity.backend));
        let choice = adapter.map_or(ExecutorChoice::Cpu, ExecutorChoice::Gpu);
        let _turn = crate::support::turn_at(&choice);
        let gap = worst(&wanted, &logits(model_bytes(), &ids, choice, None).unwrap());
        println!("{name}: {gap:e} from PyTorch");
        assert!(gap <= BUDGET, "{name}: {gap} from PyTorch");
    }
}

/// Shards cut tensors between blocks of scales, and within them.
#[test]
fn a_model_cut_into_small_shards_computes_the_same() {
    let (ids, wanted) = expected();
    let gap = worst(&wanted[..40], &logits(model_bytes(), &ids[..40], ExecutorChoice::Cpu, Some(9 << 10)).unwrap());
    assert!(gap <= BUDGET, "{gap} from PyTorch");
}

/// The model as transformers names and stacks it: of a layer, the experts' gates and ups in one tensor, and their scales.
fn stacked() -> Vec<u8> {
    let bytes = model_bytes();
    let directory = directory(&bytes);
    let data = |name: &str| {
        let info = directory.require(name).unwrap();
        bytes[info.offset as usize..info.end() as usize].to_vec()
    };
    let mut tensors = Vec::new();
    for info in directory.tensors().iter().filter(|info| !info.name.contains(".experts.")) {
        tensors.push((
            in_transformers(&info.name),
            info.stored.name().to_owned(),
            info.shape.clone(),
            data(&info.name),
        ));
    }
    for layer in 0..4 {
        for (stack, parts) in [("gate_up_proj", &["w1", "w3"][..]), ("down_proj", &["w2"])] {
            for (ending, new_ending, dtype) in [("weight", "", "I8"), ("scale", "_scale_inv", "F8_E8M0")] {
                let name = |expert, part| format!("layers.{layer}.ffn.experts.{expert}.{part}.{ending}");
                let [n_rows, width] = directory.require(&name(0, parts[0])).unwrap().shape[..] else {
                    panic!("a matrix")
                };
                let all = (0..4).flat_map(|expert| parts.iter().flat_map(move |part| data(&name(expert, part))));
                tensors.push((
                    format!("model.layers.{layer}.mlp.experts.{stack}{new_ending}"),
                    dtype.to_owned(),
                    vec![4, n_rows * parts.len() as u64, width],
                    all.collect(),
                ));
            }
        }
    }
    safetensors_of(&tensors)
}

#[test]
fn stacked_experts_compute_the_same() {
    let (ids, wanted) = expected();
    let gap = worst(&wanted[..40], &logits(stacked(), &ids[..40], ExecutorChoice::Cpu, None).unwrap());
    assert!(gap <= BUDGET, "{gap} from PyTorch");
}

#[test]
fn one_scale_that_is_another_shows() {
    let (ids, wanted) = expected();
    let bytes = model_bytes();
    let directory = directory(&bytes);
    for name in ["layers.1.attn.wkv.scale", "layers.3.attn.wo_b.weight_scale_inv", "layers.2.ffn.experts.1.w2.scale"] {
        let info = directory.require(name).unwrap();
        let mut spoilt = bytes.clone();
        // The exponent: the byte itself, or the high one of an F32.
        let at = info.offset as usize + if name.ends_with("_inv") { 3 } else { 0 };
        spoilt[at] += 2;
        let gap = worst(&wanted[..40], &logits(spoilt, &ids[..40], ExecutorChoice::Cpu, None).unwrap());
        assert!(gap > BUDGET, "{name}: only {gap}");
    }
}

/// The model with a tensor's bytes changed.
fn with_bytes(name: &str, at: usize, new: &[u8]) -> Vec<u8> {
    let mut bytes = model_bytes();
    let begin = directory(&bytes).require(name).unwrap().offset as usize + at;
    bytes[begin..begin + new.len()].copy_from_slice(new);
    bytes
}

/// The model with one part of its header replaced by another of the same length.
fn with_header(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = model_bytes();
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn damaged_scales_and_weights_are_refused_by_name() {
    let refused = |bytes: Vec<u8>, words: &[&str]| {
        let error = logits(bytes, &[3], ExecutorChoice::Cpu, None).expect_err("a refusal").to_string();
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
    };
    refused(with_bytes("layers.0.attn.wq_a.weight", 77, &[0x7f]), &["layers.0.attn.wq_a.weight", "0x7f"]);
    refused(with_bytes("layers.0.attn.wq_a.scale", 1, &[255]), &["layers.0.attn.wq_a.weight", "a scale", "255"]);
    refused(with_bytes("layers.1.ffn.experts.2.w1.scale", 9, &[255]), &["layers.1.ffn.experts.*.w1", "a scale"]);
    let nan = f32::NAN.to_le_bytes();
    refused(with_bytes("layers.3.attn.wkv.weight_scale_inv", 4, &nan), &["layers.3.attn.", "NaN"]);
    // Scales under another name, or of another type.
    refused(
        with_header("layers.0.attn.wkv.scale", "layers.0.attn.wkv.scalE"),
        &["layers.0.attn.wkv.weight", "F8_E4M3"],
    );
    // Scales of another shape.
    let header = r#""layers.0.attn.wq_a.scale":{"dtype":"F8_E8M0","shape":[2,2]"#;
    refused(with_header(header, &header.replace("[2,2]", "[4,1]")), &["layers.0.attn.wq_a.scale", "[4, 1]", "[2, 2]"]);
}
