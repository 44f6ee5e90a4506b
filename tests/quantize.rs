//! `headstart quantize` as people run it: what is in the new file, what is told on stderr, and what becomes of damaged
//! and hostile files. Every test runs the program itself.

#![allow(clippy::unwrap_used, reason = "a test may stop where it is")]

use crate::gguf_writer::{GgufModel, Tensor};
use headstart::format::{Format, Memory, quant};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn headstart(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headstart"));
    command.args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

fn quantize(input: &Path, output: &Path, to: &str) -> Output {
    headstart(&["quantize", input.to_str().unwrap(), output.to_str().unwrap(), "--to", to])
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read(path: &Path) -> GgufModel {
    GgufModel::read(&Memory::new("a file", std::fs::read(path).unwrap()))
}

fn tensor<'a>(model: &'a GgufModel, name: &str) -> &'a Tensor {
    model.tensors.iter().find(|tensor| tensor.name == name).unwrap()
}

/// A small model, in F32 with rows of 256 and of 128: the first tensors of the wide one, and one narrow row.
fn small() -> GgufModel {
    let mut model = read(&fixture("quantized/v4_mixed.gguf"));
    model.tensors.retain(|tensor| tensor.name.starts_with("blk.1.attn") || tensor.name.starts_with("blk.0.ffn_gate"));
    let mut model = model.in_formats(|_| Format::F32);
    let values = |n: usize| (0..n).flat_map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0).to_le_bytes()).collect();
    for (name, shape) in [("blk.0.narrow.weight", vec![3, 96]), ("blk.0.odd.weight", vec![3, 7])] {
        let n: u64 = shape.iter().product();
        let tensor = Tensor { name: name.into(), shape, format: Format::F32, bytes: values(n as usize) };
        model.tensors.push(tensor);
    }
    model
}

fn kept(name: &str) -> bool {
    ["_norm", "ffn_gate_inp", "_ape", "sinks"].iter().any(|part| name.contains(part))
}

#[test]
fn every_format_is_written_as_its_encoder_says() {
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in.gguf", "out.gguf"].map(|name| folder.path().join(name));
    let model = small();
    std::fs::write(&input, model.bytes()).unwrap();
    let source = read(&input);
    for format in Format::WEIGHTS.into_iter().filter(|format| format.can_encode() && format.ggml_id().is_some()) {
        let ended = quantize(&input, &output, &format.name().to_lowercase());
        done(&ended);
        assert!(ended.stdout.is_empty());
        // From F32 to F32 there is nothing to encode.
        let word = if format == Format::F32 { "copied" } else { format.name() };
        assert!(stderr(&ended).contains(word), "{word} is not in: {}", stderr(&ended));
        let written = read(&output);
        assert_eq!(written.tensors.len(), source.tensors.len());
        for (before, after) in source.tensors.iter().zip(&written.tensors) {
            assert_eq!((&before.name, &before.shape), (&after.name, &after.shape));
            let n_in = *before.shape.last().unwrap() as usize;
            let wanted = match before.format {
                Format::I32 => Format::I32,
                _ if kept(&before.name) || before.shape.len() == 1 => Format::F32,
                _ => [format, Format::Q8_0, Format::F16]
                    .into_iter()
                    .find(|f| n_in.is_multiple_of(f.block_len()))
                    .unwrap(),
            };
            assert_eq!(after.format, wanted, "{} to {format}", before.name);
            let mut expected = Vec::new();
            if wanted == before.format {
                expected.clone_from(&before.bytes);
            } else {
                let mut values = vec![0.0; before.shape.iter().product::<u64>() as usize];
                quant::decode_row(before.format, &before.bytes, &mut values).unwrap();
                quant::encode_row(wanted, &values, &mut expected).unwrap();
            }
            assert!(after.bytes == expected, "{} to {format}", before.name);
        }
        let type_of = |model: &GgufModel| model.metadata.get_u32("general.file_type").unwrap();
        assert!(type_of(&written).is_some());
        let ours = ["general.file_type", "general.quantization_version"];
        let others = |model: &GgufModel| -> Vec<_> {
            model
                .metadata
                .iter()
                .filter(|(key, _)| !ours.contains(key))
                .map(|(k, v)| (k.to_owned(), v.clone()))
                .collect()
        };
        assert_eq!(others(&source), others(&written));
    }
    // Nothing but the two files is left.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn what_does_not_fit_or_was_quantized_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let [input, first, second] = ["in.gguf", "q8.gguf", "q4.gguf"].map(|name| folder.path().join(name));
    std::fs::write(&input, small().bytes()).unwrap();
    let ended = quantize(&input, &first, "q4_k");
    done(&ended);
    let told = stderr(&ended);
    for words in ["2 tensors become Q8_0 or F16", "blk.0.narrow.weight", "multiple of 256", "Q4_K", "rmse"] {
        assert!(told.contains(words), "`{words}` is not in: {told}");
    }
    assert!(!told.contains("quantized before"), "{told}");
    let ended = quantize(&first, &second, "q4_0");
    done(&ended);
    assert!(stderr(&ended).contains("were quantized before"), "{}", stderr(&ended));
    let written = read(&second);
    assert_eq!(tensor(&written, "blk.1.attn_q_a.weight").format, Format::Q4_0);
}

/// The whole model of another file, made small, still predicts what it did.
#[test]
fn a_quantized_model_runs() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.gguf");
    let input = fixture("golden/gguf/v4_random_f32.gguf");
    let nats = |path: &Path| {
        let ids: Vec<String> = (0..24).map(|i| (i * 31 % 200 + 3).to_string()).collect();
        let ended = headstart(&["eval", "-m", path.to_str().unwrap(), "-a", "cpu", "--json", "--ids", &ids.join(",")]);
        done(&ended);
        let json: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        json["nats_per_token"].as_f64().unwrap()
    };
    done(&quantize(&input, &output, "q5_1"));
    let (before, after) = (nats(&input), nats(&output));
    assert!((before - after).abs() < 0.2 && before != after, "{before} nats, then {after}");
    assert!(std::fs::metadata(&output).unwrap().len() * 3 < std::fs::metadata(&input).unwrap().len());
}

/// Fails unless it ended with `code` and named every one of `words`; `output` must not be there.
fn refused(ended: &Output, code: i32, words: &[&str], output: &Path) {
    let told = stderr(ended);
    assert_eq!(ended.status.code(), Some(code), "{told}");
    assert!(!told.contains("panicked"), "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    assert!(!output.exists(), "something was written");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in.gguf", "out.gguf"].map(|name| folder.path().join(name));
    std::fs::write(&input, small().bytes()).unwrap();
    refused(&quantize(&input, &output, "q9_z"), 2, &["q9_z", "Q4_K"], &output);
    refused(&quantize(&input, &output, "fp8"), 2, &["fp8", "Q4_K"], &output);
    refused(&quantize(&input, &output, "i32"), 2, &["i32", "Q4_K"], &output);
    refused(&quantize(&folder.path().join("absent.gguf"), &output, "q4_0"), 5, &["absent.gguf"], &output);
    refused(&quantize(&folder.path().join("x"), &output, "q4_0"), 5, &["x"], &output);
    refused(&quantize(&input, &folder.path().join("no/out.gguf"), "q4_0"), 5, &["no/out.gguf"], &output);
    let before = std::fs::read(&input).unwrap();
    refused(&quantize(&input, &input, "q4_0"), 2, &["in.gguf", "another place"], &output);
    assert!(std::fs::read(&input).unwrap() == before);
}

#[test]
fn damaged_and_hostile_files_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let [input, output] = ["in.gguf", "out.gguf"].map(|name| folder.path().join(name));
    let whole = small().bytes();
    for n in [0, 3, 24, 300, whole.len() / 2, whole.len() - 4096] {
        std::fs::write(&input, &whole[..n]).unwrap();
        refused(&quantize(&input, &output, "q4_0"), 3, &["in.gguf"], &output);
    }
    // A number of tensors, and a length of a key, that no file has.
    for at in [8, 16, 24] {
        let mut file = whole.clone();
        file[at..at + 8].fill(0xff);
        std::fs::write(&input, &file).unwrap();
        refused(&quantize(&input, &output, "q4_0"), 3, &["in.gguf"], &output);
    }
    // A weight that is no number, which no block can hold.
    let mut model = small();
    model.tensor_mut("blk.1.attn_kv.weight").bytes[4 * 1000..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&input, model.bytes()).unwrap();
    refused(&quantize(&input, &output, "q4_k"), 3, &["blk.1.attn_kv.weight", "NaN"], &output);
    // One that is too large for f16, where it would become infinity.
    model.tensor_mut("blk.1.attn_kv.weight").bytes[4 * 1000..][..4].copy_from_slice(&70_000.0f32.to_le_bytes());
    std::fs::write(&input, model.bytes()).unwrap();
    refused(&quantize(&input, &output, "f16"), 3, &["blk.1.attn_kv.weight", "70000", "F16", "BF16"], &output);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a part of a file was left");
    done(&quantize(&input, &output, "bf16"));
    std::fs::remove_file(&output).unwrap();
    // One that is too large for a block whose scale is a half.
    model.tensor_mut("blk.1.attn_kv.weight").bytes[4 * 1000..][..4].copy_from_slice(&3e7f32.to_le_bytes());
    std::fs::write(&input, model.bytes()).unwrap();
    refused(&quantize(&input, &output, "q8_0"), 3, &["blk.1.attn_kv.weight", "30000000", "Q8_0", "BF16"], &output);
}
