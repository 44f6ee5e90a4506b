//! Models in several files: sharded safetensors and split GGUF give what the same model gives in one file, in whatever
//! order and by whichever path they are given; and what is missing, doubled or of another model is refused by name.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

use crate::support::{fixture, memory, safetensors_of};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::format::gguf::{self, NewTensor, Scalar, ScalarKind, Value};
use headstart::format::shards::Index;
use headstart::format::{Memory, Source, TensorInfo, safetensors};
use headstart::measure::model_hash::model_hash;
use headstart::{ErrorKind, Result};
use pollster::block_on;

const IDS: [u32; 9] = [3, 77, 12, 200, 5, 5, 91, 44, 8];
const INDEX: &str = "model.safetensors.index.json";

/// A file by its name.
type File = (String, Vec<u8>);

fn text(name: &str, text: impl Into<String>) -> File {
    (name.to_owned(), text.into().into_bytes())
}

fn sources(files: &[File]) -> Vec<Rc<dyn Source>> {
    let source = |(name, bytes): &File| Rc::new(Memory::new(name.clone(), bytes.clone())) as Rc<dyn Source>;
    files.iter().map(source).collect()
}

fn of(files: &[File]) -> Result<ModelFiles> {
    block_on(ModelFiles::of(sources(files)))
}

fn logits(files: &ModelFiles) -> Result<Vec<f32>> {
    let options = LoadOptions { n_context: Some(16), ..LoadOptions::default() };
    let mut session = block_on(Session::load(files, ExecutorChoice::Cpu, &options, &mut |_| ()))?;
    let mut all = Vec::new();
    let mut each = |_: usize, row: &[f32]| {
        all.extend_from_slice(row);
        Ok(())
    };
    block_on(session.logits_in_steps(&IDS, &[], &mut each))?;
    Ok(all)
}

/// Fails unless the files are refused, naming each of `words`.
#[track_caller]
fn refused(files: &[File], words: &[&str]) {
    let error = of(files).and_then(|files| logits(&files)).expect_err("a refusal");
    assert!(matches!(error.kind, ErrorKind::File | ErrorKind::Usage), "{error}");
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    assert!(message.len() < 1500, "{message}");
}

fn bytes_of(source: &dyn Source, info: &TensorInfo) -> Vec<u8> {
    let mut bytes = vec![0; info.bytes as usize];
    block_on(source.read_at(info.offset, &mut bytes)).unwrap();
    bytes
}

fn config() -> File {
    ("config.json".to_owned(), std::fs::read(fixture("families/llama/config.json")).unwrap())
}

fn whole_safetensors() -> Vec<File> {
    let bytes = std::fs::read(fixture("families/llama/model.safetensors")).unwrap();
    vec![config(), ("model.safetensors".to_owned(), bytes)]
}

/// The files `model-0000N-of-00003.safetensors`, with every third tensor each, and last their index.
fn shards() -> Vec<File> {
    let source = memory("families/llama/model.safetensors");
    let directory = block_on(safetensors::read(source.as_ref(), 0)).unwrap().directory;
    let name = |n: usize| format!("model-0000{}-of-00003.safetensors", n + 1);
    let mut map = Vec::new();
    let mut files: Vec<File> = (0..3)
        .map(|n| {
            let infos: Vec<&TensorInfo> = directory.tensors().iter().skip(n).step_by(3).collect();
            map.extend(infos.iter().map(|info| format!(r#""{}":"{}""#, info.name, name(n))));
            let tensor = |info: &&TensorInfo| {
                let bytes = bytes_of(source.as_ref(), info);
                (info.name.clone(), info.stored.name().to_owned(), info.shape.clone(), bytes)
            };
            (name(n), safetensors_of(&infos.iter().map(tensor).collect::<Vec<_>>()))
        })
        .collect();
    files.push(text(INDEX, format!(r#"{{"metadata":{{"total_size":1}},"weight_map":{{{}}}}}"#, map.join(","))));
    files
}

/// What [`split`] may be asked to tell wrongly.
struct Told {
    count: u64,
    n_tensors: u64,
}

/// The files `m-0000N-of-00003.gguf`: keys in the first, tensors one third each, as gguf-split writes them.
fn split(told: impl Fn(usize, Told) -> Told) -> Vec<File> {
    let source = memory("families/llama/model.gguf");
    let file = block_on(gguf::read(source.as_ref(), 0)).unwrap();
    let tensors = file.directory.tensors();
    let number = |kind, n: u64| Value::Scalar(kind, Scalar::Unsigned(n));
    let part = |n: usize, infos: &[TensorInfo]| {
        let told = told(n, Told { count: 3, n_tensors: tensors.len() as u64 });
        let split_keys = [
            ("split.no", number(ScalarKind::U16, n as u64)),
            ("split.count", number(ScalarKind::U16, told.count)),
            ("split.tensors.count", Value::Scalar(ScalarKind::I32, Scalar::Signed(told.n_tensors as i64))),
        ];
        let mut keys: Vec<(&str, &Value)> = split_keys.iter().map(|(key, value)| (*key, value)).collect();
        keys.extend(file.metadata.iter().filter(|_| n == 0));
        let new = |info: &TensorInfo| NewTensor {
            name: info.name.clone(),
            shape: info.shape.clone(),
            type_id: gguf::type_id(&info.stored).unwrap(),
            bytes: info.bytes,
        };
        let mut bytes = gguf::head(keys.into_iter(), &infos.iter().map(new).collect::<Vec<_>>()).unwrap();
        for info in infos {
            bytes.extend(bytes_of(source.as_ref(), info));
            bytes.extend(gguf::padding(info.bytes));
        }
        (format!("m-0000{}-of-00003.gguf", n + 1), bytes)
    };
    tensors.chunks(tensors.len().div_ceil(3)).enumerate().map(|(n, infos)| part(n, infos)).collect()
}

fn sound(_: usize, told: Told) -> Told {
    told
}

/// Three at a time, in every order.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn shards_in_any_order_are_the_model_in_one_file() {
    let expected = logits(&of(&whole_safetensors()).unwrap()).unwrap();
    let shards = shards();
    for order in ORDERS {
        let mut files: Vec<File> = order.iter().map(|n| shards[*n].clone()).collect();
        files.insert(1, config());
        // Without their index, names tell that all are there.
        assert!(logits(&of(&files).unwrap()).unwrap() == expected, "{order:?}");
        files.insert(order[0], shards[3].clone());
        // What else lies in such folders does not matter.
        files.push(text("README.md", "# A model"));
        files.push(text("generation_config.json", r#"{"bos_token_id": 1}"#));
        files.push(("consolidated.safetensors".to_owned(), shards[0].1.clone()));
        assert!(logits(&of(&files).unwrap()).unwrap() == expected, "{order:?}");
    }
}

#[test]
fn texts_are_known_by_what_they_hold_where_names_say_nothing() {
    let mut files = shards();
    files[3].0 = "model.safetensors.index (1).json".to_owned();
    files.push((config().0.replace("config", "config (2)"), config().1));
    let found = of(&files).unwrap();
    assert!(found.config.is_some() && found.index.is_some());
    assert_eq!(logits(&found), logits(&of(&whole_safetensors()).unwrap()));
}

/// Names, types, shapes and bytes.
fn tensors_of(bytes: &[u8]) -> Vec<(String, String, Vec<u64>, Vec<u8>)> {
    let source = Memory::new("x", bytes.to_vec());
    let directory = block_on(safetensors::read(&source, 0)).unwrap().directory;
    let tensor = |info: &TensorInfo| {
        (info.name.clone(), info.stored.name().to_owned(), info.shape.clone(), bytes_of(&source, info))
    };
    directory.tensors().iter().map(tensor).collect()
}

/// Another copy of a tensor, in a file where the index does not look for it, is not read.
#[test]
fn of_a_tensor_in_two_files_the_index_names_the_one() {
    let mut files = with_index("total_size", "total_size");
    let mut copies = tensors_of(&files[1].1);
    copies.iter_mut().for_each(|(.., bytes)| bytes.fill(0));
    files[2].1 = safetensors_of(&[tensors_of(&files[2].1), copies].concat());
    assert_eq!(logits(&of(&files).unwrap()), logits(&of(&whole_safetensors()).unwrap()));
}

/// As PEFT names them; what an adapter would add is not left out in silence.
#[test]
fn modules_beside_an_adapter_are_read_and_an_adapter_is_refused() {
    let [config, whole] = whole_safetensors().try_into().unwrap();
    let mut tensors = tensors_of(&whole.1);
    for (name, ..) in &mut tensors {
        *name = name.replace("q_proj.", "q_proj.base_layer.");
        *name = name.replace("lm_head.", "lm_head.modules_to_save.default.");
        name.insert_str(0, "base_model.model.");
    }
    let of_adapter = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight".to_owned();
    let of_adapter = (of_adapter, "F32".to_owned(), vec![1, 64], vec![0; 256]);
    let file = |tensors: &[_]| (whole.0.clone(), safetensors_of(tensors));
    let expected = logits(&of(&[config.clone(), whole.clone()]).unwrap());
    assert_eq!(logits(&of(&[config.clone(), file(&tensors)]).unwrap()), expected);
    refused(
        &[config, file(&[&tensors[..], std::slice::from_ref(&of_adapter)].concat())],
        &["lora_A", "LoRA adapter", "Merge"],
    );
    let alone = ModelFiles { sources: sources(&[file(&[of_adapter])]), ..ModelFiles::default() };
    assert!(logits(&alone).unwrap_err().to_string().contains("LoRA adapter"));
}

/// As transformers has it: an index of an older version may name what nobody needs any more.
#[test]
fn an_index_may_name_tensors_that_there_are_not() {
    let more = r#"weight_map":{"model.layers.0.self_attn.rotary_emb.inv_freq":"model-00003-of-00003.safetensors","#;
    let files = of(&with_index(r#"weight_map":{"#, more)).unwrap();
    assert_eq!(logits(&files), logits(&of(&whole_safetensors()).unwrap()));
}

#[test]
fn parts_in_any_order_are_the_gguf_in_one_file() {
    let expected = logits(&ModelFiles::gguf(memory("families/llama/model.gguf"))).unwrap();
    let parts = split(sound);
    let hash = |files: &ModelFiles| block_on(model_hash(&files.sources, &mut |_| ControlFlow::Continue(()))).unwrap();
    let mut hashes = Vec::new();
    for order in ORDERS {
        let files = of(&order.map(|n| parts[n].clone())).unwrap();
        assert!(logits(&files).unwrap() == expected, "{order:?}");
        hashes.push(hash(&files).unwrap());
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "the hash does not depend on the order");
    // Nor on the names, which the parts know better.
    let renamed: Vec<File> =
        parts.iter().rev().map(|(name, bytes)| (name.replace("-of-", "_"), bytes.clone())).collect();
    let renamed = of(&renamed).unwrap();
    assert!(logits(&renamed).unwrap() == expected);
    assert_eq!(hash(&renamed).as_ref(), hashes.first());
}

#[test]
fn parts_that_are_missing_or_of_another_model_are_refused() {
    let parts = split(sound);
    refused(&parts[..1], &["m-00001-of-00003.gguf", "1 part of a model in 3", "m-00002-of-00003.gguf", "m-00003-of"]);
    refused(&parts[1..], &["2 parts", "missing", "m-00001-of-00003.gguf"]);
    let renamed = [("renamed.gguf".to_owned(), parts[2].1.clone())];
    refused(&renamed, &["renamed.gguf", "1 part of a model in 3"]);
    // A part twice, in another's place.
    let twice = [parts[0].clone(), parts[1].clone(), ("again.gguf".to_owned(), parts[1].1.clone())];
    refused(&twice, &["again.gguf", "part 2 of 3"]);
    // Parts of two models, by name and by what they say.
    let of_another = ("other-00003-of-00003.gguf".to_owned(), parts[2].1.clone());
    refused(&[parts[0].clone(), parts[1].clone(), of_another], &["other-00003", "another model"]);
    for lie in [|told: Told| Told { n_tensors: 7, ..told }, |told: Told| Told { count: 4, ..told }] {
        let lying = split(|n, told| if n == 2 { lie(told) } else { told });
        refused(&lying, &["m-00003-of-00003.gguf", "another model"]);
    }
    // All say the same, and it is not so.
    refused(&split(|_, told| Told { n_tensors: told.n_tensors + 1, ..told }), &["tensors in all 3 parts"]);
    // Whole models are no parts.
    let whole = ("whole.gguf".to_owned(), std::fs::read(fixture("families/llama/model.gguf")).unwrap());
    refused(&[whole.clone(), ("copy.gguf".to_owned(), whole.1.clone())], &["2 GGUF files", "not the parts"]);
    refused(&[parts[0].clone(), parts[1].clone(), whole.clone()], &["not the parts", "whole.gguf"]);
    let [config, safetensors] = whole_safetensors().try_into().unwrap();
    refused(&[whole, safetensors], &["both GGUF and safetensors"]);
    refused(&[config], &["only JSON"]);
    refused(&[], &["0 files"]);
    refused(&[text("README.md", "# Nothing")], &["README.md"]);
    // A number of parts that no model has.
    let many = split(|_, told| Told { count: 65_535, ..told });
    refused(&many, &["3 parts of a model in 65535"]);
}

/// The index with `from` replaced by `to`.
fn with_index(from: &str, to: &str) -> Vec<File> {
    let mut files = shards();
    let index = String::from_utf8(files[3].1.clone()).unwrap();
    assert!(index.contains(from), "{index}");
    files[3] = text(INDEX, index.replacen(from, to, 1));
    files.push(config());
    files
}

#[test]
fn shards_that_are_missing_or_given_twice_are_refused() {
    let all = with_index("total_size", "total_size");
    for missing in 0..3 {
        let mut files = all.clone();
        let name = files.remove(missing).0;
        refused(&files, &[INDEX, "1 of 3 files are missing", &name]);
        files.retain(|file| file.0 != INDEX);
        refused(&files, &["missing", &name]);
    }
    let first = r#"model-00001-of-00003.safetensors""#;
    for path in
        ["../model.safetensors", "/etc/model.safetensors", r"..\\model.safetensors", "a/b.safetensors", "passwd"]
    {
        refused(&with_index(first, &format!("{path}\"")), &[INDEX, "no path"]);
    }
    refused(&with_index("weight_map", "weight_mop"), &[INDEX, "weight_map"]);
    refused(&with_index(r#":{"total_size":1}"#, ""), &[INDEX]);
    let mut twice = all.clone();
    twice.push(("folder/".to_owned() + &all[1].0, all[1].1.clone()));
    refused(&twice, &["given twice", "model-00002-of-00003.safetensors"]);
    // One file in another's place.
    let mut same = all.clone();
    same[2].1.clone_from(&all[1].1);
    refused(&same, &["missing"]);
    same.retain(|file| file.0 != INDEX);
    refused(&same, &["its name occurs twice"]);
    // Two files that nothing binds together, and none that says what they are.
    let [_, whole] = whole_safetensors().try_into().unwrap();
    refused(&[whole.clone(), ("b.safetensors".to_owned(), whole.1.clone()), config()], &["2 safetensors", "no index"]);
    refused(&[whole], &["config.json"]);
}

/// As transformers has it: all files that the index names are read, and what lies in them is found by its name.
#[test]
fn a_tensor_in_another_file_than_the_index_says_is_told_of() {
    let first = r#"model-00001-of-00003.safetensors""#;
    let files = of(&with_index(first, r#"model-00002-of-00003.safetensors""#)).unwrap();
    assert_eq!(logits(&files).unwrap(), logits(&of(&with_index(first, first)).unwrap()).unwrap());
    let notices = block_on(files.open()).unwrap().notices.clone();
    let told = notices.iter().find(|notice| notice.starts_with(INDEX)).unwrap();
    assert!(told.ends_with("is read from \"model-00001-of-00003.safetensors\""), "{told}");
}

#[test]
fn absurd_indexes_are_refused() {
    let refused = |json: &str, words: &str| {
        let error = Index::read("x.json", json).expect_err(words).to_string();
        assert!(error.contains(words) && error.len() < 600, "{error}");
    };
    let beside = Index::read("x.json", r#"{"weight_map": {"a": "./a.safetensors"}}"#).unwrap();
    assert!(beside.shards().into_iter().eq(["a.safetensors"]));
    refused("", "x.json");
    refused("[]", "weight_map");
    refused(r#"{"weight_map": []}"#, "weight_map");
    refused(r#"{"weight_map": {}}"#, "0 tensors");
    refused(r#"{"weight_map": {"a": 7}}"#, "integer `7`");
    let map = |n: usize, file: &dyn Fn(usize) -> String| {
        let entries: Vec<String> = (0..n).map(|i| format!(r#""{i}":"{}""#, file(i))).collect();
        format!(r#"{{"weight_map":{{{}}}}}"#, entries.join(","))
    };
    refused(&map((1 << 18) + 1, &|_| "a.safetensors".to_owned()), "262145 tensors");
    refused(&map(5000, &|i| format!("{i}.safetensors")), "5000 files");
    refused(&map(1, &|_| format!("{}.safetensors", "x".repeat(300))), "xxx");
    refused(&map(1, &|_| r"a\u0000.safetensors".to_owned()), "the file");
    refused(&map(1, &|_| ".safetensors".to_owned()), "the file");
    refused(&"[".repeat(100_000), "x.json");
}

/// What the program itself predicts of a model at a path.
fn nats(path: &Path) -> f64 {
    let ids = IDS.map(|id| id.to_string()).join(",");
    let mut command = Command::new(env!("CARGO_BIN_EXE_headstart"));
    command.args(["eval", "-a", "cpu", "--json", "--ids", &ids, "-m"]).arg(path).stdin(Stdio::null());
    let ended = command.output().expect("the program starts");
    assert!(ended.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&ended.stderr));
    let json: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    json["nats_per_token"].as_f64().unwrap()
}

#[test]
fn any_path_of_a_model_in_several_files_leads_to_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let put = |file: &File| std::fs::write(folder.path().join(&file.0), &file.1).unwrap();
    split(sound).iter().for_each(put);
    let expected = nats(&fixture("families/llama/model.gguf"));
    let found = ["", "m-00001-of-00003.gguf", "m-00003-of-00003.gguf"].map(|name| nats(&folder.path().join(name)));
    assert_eq!(found, [expected; 3]);
    shards().iter().chain([&config()]).for_each(put);
    let expected = nats(&fixture("families/llama/model.safetensors"));
    let found = ["", INDEX, "model-00002-of-00003.safetensors"].map(|name| nats(&folder.path().join(name)));
    assert_eq!(found, [expected; 3]);
    // transformers saves a model as one file over its parts, and leaves their index behind.
    std::fs::remove_file(folder.path().join("model-00002-of-00003.safetensors")).unwrap();
    std::fs::copy(fixture("families/llama/model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    assert_eq!(nats(folder.path()), expected);
}
