//! `headstart quantize` from safetensors: the new GGUF holds what llama.cpp's converter would write, computes what the
//! safetensors compute, and is not there at all where the model is not whole.
#![allow(clippy::unwrap_used, reason = "a test may stop where it is")]

use crate::gguf_writer::GgufModel;
use crate::support::{fixture, memory};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::format::gguf::{self, Gguf, Scalar, Value};
use headstart::format::{Format, Memory, Source, quant, safetensors};
use pollster::block_on;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::rc::Rc;

const IDS: [u32; 40] = {
    let mut ids = [0; 40];
    let mut i = 0;
    while i < ids.len() {
        ids[i] = (i as u32 * 37 + 11) % 197;
        i += 1;
    }
    ids
};

fn quantize(input: &Path, output: &Path, to: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headstart"));
    command.arg("quantize").args([input, output]).args(["--to", to]).stdin(Stdio::null());
    command.output().expect("the program starts")
}

#[track_caller]
fn done(output: &Output) -> String {
    let told = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{told}");
    told
}

/// A folder with copies of a fixture's config and weights.
fn model(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture(&format!("{name}/{file}")), folder.path().join(file)).unwrap();
    }
    folder
}

fn source(path: &Path) -> Rc<dyn Source> {
    Rc::new(Memory::new(path.display().to_string(), std::fs::read(path).unwrap()))
}

fn read(source: &dyn Source) -> Gguf {
    block_on(gguf::read(source, 0)).unwrap()
}

/// The values of a tensor, whatever its format.
fn values(source: &dyn Source, file: &Gguf, name: &str) -> Vec<f32> {
    let info = file.directory.require(name).unwrap();
    let mut bytes = vec![0; info.bytes as usize];
    block_on(source.read_at(info.offset, &mut bytes)).unwrap();
    let mut values = vec![0.0; info.shape.iter().product::<u64>() as usize];
    quant::decode_row(info.require_supported().unwrap(), &bytes, &mut values).unwrap();
    values
}

fn logits(files: &ModelFiles) -> Vec<f32> {
    let options = LoadOptions { n_context: Some(64), ..LoadOptions::default() };
    let mut session = block_on(Session::load(files, ExecutorChoice::Cpu, &options, &mut |_| ())).unwrap();
    let mut all = Vec::new();
    let mut each = |_: usize, row: &[f32]| {
        all.extend_from_slice(row);
        Ok(())
    };
    block_on(session.logits_in_steps(&IDS, &[], &mut each)).unwrap();
    all
}

/// The model in a folder, its JSON files with it.
fn files_in(folder: &Path) -> ModelFiles {
    let mut given = vec![source(&folder.join("config.json")), source(&folder.join("model.safetensors"))];
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        given.extend(Some(folder.join(name)).filter(|path| path.exists()).map(|path| source(&path)));
    }
    block_on(ModelFiles::of(given)).unwrap()
}

/// Against the GGUFs that `tools/fixtures/families.py` writes by llama.cpp's conventions: every key and every tensor.
#[test]
fn what_is_written_is_what_llama_cpps_converter_writes() {
    for family in ["llama", "qwen3moe"] {
        let folder = model(&format!("families/{family}"));
        let output = folder.path().join("out.gguf");
        let told = done(&quantize(folder.path(), &output, "bf16"));
        assert!(told.contains("no tokenizer.json"), "{told}");
        let (found, wanted) = (source(&output), memory(&format!("families/{family}/model.gguf")));
        let (found_file, wanted_file) = (read(found.as_ref()), read(wanted.as_ref()));
        for (key, value) in wanted_file.metadata.iter() {
            let same = match (value, found_file.metadata.get(key)) {
                (Value::Scalar(_, Scalar::Float(wanted)), Some(Value::Scalar(_, Scalar::Float(found)))) => {
                    (wanted - found).abs() <= 1e-6 * wanted.abs()
                }
                (wanted, found) => found == Some(wanted),
            };
            assert!(same, "{family}: {key} is {:?}, not {value:?}", found_file.metadata.get(key));
        }
        let tensors = wanted_file.directory.tensors();
        assert_eq!(found_file.directory.tensors().len(), tensors.len());
        for tensor in tensors {
            let name = &tensor.name;
            assert_eq!(found_file.directory.require(name).unwrap().shape, tensor.shape, "{family}: {name}");
            let both = [(&found, &found_file), (&wanted, &wanted_file)];
            let [found, wanted] = both.map(|(source, file)| values(source.as_ref(), file, name));
            let tolerance = if name == "rope_freqs.weight" { 1e-6 } else { 0.0 };
            assert!(found.iter().zip(&wanted).all(|(f, w)| (f - w).abs() <= tolerance), "{family}: {name}");
        }
    }
}

/// In one file and in shards, with FP8 and FP4, and with a tokenizer: the same logits, but for the order of sums.
#[test]
fn the_new_file_computes_what_the_old_ones_do() {
    for name in ["families/llama", "families/qwen2", "families/qwen3", "families/qwen3moe", "deepseek", "golden"] {
        let folder = model(name);
        let output = folder.path().join("out.gguf");
        done(&quantize(folder.path(), &output, "f32"));
        let expected = logits(&files_in(folder.path()));
        let found = logits(&ModelFiles::gguf(source(&output)));
        let worst = expected.iter().zip(&found).map(|(e, f)| (e - f).abs()).fold(0.0, f32::max);
        assert!(expected.len() == found.len() && worst <= 1e-4, "{name}: off by {worst}");
        assert!(found.iter().all(|logit| logit.is_finite()));
    }
}

/// With latent attention a GGUF has a factor for both, and a logarithm for scores alone.
#[test]
fn what_yarn_does_to_rotations_and_to_scores_goes_along() {
    let usual = logits(&files_in(model("families/deepseek_v3").path()));
    for change in [
        json!({"mscale": null, "mscale_all_dim": null}),
        json!({"mscale_all_dim": 0.0}),
        json!({"mscale": 0.5, "mscale_all_dim": 0.707}),
        json!({"attention_factor": 1.2}),
        json!({"mscale": 2.0, "mscale_all_dim": 2.0, "attention_factor": 1.3}),
    ] {
        let folder = model("families/deepseek_v3");
        let path = folder.path().join("config.json");
        let mut config: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let scaling = config["rope_scaling"].as_object_mut().unwrap();
        scaling.extend(change.as_object().unwrap().clone());
        std::fs::write(&path, config.to_string()).unwrap();
        let output = folder.path().join("out.gguf");
        done(&quantize(folder.path(), &output, "f32"));
        let (expected, found) = (logits(&files_in(folder.path())), logits(&ModelFiles::gguf(source(&output))));
        let worst = expected.iter().zip(&found).map(|(e, f)| (e - f).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4, "{change}: off by {worst}");
        assert_ne!(expected, usual, "{change} changes nothing");
    }
}

/// As some GGUFs have them: the rows of queries, keys and values, and their biases, one after the other in one tensor.
#[test]
fn queries_keys_and_values_in_one_tensor_are_the_same() {
    for (family, endings) in [("llama", &["weight"][..]), ("qwen2", &["weight", "bias"])] {
        let folder = model(&format!("families/{family}"));
        let output = folder.path().join("out.gguf");
        done(&quantize(folder.path(), &output, "q8_0"));
        let mut file = GgufModel::read(source(&output).as_ref());
        let expected = logits(&ModelFiles::gguf(source(&output)));
        let of_layer = |layer: usize, part: &str| format!("blk.{layer}.attn_{part}");
        let n_layers = file.tensors.iter().filter(|tensor| tensor.name.ends_with("attn_q.weight")).count();
        for (layer, ending) in (0..n_layers).flat_map(|layer| endings.iter().map(move |ending| (layer, ending))) {
            let names = ["q", "k", "v"].map(|part| format!("{}.{ending}", of_layer(layer, part)));
            let [mut fused, k, v] = names.each_ref().map(|name| file.tensor_mut(name).clone());
            fused.name = format!("{}.{ending}", of_layer(layer, "qkv"));
            fused.shape[0] += k.shape[0] + v.shape[0];
            fused.bytes.extend(k.bytes.into_iter().chain(v.bytes));
            file.tensors.retain(|tensor| !names.contains(&tensor.name));
            file.tensors.push(fused);
        }
        let whole = |file: &GgufModel| Rc::new(Memory::new("fused.gguf".to_owned(), file.bytes()));
        assert_eq!(expected, logits(&ModelFiles::gguf(whole(&file))), "{family}");
        // One that is too short is named.
        let short = file.tensor_mut("blk.1.attn_qkv.weight");
        short.shape[0] -= 1;
        let options = LoadOptions { n_context: Some(64), ..LoadOptions::default() };
        let files = ModelFiles::gguf(whole(&file));
        let refused = block_on(Session::load(&files, ExecutorChoice::Cpu, &options, &mut |_| ())).map(drop);
        assert!(refused.unwrap_err().to_string().contains("blk.1.attn_qkv.weight"));
    }
}

/// As llama.cpp writes what others quantized to NVFP4: beside a tensor a number by which it is multiplied, or one for each expert.
#[test]
fn nvfp4_is_scaled_by_the_number_beside_it() {
    for family in ["llama", "qwen3moe", "deepseek_v3"] {
        let folder = model(&format!("families/{family}"));
        let output = folder.path().join("out.gguf");
        done(&quantize(folder.path(), &output, "nvfp4"));
        let mut file = GgufModel::read(source(&output).as_ref());
        let (mut plain, mut numbers) = (GgufModel::read(source(&output).as_ref()), Vec::new());
        for tensor in &mut plain.tensors {
            if tensor.format != Format::NVFP4 {
                continue;
            }
            let n_stacked = if tensor.shape.len() == 3 { tensor.shape[0] as usize } else { 1 };
            let beside: Vec<f32> = (0..n_stacked).map(|i| 0.6 + 0.5 * i as f32).collect();
            let mut values = vec![0.0; tensor.shape.iter().product::<u64>() as usize];
            quant::decode_row(Format::NVFP4, &tensor.bytes, &mut values).unwrap();
            let each = values.len() / n_stacked;
            values.iter_mut().enumerate().for_each(|(i, value)| *value *= beside[i / each]);
            (tensor.format, tensor.bytes) = (Format::F32, bytemuck::cast_slice(&values).to_vec());
            let mut number = tensor.clone();
            number.name = tensor.name.replace(".weight", ".scale");
            number.shape = vec![n_stacked as u64];
            number.bytes = bytemuck::cast_slice(&beside).to_vec();
            numbers.push(number);
        }
        assert!(numbers.len() > 6, "{family} has few rows of 64");
        file.tensors.extend(numbers);
        let of = |file: &GgufModel| ModelFiles::gguf(Rc::new(Memory::new("scaled.gguf".to_owned(), file.bytes())));
        let (expected, found) = (logits(&of(&plain)), logits(&of(&file)));
        let worst = expected.iter().zip(&found).map(|(e, f)| (e - f).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-3, "{family}: off by {worst}");
        // Written in another format, the number is in the weights, and no longer beside them.
        let [scaled, whole] = ["scaled.gguf", "whole.gguf"].map(|name| folder.path().join(name));
        std::fs::write(&scaled, file.bytes()).unwrap();
        done(&quantize(&scaled, &whole, "f32"));
        let written = ModelFiles::gguf(source(&whole));
        let worst = expected.iter().zip(&logits(&written)).map(|(e, f)| (e - f).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-3, "{family} written as F32: off by {worst}");
        assert!(!GgufModel::read(source(&whole).as_ref()).tensors.iter().any(|tensor| tensor.name.ends_with("scale")));
    }
}

/// The official V4's experts are MXFP4 already, in another order of nibbles: nothing is lost.
#[test]
fn fp4_becomes_mxfp4_without_a_loss() {
    let folder = model("deepseek");
    let [whole, small] = ["f32.gguf", "mxfp4.gguf"].map(|name| folder.path().join(name));
    done(&quantize(folder.path(), &whole, "f32"));
    done(&quantize(folder.path(), &small, "mxfp4"));
    let (whole, small) = (source(&whole), source(&small));
    let (whole_file, small_file) = (read(whole.as_ref()), read(small.as_ref()));
    for stack in ["gate", "up", "down"] {
        let name = format!("blk.2.ffn_{stack}_exps.weight");
        assert_eq!(small_file.directory.require(&name).unwrap().stored.name(), "MXFP4");
        assert_eq!(values(whole.as_ref(), &whole_file, &name), values(small.as_ref(), &small_file, &name));
    }
}

/// The embedded model's tokenizer, whose GGUF another program wrote.
#[test]
fn tokenizer_and_chat_template_go_along() {
    let folder = model("families/qwen2");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("tokenizer.json")).unwrap()).unwrap();
    // The first 256 tokens and what they are made of would not do: the model needs rows for all of them.
    let n_vocab = json["model"]["vocab"].as_object().unwrap().len();
    let config = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert!(n_vocab > 256);
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    let output = folder.path().join("out.gguf");
    let refused = quantize(folder.path(), &output, "q8_0");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("at most 256, the rows of the embedding") && !output.exists(), "{told}");

    // Bytes alone are a vocabulary too.
    let bytes = byte_vocabulary();
    // No UTF-8 has the byte 0xFF, so its token may be another.
    let end = bytes.iter().position(|text| text == "ÿ").unwrap();
    json["added_tokens"] = serde_json::json!([{"id": end, "content": bytes[end], "special": true}]);
    json["model"]["merges"] = serde_json::json!([]);
    json["model"]["vocab"] = bytes.iter().enumerate().map(|(id, text)| (text.clone(), serde_json::json!(id))).collect();
    std::fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    let settings =
        serde_json::json!({"eos_token": bytes[end], "add_bos_token": false, "chat_template": "{{ messages }}"});
    std::fs::write(folder.path().join("tokenizer_config.json"), settings.to_string()).unwrap();
    config["bos_token_id"] = serde_json::Value::Null;
    config["eos_token_id"] = serde_json::json!([end, 7, 9, 11]);
    let generation = serde_json::json!({"eos_token_id": [9, end], "stop_strings": ["!"]});
    std::fs::write(folder.path().join("generation_config.json"), generation.to_string()).unwrap();
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let told = done(&quantize(folder.path(), &output, "q8_0"));
    assert!(!told.contains("no tokenizer.json"), "{told}");
    assert!(told.contains("may end with the tokens 11, too") && told.contains("stop_strings"), "{told}");
    let made = source(&output);
    let metadata = read(made.as_ref()).metadata;
    assert_eq!(metadata.get_str("tokenizer.chat_template").unwrap(), Some("{{ messages }}"));
    assert_eq!(metadata.get_str("tokenizer.ggml.model").unwrap(), Some("gpt2"));
    assert_eq!(metadata.get_str("tokenizer.ggml.pre").unwrap(), Some("joyai-llm"));
    assert_eq!(metadata.get_u32("tokenizer.ggml.eos_token_id").unwrap(), Some(end as u32));
    assert_eq!(metadata.get_u32("tokenizer.ggml.bos_token_id").unwrap(), None);
    assert_eq!(metadata.get_u32("tokenizer.ggml.eot_token_id").unwrap(), Some(7));
    assert_eq!(metadata.get_u32("tokenizer.ggml.eom_token_id").unwrap(), Some(9));
    assert_eq!(metadata.get_bool("tokenizer.ggml.add_bos_token").unwrap(), Some(false));
    let types = metadata.get_u32s("tokenizer.ggml.token_type").unwrap().unwrap();
    assert_eq!((types.len(), types[end - 1], types[end]), (256, 1, 3));
    let tokenizers = [files_in(folder.path()), ModelFiles::gguf(made)]
        .map(|files| block_on(files.tokenizer()).unwrap().unwrap().encode("Grüße, 123!", headstart::text::Bos::Omit));
    assert_eq!(tokenizers[0], tokenizers[1]);
}

fn config_of(name: &str) -> Json {
    serde_json::from_slice(&std::fs::read(fixture(&format!("{name}/config.json"))).unwrap()).unwrap()
}

/// Writes a changed config beside a model's weights.
fn reconfigured(name: &str, change: impl Fn(&mut Json)) -> tempfile::TempDir {
    let (folder, mut config) = (model(name), config_of(name));
    change(&mut config);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

/// A file that would compute something else is not written.
#[test]
fn settings_that_a_gguf_has_no_key_for_are_refused_by_name() {
    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64});
    let untruncated =
        json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "truncate": false});
    let scored = json!({"rope_type": "linear", "factor": 4.0, "mscale_all_dim": 1.0});
    for (family, scaling, word) in [
        ("deepseek_v3", &llama3, "llama3"),
        ("deepseek_v3", &untruncated, "truncate"),
        ("deepseek_v3", &scored, "mscale_all_dim"),
        ("deepseek_v32", &llama3, "llama3"),
        ("qwen3_5", &llama3, "llama3"),
        ("qwen3_5", &untruncated, "truncate"),
    ] {
        let folder = reconfigured(&format!("families/{family}"), |config| {
            let text = if family == "qwen3_5" { &mut config["text_config"] } else { config };
            text["rope_scaling"] = scaling.clone();
        });
        refused(folder.path(), 3, &[word, "has no key for it"]);
    }
    let all = |kind: &'static str| move |config: &mut Json| config["layer_types"] = json!(vec![kind; 4]);
    refused(reconfigured("families/gpt_oss", all("full_attention")).path(), 3, &["window", "has no key for it"]);
    let n = config_of("families/lfm2")["num_hidden_layers"].as_u64().unwrap() as usize;
    let convolved = reconfigured("families/lfm2", |config| config["layer_types"] = json!(vec!["conv"; n]));
    refused(convolved.path(), 3, &["convolution", "has no key for it"]);
}

/// As llama.cpp's converter writes it, and this program reads it.
#[test]
fn how_a_model_s_makers_draw_tokens_goes_along() {
    let folder = model("families/llama");
    let drawn = json!({"do_sample": true, "temperature": 0.5, "top_k": 20, "top_p": 0.75, "repetition_penalty": 1.25});
    std::fs::write(folder.path().join("generation_config.json"), drawn.to_string()).unwrap();
    let output = folder.path().join("out.gguf");
    done(&quantize(folder.path(), &output, "f32"));
    let source = source(&output);
    let metadata = read(source.as_ref()).metadata;
    let number = |name: &str| metadata.get_f32(&format!("general.sampling.{name}")).unwrap();
    let found = ["temp", "top_k", "top_p", "penalty_repeat", "min_p"].map(number);
    assert_eq!(found, [Some(0.5), Some(20.0), Some(0.75), Some(1.25), None]);
}

/// The 256 spellings of GPT-2's byte map, in its order.
fn byte_vocabulary() -> Vec<String> {
    let is_itself = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others = (0..=255u32).filter(|byte| !is_itself(byte)).count() as u32;
    (0..=255u32).filter(is_itself).chain(256..256 + others).map(|c| char::from_u32(c).unwrap().to_string()).collect()
}

/// Fails unless it ended with `code` and named every one of `words`, and nothing was written.
#[track_caller]
fn refused(folder: &Path, code: i32, words: &[&str]) {
    let output = folder.join("out.gguf");
    let before = std::fs::read_dir(folder).unwrap().count();
    let ended = quantize(folder, &output, "q8_0");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(code), "{told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is not in: {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), before, "something was written");
}

#[test]
fn a_model_that_is_not_whole_leaves_nothing_behind() {
    let change = |file: &str, change: &dyn Fn(&mut Vec<u8>)| -> tempfile::TempDir {
        let folder = model("families/llama");
        let path: PathBuf = folder.path().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        folder
    };
    let replace = |from: &'static str, to: &'static str| {
        move |bytes: &mut Vec<u8>| {
            let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
            bytes.splice(at..at + from.len(), to.bytes());
        }
    };
    let renamed = replace("model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.uq_proj.weight");
    refused(change("model.safetensors", &renamed).path(), 3, &["model.layers.1.mlp.up_proj.weight", "missing"]);
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(100_000);
    refused(change("model.safetensors", &cut).path(), 3, &["model.safetensors"]);
    // A weight that is no number is found when much is written already.
    let spoilt = |bytes: &mut Vec<u8>| {
        let source = Memory::new("model.safetensors", bytes.clone());
        let directory = block_on(safetensors::read(&source, 0)).unwrap().directory;
        let at = directory.require("model.layers.1.mlp.down_proj.weight").unwrap().offset as usize;
        bytes[at..at + 2].copy_from_slice(&[0xff, 0x7f]);
    };
    refused(change("model.safetensors", &spoilt).path(), 3, &["NaN", "blk.1.ffn_down.weight"]);
    let other = replace("\"llama\"", "\"gemma\"");
    refused(change("config.json", &other).path(), 3, &["config.json", "gemma"]);
    refused(change("config.json", &|bytes| bytes.truncate(40)).path(), 3, &["config.json"]);
    let without = model("families/llama");
    std::fs::remove_file(without.path().join("config.json")).unwrap();
    refused(without.path(), 3, &["config.json"]);
    let bad = model("families/llama");
    std::fs::write(bad.path().join("tokenizer.json"), "{").unwrap();
    refused(bad.path(), 3, &["tokenizer.json"]);
    // What is read is not written over.
    let folder = model("families/llama");
    let weights = folder.path().join("model.safetensors");
    let before = std::fs::read(&weights).unwrap();
    assert_eq!(quantize(folder.path(), &weights, "q8_0").status.code(), Some(2));
    assert!(std::fs::read(&weights).unwrap() == before);
}
