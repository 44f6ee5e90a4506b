//! Models in every weight format, uniform and mixed, on the CPU executor and on every adapter present. The files are
//! written here, from two random models: the one of `golden/gguf`, whose rows suit blocks of 32, and the one of
//! `quantized/`, whose rows suit blocks of 256 and whose logits PyTorch computed.
//!
//! An adapter must agree with the CPU executor. As both could share a wrong decoder, the CPU executor must also come as
//! near to the model in F32 as the format allows.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop where it is, and tells what it measured")]

use std::rc::Rc;

use crate::gguf_writer::{GgufModel, Tensor};
use crate::support::{divergence, fixture, load, log_softmax, memory};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles};
use headstart::format::{Format, Memory, quant, safetensors};
use pollster::block_on;

/// Tokens fed: more than 128, so that every kind of compressed entry is in use.
const N_TOKENS: usize = 136;
/// Sizes of steps; they straddle the compressors' blocks.
const STEPS: [u32; 7] = [7, 1, 30, 2, 64, 3, 29];
/// What adapter and CPU executor may differ by: mean KL divergence in nats, and a single logit.
const BUDGET: Gap = Gap { divergence: 1e-6, worst: 1e-3 };
/// Formats of 6 and more bits change so little that the mean KL divergence from F32 stays below this, in nats.
const FINE_DIVERGENCE: f64 = 0.05;

/// How far two lists of logits are apart.
#[derive(Clone, Copy, Debug)]
struct Gap {
    /// Mean KL divergence, nats.
    divergence: f64,
    /// The largest difference of a logit; NaN where anything is not a number.
    worst: f32,
}

impl Gap {
    /// Of logits `[n_tokens][n_vocab]`.
    fn between(expected: &[Vec<f32>], found: &[Vec<f32>]) -> Self {
        assert_eq!((expected.len(), expected[0].len()), (found.len(), found[0].len()));
        let rows = || expected.iter().zip(found);
        let total: f64 = rows().map(|(e, f)| divergence(&log_softmax(e), &log_softmax(f))).sum();
        let differences = rows().flat_map(|(e, f)| e.iter().zip(f)).map(|(e, f)| (e - f).abs());
        let worst = differences.fold(0.0, |w: f32, d| if w.is_nan() || d <= w { w } else { d });
        Self { divergence: total / expected.len() as f64, worst }
    }

    fn is_within(self, budget: Self) -> bool {
        self.divergence <= budget.divergence && self.worst <= budget.worst
    }
}

/// A model to write again, the ids to feed it, and its logits in F32.
struct Original {
    name: &'static str,
    model: GgufModel,
    ids: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

impl Original {
    /// The model of `golden/gguf`. Others have checked its tokens; its logits are here the CPU executor's own.
    fn narrow() -> Self {
        let model = GgufModel::read(memory("golden/gguf/v4_random_f32.gguf").as_ref());
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(fixture("golden/gguf/v4_random_f32.golden.json")).unwrap()).unwrap();
        let ids: Vec<u32> = serde_json::from_value(json["prompt"].clone()).unwrap();
        let ids = ids[..N_TOKENS].to_vec();
        let logits = logits(&model, &ids, ExecutorChoice::Cpu);
        Self { name: "narrow model", model, ids, logits }
    }

    /// The model of `quantized/`, with the logits that PyTorch computed.
    fn wide() -> Self {
        let model = GgufModel::read(memory("quantized/v4_mixed.gguf").as_ref());
        let source = memory("quantized/expected.safetensors");
        let directory = block_on(safetensors::read(source.as_ref(), 0)).unwrap().directory;
        let read = |name: &str| {
            let info = directory.require(name).unwrap();
            let mut bytes = vec![0; info.bytes as usize];
            block_on(source.read_at(info.offset, &mut bytes)).unwrap();
            (info.require_supported().unwrap(), bytes, info.n_in() as usize)
        };
        let (format, bytes, _) = read("ids");
        let mut ids = Vec::new();
        quant::decode_integers(format, &bytes, &mut ids).unwrap();
        let (format, bytes, n_vocab) = read("logits_mixed");
        let mut logits = vec![0.0; bytes.len() / 4];
        quant::decode_row(format, &bytes, &mut logits).unwrap();
        Self {
            name: "wide model",
            model,
            ids: ids[..N_TOKENS].iter().map(|id| *id as u32).collect(),
            logits: logits.chunks(n_vocab).take(N_TOKENS).map(<[f32]>::to_vec).collect(),
        }
    }
}

/// Logits after each id, `[n_tokens][n_vocab]`, fed in uneven steps.
fn logits(model: &GgufModel, ids: &[u32], choice: ExecutorChoice) -> Vec<Vec<f32>> {
    let files = ModelFiles::gguf(Rc::new(Memory::new("written.gguf", model.bytes())));
    let options = LoadOptions { n_context: Some(512), ..LoadOptions::default() };
    let mut session = load(&files, choice, &options);
    let mut rows = Vec::new();
    let mut each = |_: usize, row: &[f32]| {
        rows.push(row.to_vec());
        Ok(())
    };
    block_on(session.logits_in_steps(ids, &STEPS, &mut each)).unwrap();
    assert_eq!(rows.len(), ids.len());
    rows
}

/// Which adapters a file is tried on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Places {
    All,
    /// Not on SwiftShader, which takes 4 to 12 s for each file of the wide model where Mesa takes 1 to 2; it has every format
    /// in the mixed files.
    Fast,
}

/// Holds each adapter's logits of a model against the CPU executor's. Returns how far these are from the model in F32.
fn check(what: &str, original: &Original, model: &GgufModel, places: Places) -> Gap {
    let expected = logits(model, &original.ids, ExecutorChoice::Cpu);
    for (place, choice) in crate::support::places().into_iter().skip(1) {
        if places == Places::Fast && place.contains("SwiftShader") {
            continue;
        }
        let place = format!("{what} on {place}");
        let gap = Gap::between(&expected, &logits(model, &original.ids, choice));
        println!("{place}: {gap:?} from the CPU executor");
        assert!(gap.is_within(BUDGET), "{place}: {gap:?} from the CPU executor");
    }
    let loss = Gap::between(&original.logits, &expected);
    println!("{what}: {loss:?} from the model in F32");
    loss
}

/// Writes the model in one format, checks it in these places, and holds what the format costs within bounds.
fn check_format(original: &Original, format: Format, places: Places) {
    let what = format!("{} in {format}", original.name);
    let model = original.model.in_formats(|_| format);
    assert!(model.tensors.iter().filter(|tensor| tensor.format == format).count() > 20, "{what}: hardly a tensor is");
    let loss = check(&what, original, &model, places);
    match format {
        Format::F32 => assert!(loss.is_within(BUDGET), "{what}: {loss:?} from F32"),
        Format::F16 | Format::BF16 | Format::Q8_0 | Format::Q6_K => {
            assert!(loss.divergence <= FINE_DIVERGENCE, "{what}: {loss:?} from F32");
        }
        _ => {
            let mut wrong = model.clone();
            double(wrong.tensor_mut("output.weight"), usize::MAX);
            let wrong_loss = Gap::between(&original.logits, &logits(&wrong, &original.ids, ExecutorChoice::Cpu));
            println!("{what}, the head's numbers doubled: {wrong_loss:?}");
            assert!(loss.worst.is_finite() && loss.divergence < wrong_loss.divergence, "{loss:?}, {wrong_loss:?}");
        }
    }
}

/// The weight formats that a GGUF may have.
fn of_gguf() -> impl Iterator<Item = Format> {
    Format::WEIGHTS.into_iter().filter(|format| format.can_encode() && format.ggml_id().is_some())
}

/// The formats whose blocks the narrow model's rows are multiples of. Everywhere those that were there first, and one of
/// five bits; the rest, which differ in what `tests/kernels.rs` has on every adapter, where it is fast.
#[test]
fn each_format_of_short_blocks_agrees_everywhere() {
    let original = Original::narrow();
    for format in of_gguf().filter(|format| format.block_len() <= 32) {
        let everywhere = [Format::F32, Format::Q8_0, Format::Q5_1, Format::MXFP4].contains(&format);
        check_format(&original, format, if everywhere { Places::All } else { Places::Fast });
    }
}

/// The formats of longer blocks, and those whose figures PyTorch's logits are to confirm.
#[test]
fn each_format_agrees_everywhere() {
    let original = Original::wide();
    let confirmed = [Format::F32, Format::F16, Format::Q8_0];
    for format in of_gguf().filter(|f| f.block_len() > 32 || confirmed.contains(f)) {
        check_format(&original, format, Places::Fast);
    }
}

/// A file as people make them, with several formats in what one kernel call multiplies by, and the file of
/// `quantized/` as it is: every layer in other formats, and PyTorch's logits.
#[test]
fn mixed_formats_agree_everywhere() {
    let original = Original::wide();
    let loss = check("each layer in other formats", &original, &original.model, Places::All);
    assert!(loss.is_within(BUDGET), "{loss:?} from PyTorch");

    let model = original.model.in_formats(mixed_format);
    for format in of_gguf() {
        assert!(model.tensors.iter().any(|tensor| tensor.format == format), "nothing is in {format}");
    }
    let loss = check("formats mixed within each layer", &original, &model, Places::All);
    assert!(loss.divergence <= 2.0 * FINE_DIVERGENCE, "{loss:?} from F32");
}

/// The formats that are only read, by turns over the matrices of one file. Their blocks are random. What a file with the
/// decoded weights in F32 gives is the answer: the decoders are held against gguf-py elsewhere, block by block.
#[test]
fn formats_that_are_only_read_agree_everywhere() {
    let original = Original::wide();
    let formats: Vec<Format> = Format::WEIGHTS.into_iter().filter(|format| !format.can_encode()).collect();
    let format_of = |name: &str| {
        // Gate and up of the experts are of one format.
        let name = name.replace("_up_", "_gate_");
        formats[name.bytes().map(usize::from).sum::<usize>() % formats.len()]
    };
    let model = original.model.in_formats(format_of);
    for format in &formats {
        assert!(model.tensors.iter().any(|tensor| tensor.format == *format), "nothing is in {format}");
    }
    let plain = model.in_formats(|_| Format::F32);
    let ids = original.ids[..48].to_vec();
    let plain = Original { logits: logits(&plain, &ids, ExecutorChoice::Cpu), model: plain, ids, ..original };
    let loss = check("formats that are only read", &plain, &model, Places::All);
    assert!(loss.is_within(BUDGET), "{loss:?} from the decoded weights in F32");
}

/// The format of a matrix, by its part and layer, in a file of mixed formats.
fn mixed_format(name: &str) -> Format {
    let name = name.trim_end_matches(".weight");
    let in_layer = name.strip_prefix("blk.").and_then(|name| name.split_once('.'));
    let (layer, part) = in_layer.map_or((0, name), |(layer, part)| (layer.parse().unwrap(), part));
    let of_layer = |formats: [Format; 3]| formats[layer];
    match part {
        "ffn_gate_exps" | "ffn_up_exps" => of_layer([Format::MXFP4, Format::IQ4_XS, Format::NVFP4]),
        "ffn_down_exps" => of_layer([Format::MXFP4, Format::Q3_K, Format::Q2_K]),
        "ffn_gate_shexp" | "ffn_up_shexp" => of_layer([Format::Q8_0, Format::Q5_K, Format::Q5_0]),
        "ffn_down_shexp" => of_layer([Format::Q8_0, Format::IQ4_NL, Format::Q5_1]),
        "attn_q_a" | "attn_output_a" => of_layer([Format::Q4_K, Format::Q4_1, Format::Q5_K]),
        "attn_compressor_gate" | "indexer_compressor_kv" => Format::Q4_K,
        "attn_kv" | "attn_q_b" | "attn_output_b" | "attn_compressor_kv" | "output" => Format::Q6_K,
        "indexer.attn_q_b" | "indexer_compressor_gate" => Format::Q4_0,
        "token_embd" | "hc_attn_fn" | "hc_ffn_fn" | "output_hc_fn" => Format::F16,
        "indexer.proj" | "ffn_gate_inp" => of_layer([Format::BF16, Format::BF16, Format::F32]),
        other => panic!("{other} is no matrix of V4"),
    }
}

#[test]
fn one_block_that_is_doubled_is_noticed() {
    let original = Original::wide();
    for format in [Format::Q8_0, Format::Q4_0, Format::MXFP4] {
        let intact = original.model.in_formats(|_| format);
        let mut wrong = intact.clone();
        double(wrong.tensor_mut("blk.1.attn_output_b.weight"), 1);
        let [intact, wrong] = [&intact, &wrong].map(|model| logits(model, &original.ids[..40], ExecutorChoice::Cpu));
        let gap = Gap::between(&intact, &wrong);
        println!("{format}: one block doubled: {gap:?}");
        assert!(gap.divergence > BUDGET.divergence && gap.worst > BUDGET.worst, "{format}: only {gap:?}");
    }
}

#[test]
fn what_is_no_number_does_not_pass() {
    let good = vec![vec![0.5, 1.0, -1.0]; 2];
    assert!(Gap::between(&good, &good).is_within(BUDGET));
    for (row, column) in [(0, 0), (0, 2), (1, 1)] {
        let mut wrong = good.clone();
        wrong[row][column] = f32::NAN;
        assert!(!Gap::between(&good, &wrong).is_within(BUDGET), "NaN at {row}, {column}");
        wrong[row][column] = good[row][column] + 0.01;
        assert!(!Gap::between(&good, &wrong).is_within(BUDGET), "0.01 more at {row}, {column}");
    }
}

/// Doubles the numbers of the first `n_blocks` of a tensor.
fn double(tensor: &mut Tensor, n_blocks: usize) {
    let n_bytes = tensor.bytes.len().min(n_blocks.saturating_mul(tensor.format.block_bytes()));
    let blocks = &mut tensor.bytes[..n_bytes];
    let mut values = vec![0.0; n_bytes / tensor.format.block_bytes() * tensor.format.block_len()];
    quant::decode_row(tensor.format, blocks, &mut values).unwrap();
    values.iter_mut().for_each(|value| *value *= 2.0);
    let mut doubled = Vec::new();
    quant::encode_row(tensor.format, &values, &mut doubled).unwrap();
    blocks.copy_from_slice(&doubled);
}
