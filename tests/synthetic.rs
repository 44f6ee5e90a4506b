//! Models without files: the same words on every executor, whichever way they are cut; finite logits in every format; and
//! names and configurations that must be refused before anything is allocated.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop where it is, and tells what it measured")]

use crate::support::{places, places_in_turn, spread};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session, Synthesis};
use headstart::format::{Format, Memory, gguf};
use headstart::model::{AnyShape, Shape, Synthetic, SyntheticName};
use pollster::block_on;
use std::rc::Rc;

/// Tokens fed: more than 128, so that every kind of compressed entry is in use; and fewer where only the format is another.
const N_TOKENS: u32 = 133;
const N_FEW: u32 = 37;

/// A small model with every kind of layer: ratios 0, 4 and 128, routed by table and by scores. Rows suit blocks of 256.
fn config(n_embd: u32, n_hidden: u32) -> String {
    format!(
        r#"{{"model_type": "deepseek_v4", "vocab_size": 300, "hidden_size": {n_embd}, "moe_intermediate_size": {n_hidden},
        "num_hidden_layers": 5, "num_attention_heads": 8, "head_dim": 64, "q_lora_rank": {n_hidden}, "o_groups": 2,
        "o_lora_rank": 128, "num_experts_per_tok": 2, "n_routed_experts": 6, "max_position_embeddings": 512,
        "compress_ratios": [0, 4, 128, 4, 128], "num_hash_layers": 2, "sliding_window": 16, "index_n_heads": 4,
        "index_head_dim": 32, "index_topk": 8, "qk_rope_head_dim": 16}}"#
    )
}

fn model(shape: Shape, options: &str) -> Synthetic {
    SyntheticName::parse(&format!("synthetic:config.json{options}")).unwrap().with_shape(shape).unwrap()
}

fn load(model: Synthetic, choice: ExecutorChoice, shard_bytes: Option<u64>) -> Session {
    let options = LoadOptions { shard_bytes, ..LoadOptions::default() };
    crate::support::load(&ModelFiles::synthetic(model), choice, &options)
}

/// Logits after each of a few ids, `[n_tokens][n_vocab]`.
fn logits(session: &mut Session) -> Vec<Vec<f32>> {
    logits_of(N_TOKENS, session)
}

fn logits_of(n_tokens: u32, session: &mut Session) -> Vec<Vec<f32>> {
    let n_vocab = session.outline().n_vocab;
    let ids: Vec<u32> = (0..n_tokens).map(|i| i * 7 % n_vocab).collect();
    let mut rows = Vec::new();
    block_on(session.logits(&ids, &mut |_, row: &[f32]| {
        rows.push(row.to_vec());
        Ok(())
    }))
    .unwrap();
    rows
}

/// The largest difference; NaN where anything is not a number.
fn worst(expected: &[Vec<f32>], found: &[Vec<f32>]) -> f32 {
    assert_eq!((expected.len(), expected[0].len()), (found.len(), found[0].len()));
    let differences = expected.iter().flatten().zip(found.iter().flatten()).map(|(e, f)| (e - f).abs());
    differences.fold(0.0, |worst: f32, d| if worst.is_nan() || d <= worst { worst } else { d })
}

/// With it no router and no indexer comes near a tie, at which rounding decides and logits part for good.
const SEED: u32 = 5;

#[test]
fn every_format_gives_finite_and_equal_logits_on_every_executor() {
    let shape = Shape::from_config(&config(256, 256)).unwrap();
    let narrow = Shape::from_config(&config(100, 36)).unwrap();
    let mut models: Vec<Synthetic> =
        Format::WEIGHTS.iter().map(|format| model(shape.clone(), &format!(":format={format}:seed={SEED}"))).collect();
    // Rows that end inside a block, which must be filled up with zeros.
    models.push(model(narrow.clone(), &format!(":format=f32:seed={SEED}")));
    models.push(model(narrow, &format!(":format=f16:seed={SEED}")));
    let places = places();
    for model in models {
        let is_whole = [Format::MXFP4, Format::F32].contains(&model.format);
        let logits = |session: &mut Session| logits_of(if is_whole { N_TOKENS } else { N_FEW }, session);
        let expected = logits(&mut load(model.clone(), ExecutorChoice::Cpu, None));
        assert!(expected.iter().flatten().all(|logit| logit.is_finite()), "{}", model.name);
        let (mean, deviation) = spread(&expected.concat());
        println!("{}: logits {mean:.3} ± {deviation:.3}", model.name);
        // A head of weights of size 1/√n_embd over a vector of size 1 gives logits of size 1.
        // Codes that are not even around zero have a mean of their own.
        assert!((0.3..3.0).contains(&deviation) && mean.abs() < 2.0, "{}: {mean} ± {deviation}", model.name);
        let adapters = places.iter().filter(|(_, choice)| matches!(choice, ExecutorChoice::Gpu(_)));
        for (index, (name, choice)) in adapters.enumerate() {
            // Compiling takes minutes: past the first adapter the format that mixes others, and the odd rows. That each format
            // computes the same everywhere is what `formats` and `kernels` show.
            if index > 0 && !is_whole {
                continue;
            }
            // Shards of a few rows: the words must not depend on how tensors are cut.
            let found = logits(&mut load(model.clone(), choice.clone(), Some(24 << 10)));
            let worst = worst(&expected, &found);
            assert!(worst <= 1e-3, "{} on {name}: logits differ by {worst}", model.name);
        }
    }
}

#[test]
fn seeds_and_layers_make_other_models_and_the_same_name_makes_the_same() {
    let shape = Shape::from_config(&config(256, 256)).unwrap();
    let of = |options: &str| logits(&mut load(model(shape.clone(), options), ExecutorChoice::Cpu, None));
    let first = of("");
    // To rounding: into which steps a prompt is cut follows the clock.
    assert!(worst(&first, &of("")) <= 1e-4, "the same name makes another model");
    for other in [":seed=1", ":layers=1..5", ":layers=0..4", ":format=q8_0"] {
        assert!(worst(&first, &of(other)) > 0.1, "{other} changes nothing");
    }
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_allocated() {
    // As wide, deep and many as the checks of a shape let through: 10^17 bytes and more.
    let huge = config(65_536, 65_536)
        .replace("\"n_routed_experts\": 6", "\"n_routed_experts\": 4096")
        .replace("\"vocab_size\": 300", "\"vocab_size\": 4194304");
    let huge = model(Shape::from_config(&huge).unwrap(), ":format=f32");
    let options = LoadOptions { most_bytes: Some(1 << 30), ..LoadOptions::default() };
    let refused = |model: &Synthetic, choice| {
        let files = ModelFiles::synthetic(model.clone());
        block_on(Session::load(&files, choice, &options, &mut |_| ())).err().unwrap().to_string()
    };
    for (name, choice) in places() {
        let error = refused(&huge, choice);
        assert!(error.contains("GiB") || error.contains("MiB"), "{name}: {error}");
    }
    let flash = model(Shape::v4_flash(), "");
    let error = refused(&flash, ExecutorChoice::Cpu);
    assert!(error.contains("at most 1.0 GiB") && error.contains("fewer layers"), "{error}");
}

/// The file of a synthesis.
fn file_of(mut synthesis: Synthesis) -> ModelFiles {
    let tensors = synthesis.new_tensors().unwrap();
    let keys: Vec<_> = synthesis.keys.clone().into_iter().collect();
    let mut file = gguf::head(keys.iter().map(|(key, value)| (key.as_str(), value)), &tensors).unwrap();
    for (index, tensor) in tensors.iter().enumerate() {
        let begin = file.len();
        let mut write = |bytes: &[u8]| {
            file.extend_from_slice(bytes);
            Ok(())
        };
        synthesis.write(index, &mut write).unwrap();
        assert_eq!((file.len() - begin) as u64, tensor.bytes, "{}", tensor.name);
        file.extend(gguf::padding(tensor.bytes));
    }
    ModelFiles::gguf(Rc::new(Memory::new("synthesis", file)))
}

/// A published model made narrow, of two layers unless its name says which.
fn narrow(name: &str, format: Format) -> Synthetic {
    let layers = if name.contains("layers") { "" } else { ":layers=0..2" };
    let name = SyntheticName::parse(&format!("synthetic:{name}{layers}:format={format}")).unwrap();
    let mut model = Synthetic::of(&name).unwrap().unwrap();
    let experts = match &mut model.shape {
        AnyShape::V4(_) => panic!("{}: a V4 has a config of its own here", model.name),
        AnyShape::Grouped(shape) => {
            (shape.n_vocab, shape.n_embd, shape.n_hidden) = (300, 256, 512);
            (shape.n_heads, shape.n_kv_heads) = (4, 2);
            &mut shape.experts
        }
        AnyShape::Mla(shape) => {
            (shape.n_vocab, shape.n_embd, shape.n_hidden, shape.n_heads) = (300, 256, 512, 4);
            (shape.q_lora, shape.kv_lora) = (shape.q_lora.min(64), 64);
            &mut shape.experts
        }
        AnyShape::Delta(shape) => {
            (shape.n_vocab, shape.n_embd, shape.n_hidden) = (300, 256, 512);
            (shape.n_heads, shape.n_kv_heads, shape.net.n_key_heads, shape.net.n_value_heads) = (2, 1, 2, 4);
            &mut shape.experts
        }
    };
    if let Some(experts) = experts {
        (experts.n_experts, experts.n_hidden) = (16, 256);
        experts.shared_hidden = experts.shared_hidden.min(256);
    }
    model
}

/// Models of every architecture that a `config.json` can be written of, small, with what is odd about each.
const CONFIGS: [&str; 6] = [
    r#"{"model_type": "gpt_oss", "vocab_size": 300, "hidden_size": 256, "intermediate_size": 256,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "rope_theta": 150000.0, "tie_word_embeddings": false, "rope_scaling":
    {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": false,
    "original_max_position_embeddings": 4096}}"#,
    r#"{"model_type": "gemma3_text", "vocab_size": 300, "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 256,
    "sliding_window": 16, "rms_norm_eps": 1e-6, "max_position_embeddings": 512}"#,
    r#"{"model_type": "smollm3", "vocab_size": 300, "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
    "max_position_embeddings": 512, "rope_theta": 5000000.0}"#,
    r#"{"model_type": "qwen3", "vocab_size": 300, "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "rms_norm_eps": 1e-6, "max_position_embeddings": 512, "tie_word_embeddings": true}"#,
    r#"{"model_type": "deepseek_v3", "vocab_size": 300, "hidden_size": 256, "intermediate_size": 512,
    "moe_intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
    "q_lora_rank": 64, "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
    "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
    "n_group": 2, "topk_group": 1, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": true,
    "routed_scaling_factor": 2.5, "max_position_embeddings": 512, "rms_norm_eps": 1e-6}"#,
    r#"{"model_type": "qwen3_5_text", "vocab_size": 300, "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 128,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 64,
    "linear_value_head_dim": 64, "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_theta": 10000000.0, "partial_rotary_factor": 0.25}}"#,
];

/// The model of a config, as `synthetic:PATH` asks for it.
fn of_config(config: &str, format: Format) -> Synthetic {
    let name = SyntheticName::parse(&format!("synthetic:config.json:format={format}")).unwrap();
    name.with_shape(AnyShape::from_config(config, &mut Vec::new()).unwrap()).unwrap()
}

#[test]
fn files_of_random_weights_are_loaded_and_give_finite_logits() {
    let v4 = model(Shape::from_config(&config(256, 256)).unwrap(), ":format=q4_k");
    let published = [
        ("llama-8b", Format::Q4_0),
        ("r1-distill-qwen-1.5b", Format::Q6_K),
        ("qwen3-30b-a3b", Format::MXFP4),
        ("lfm2-1.2b:layers=1..3", Format::Q8_0),
        ("deepseek-v2-lite", Format::Q4_0),
        ("deepseek-r1:layers=2..4", Format::Q8_0),
        ("deepseek-v3.2:layers=3..5", Format::Q4_0),
        // Attention every few layers, and layers that are told one by one.
        ("qwen3.5-9b:layers=0..4", Format::Q8_0),
        ("qwen3.5-35b-a3b:layers=2..5", Format::Q4_0),
    ];
    let published = published.map(|(name, format)| narrow(name, format));
    let configs = CONFIGS.map(|config| of_config(config, Format::Q8_0));
    for model in [v4].into_iter().chain(published).chain(configs) {
        let synthesis = Synthesis::new(&model).unwrap();
        let architecture = synthesis.keys["general.architecture"].clone();
        let options = LoadOptions { n_context: Some(256), ..LoadOptions::default() };
        let files = file_of(synthesis);
        let mut session = block_on(Session::load(&files, ExecutorChoice::Cpu, &options, &mut |_| ())).unwrap();
        let ids = session.tokenizer().unwrap().encode("a   b", headstart::text::Bos::Omit).unwrap();
        assert_eq!(ids, [97, 256, 32, 98], "{architecture:?}");
        let logits = logits(&mut session);
        let (mean, deviation) = spread(&logits.concat());
        println!("{architecture:?}: logits {mean:.3} ± {deviation:.3}");
        assert!((0.3..3.0).contains(&deviation) && mean.abs() < 2.0, "{architecture:?}: {mean} ± {deviation}");
    }
}

#[test]
fn models_of_other_attention_run_without_a_file_and_equal_on_every_executor() {
    let published = [
        ("llama-8b", Format::Q4_0),
        ("r1-distill-qwen-1.5b", Format::Q6_K),
        ("qwen3-30b-a3b", Format::MXFP4),
        ("deepseek-r1:layers=2..4", Format::Q8_0),
        ("deepseek-v2-lite", Format::Q4_0),
        ("qwen3.5-9b:layers=2..4", Format::Q4_0),
        ("qwen3.5-35b-a3b:layers=2..4", Format::Q8_0),
    ];
    let published = published.map(|(name, format)| narrow(name, format));
    let gpt_oss = of_config(CONFIGS[0], Format::MXFP4);
    for (turn, model) in published.into_iter().chain([gpt_oss]).enumerate() {
        let (name, files) = (model.name.clone(), ModelFiles::synthetic(model));
        let options = LoadOptions { n_context: Some(256), n_chunk: Some(32), ..LoadOptions::default() };
        let of = |choice| logits(&mut crate::support::load(&files, choice, &options));
        let expected = of(ExecutorChoice::Cpu);
        let (mean, deviation) = spread(&expected.concat());
        assert!((0.3..3.0).contains(&deviation) && mean.abs() < 2.0, "{name}: {mean} ± {deviation}");
        for (place, choice) in places_in_turn(turn) {
            let worst = worst(&expected, &of(choice));
            assert!(worst <= 1e-3, "{name} on {place}: logits differ by {worst}");
        }
    }
}

#[test]
fn the_command_writes_a_file_that_verify_reads() {
    let folder = tempfile::tempdir().unwrap();
    let (config_path, file) = (folder.path().join("config.json"), folder.path().join("out.gguf"));
    std::fs::write(&config_path, config(256, 256)).unwrap();
    let headstart = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_headstart")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let name = format!("synthetic:{}:layers=0..2:format=q8_0", config_path.display());
    let (code, told) = headstart(&["synthesize", &name, file.to_str().unwrap()]);
    assert!(code == Some(0) && told.contains("tensors"), "{told}");
    let ours = std::fs::read(&file).unwrap();
    let read = block_on(gguf::read(&Memory::new("out.gguf", ours), 0)).unwrap();
    assert_eq!(read.metadata.require_str("general.architecture").unwrap(), "deepseek4");
    let (code, told) =
        headstart(&["bench", "-m", file.to_str().unwrap(), "-a", "cpu", "-p", "4", "-n", "2", "-r", "1"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = headstart(&["synthesize", "synthetic:llama-9", file.to_str().unwrap()]);
    assert!(code == Some(2) && told.contains("llama-8b"), "{told}");
    let (code, told) = headstart(&["synthesize", "synthetic:llama-8b:layers=3..99", file.to_str().unwrap()]);
    assert!(code == Some(2) && told.contains("0..32"), "{told}");
}
