//! Models as training saves them: settings in every place and spelling that transformers knows, each read as it reads them, or
//! refused by name.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use serde_json::{Value, json};

use crate::found_models::{Tensor, assert_says, config, load, logits, same_as, tensors};
use crate::support::{fixture, memory, safetensors_of};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::format::{Memory, Source, safetensors};
use headstart::model::grouped::{Scaling, Shape};
use headstart::model::{delta, mla};
use pollster::block_on;
use std::rc::Rc;

/// A family's config with these settings; those that are null are taken out.
fn with(family: &str, changes: Value) -> Value {
    let mut config = config(family);
    changed(&mut config, changes);
    config
}

fn changed(config: &mut Value, changes: Value) {
    let (all, Value::Object(changes)) = (config.as_object_mut().unwrap(), changes) else { panic!("an object") };
    for (name, value) in changes {
        if value.is_null() {
            all.remove(&name)
        } else {
            all.insert(name, value)
        };
    }
}

fn shape(config: &Value) -> Shape {
    Shape::from_config(&config.to_string()).unwrap()
}

/// Of the two names of a tied embedding `safetensors.torch.save_model` keeps the first of the alphabet.
#[test]
fn a_tied_embedding_may_have_the_head_s_name() {
    for (family, usual) in
        [("gemma3", "model.embed_tokens.weight"), ("qwen3_5", "model.language_model.embed_tokens.weight")]
    {
        let rename = |(name, kind, shape, bytes): Tensor| {
            (if name == usual { "lm_head.weight".to_owned() } else { name }, kind, shape, bytes)
        };
        let renamed: Vec<Tensor> = tensors(family).into_iter().map(rename).collect();
        assert_ne!(renamed, tensors(family), "{family}: it is renamed");
        let told = same_as(family, &config(family).to_string(), &renamed);
        assert!(!told.contains("ignored") && !told.contains("lm_head"), "{family}: {told}");
    }
    // One that is not tied has lost its embedding.
    let lost: Vec<Tensor> = tensors("llama").into_iter().filter(|of| of.0 != "model.embed_tokens.weight").collect();
    let text = with("llama", json!({"tie_word_embeddings": false})).to_string();
    assert_says(&load(&text, &lost).err().unwrap().to_string(), &["model.embed_tokens.weight", "missing"]);
}

/// The context is the window that all layers, or some, see within.
#[test]
fn a_window_is_the_one_that_transformers_takes() {
    let context = |family: &str, changes: Value| shape(&with(family, changes)).context_length;
    let long = json!({"max_position_embeddings": 8192});
    let and = |more: Value| {
        let mut all = long.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    // The usual one, where a config leaves it out. What is null is none.
    let mistral = and(json!({"model_type": "mistral"}));
    assert_eq!(context("llama", mistral.clone()), 4096);
    let mut none = with("llama", mistral);
    none["sliding_window"] = Value::Null;
    assert_eq!(shape(&none).context_length, 8192);
    let used = and(json!({"use_sliding_window": true, "sliding_window": null, "layer_types": null,
        "max_window_layers": 0}));
    for family in ["qwen2", "qwen3"] {
        assert_eq!(context(family, used.clone()), 4096, "{family}");
        assert_eq!(context(family, and(json!({"use_sliding_window": false, "sliding_window": 64}))), 8192, "{family}");
    }
    // With experts all layers have it.
    let late = and(json!({"use_sliding_window": true, "sliding_window": 64, "max_window_layers": 99}));
    assert_eq!(context("qwen3moe", late.clone()), 64);
    assert_eq!(context("qwen3", late.clone()), 8192);
    // Without a word from which layer on, from the 28th; and what is not used may be anything.
    assert_eq!(
        context("qwen3", and(json!({"use_sliding_window": true, "layer_types": null, "max_window_layers": null}))),
        8192
    );
    assert_eq!(context("llama", and(json!({"sliding_window": -1}))), 8192);
    let n_layers = config("qwen2")["num_hidden_layers"].as_u64().unwrap() as usize;
    let mut kinds = vec!["full_attention"; n_layers];
    kinds[n_layers - 1] = "sliding_attention";
    let one = json!({"use_sliding_window": true, "sliding_window": 64, "layer_types": kinds, "max_window_layers": 99});
    assert_eq!(context("qwen2", and(one)), 64);
    // Of SmolLM3 those that are listed, whether it is used or not; else those that do not turn.
    assert_eq!(
        context("smollm3", and(json!({"use_sliding_window": true, "sliding_window": 64, "layer_types": null}))),
        64
    );
    let n_layers = config("smollm3")["num_hidden_layers"].as_u64().unwrap() as usize;
    let listed = |kind: &str| {
        and(json!({"use_sliding_window": false, "sliding_window": 64, "layer_types": vec![kind; n_layers]}))
    };
    assert_eq!(context("smollm3", listed("sliding_attention")), 64);
    assert_eq!(context("smollm3", listed("full_attention")), 8192);
    let turning = json!({"use_sliding_window": true, "sliding_window": 64, "layer_types": null,
        "no_rope_layers": vec![1; n_layers]});
    assert_eq!(context("smollm3", and(turning)), 8192);
}

#[test]
fn the_kind_of_a_rotation_may_be_its_type() {
    let linear = json!({"rope_scaling": null, "rope_parameters": {"type": "linear", "factor": 2.0, "rope_theta": 1e4}});
    assert_eq!(shape(&with("qwen2", linear)).rope.scaling, Scaling::Linear { factor: 2.0 });
    let sliding = json!({"rope_scaling": null, "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 1e6},
        "sliding_attention": {"type": "linear", "factor": 2.0, "rope_theta": 1e4}}});
    let error = Shape::from_config(&with("gemma3", sliding).to_string()).unwrap_err().to_string();
    assert_says(&error, &["rope_parameters.sliding_attention.type", "linear", "default"]);
}

/// What is scaled by the older name is the rotation of full attention.
#[test]
fn the_rotation_of_windows_stays_beside_an_older_scaling() {
    let both = json!({"rope_scaling": {"rope_type": "linear", "factor": 4.0}, "rope_local_base_freq": null,
        "rope_theta": null, "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 5e5},
        "sliding_attention": {"rope_type": "default", "rope_theta": 2e4}}});
    let shape = shape(&with("gemma3", both));
    assert_eq!((shape.rope.scaling, shape.rope.base), (Scaling::Linear { factor: 4.0 }, 5e5));
    assert_eq!(shape.local_rope.unwrap().base, 2e4);
}

/// As vLLM and llama.cpp let people use what YaRN makes of it.
#[test]
fn yarn_makes_the_context_longer() {
    let yarn = json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64});
    let text = with("qwen3", json!({"max_position_embeddings": 64, "rope_scaling": yarn})).to_string();
    let mut session = load(&text, &tensors("qwen3")).unwrap();
    assert_says(&session.notices().join("; "), &["the context is 256 tokens, 4 times 64, and not 64"]);
    assert!(logits(&mut session).unwrap().iter().all(|logit| logit.is_finite()));
    // Where a config has what it became, that counts.
    let text = with(
        "qwen3",
        json!({"max_position_embeddings": 200, "rope_scaling": {"rope_type": "yarn", "factor": 2.0,
        "original_max_position_embeddings": 64}}),
    );
    assert_eq!(shape(&text).context_length, 200);
}

#[test]
fn the_part_of_a_head_that_turns_stands_where_transformers_looks_first() {
    let dims = |rotation: Value| {
        let mut config = config("qwen3_5");
        changed(&mut config["text_config"], rotation);
        delta::Shape::from_config(&config.to_string(), &mut Vec::new()).unwrap().rope.n_dims
    };
    assert_eq!(dims(json!({})), 16);
    let scaling = json!({"rope_parameters": null, "rope_theta": 1e7,
        "rope_scaling": {"rope_type": "default", "partial_rotary_factor": 0.5}});
    assert_eq!(dims(scaling), 32);
    assert_eq!(dims(json!({"partial_rotary_factor": 0.5})), 16);
}

/// Cosines and sines of V4 are not multiplied by anything, and one rotation is scaled.
#[test]
fn what_no_v4_has_of_a_rotation_is_refused_by_name() {
    let text = std::fs::read(fixture("golden/config.json")).unwrap();
    let read = |changes: Value| {
        let mut config: Value = serde_json::from_slice(&text).unwrap();
        changed(&mut config, changes);
        headstart::model::Shape::from_config(&config.to_string())
    };
    let compress = |more: Value| {
        let mut compress = json!({"rope_type": "yarn", "factor": 16, "original_max_position_embeddings": 64,
            "rope_theta": 160000.0, "attention_factor": 1.0});
        changed(&mut compress, more);
        json!({"rope_scaling": null, "rope_parameters": {"main": {"rope_type": "default", "rope_theta": 1e4},
            "compress": compress}})
    };
    let plain = read(json!({})).unwrap();
    assert_eq!(read(compress(json!({}))).unwrap(), plain);
    // What stands beside is that of another spelling.
    let mut beside = compress(json!({}));
    beside["original_max_position_embeddings"] = json!(128);
    assert_eq!(read(beside).unwrap(), plain);
    let flat = json!({"rope_scaling": null, "rope_parameters": {"type": "yarn", "factor": 16,
        "original_max_position_embeddings": 64}});
    assert_eq!(read(flat).unwrap(), plain);

    let scaling = |more: Value| {
        let mut scaling = json!({"type": "yarn", "factor": 16, "original_max_position_embeddings": 64});
        changed(&mut scaling, more);
        json!({"rope_scaling": scaling})
    };
    let mut main = compress(json!({}));
    main["rope_parameters"]["main"]["rope_type"] = json!("linear");
    for (changes, words) in [
        (compress(json!({"attention_factor": 1.5})), ["rope_parameters.compress.attention_factor", "1.5"]),
        (compress(json!({"attention_factor": null})), ["rope_parameters.compress.attention_factor", "missing"]),
        (scaling(json!({"attention_factor": 0.5})), ["rope_scaling.attention_factor", "0.5"]),
        (main, ["rope_parameters.main.rope_type", "linear"]),
    ] {
        assert_says(&read(changes).unwrap_err().to_string(), &words);
    }
    assert_eq!(read(scaling(json!({"mscale": 1.0, "mscale_all_dim": 1.0}))).unwrap(), plain);
}

/// DeepSeek scales its scores by any scaled rotation, and nothing is as good as false.
#[test]
fn deepseek_s_settings_are_read_as_transformers_does() {
    let read = |changes: Value| mla::Shape::from_config(&with("deepseek_v3", changes).to_string()).unwrap();
    let usual = read(json!({"rope_scaling": null})).scale;
    let linear = read(json!({"rope_scaling": {"rope_type": "linear", "factor": 4.0, "mscale_all_dim": 1.0}})).scale;
    let m = 0.1 * 4f32.ln() + 1.0;
    assert!((linear / usual - m * m).abs() < 1e-5, "{linear} and {usual}");
    let mut null = config("deepseek_v3");
    null["norm_topk_prob"] = Value::Null;
    let shape = mla::Shape::from_config(&null.to_string()).unwrap();
    assert!(!shape.experts.unwrap().normed && read(json!({})).experts.unwrap().normed);
    null["rope_interleave"] = Value::Null;
    let error = mla::Shape::from_config(&null.to_string()).unwrap_err().to_string();
    assert_says(&error, &["rope_interleave", "false", "true"]);
}

#[test]
fn gates_of_gpt_oss_take_the_config_s_alpha() {
    let alpha = |changes: Value| shape(&with("gpt_oss", changes)).experts.unwrap().biased.unwrap().alpha;
    assert_eq!((alpha(json!({})), alpha(json!({"swiglu_alpha": 1.5}))), (1.702, 1.5));
}

/// Scales of activations change nothing, since those are kept as they are.
#[test]
fn scales_of_activations_are_passed_over() {
    let mut all = tensors("llama");
    for name in ["activation_scale", "input_scale", "input_scale_ub"] {
        let of = format!("model.layers.0.self_attn.q_proj.{name}");
        all.push((of, "F32".to_owned(), vec![1], 1f32.to_le_bytes().to_vec()));
    }
    assert_says(&same_as("llama", &config("llama").to_string(), &all), &["3 unknown tensors are ignored"]);
}

/// The table of a V4 that was never trained has zeros. An expert's list of a step's tokens has room for each of them once.
#[test]
fn a_table_that_names_an_expert_twice_for_a_token_is_refused() {
    let source = memory("golden/model.safetensors");
    let directory = block_on(safetensors::read(source.as_ref(), 0)).unwrap().directory;
    let table = directory.tensors().iter().find(|tensor| tensor.name.ends_with("tid2eid")).unwrap();
    let mut bytes = std::fs::read(fixture("golden/model.safetensors")).unwrap();
    let row = table.bytes as usize / table.shape[0] as usize;
    let at = table.offset as usize + 7 * row;
    bytes[at..at + row].fill(0);
    let files = ModelFiles {
        sources: vec![Rc::new(Memory::new("model.safetensors", bytes))],
        config: Some(std::fs::read_to_string(fixture("golden/config.json")).unwrap()),
        ..ModelFiles::default()
    };
    let options = LoadOptions { n_context: Some(64), ..LoadOptions::default() };
    let loaded = block_on(Session::load(&files, ExecutorChoice::Cpu, &options, &mut |_| ()));
    assert_says(&loaded.err().unwrap().to_string(), &[&table.name, "expert 0 twice for token 7"]);
}

/// Windows' shells write UTF-16; what is no text, and beside what a model is made of, refuses nothing.
#[test]
fn texts_beside_the_weights_may_be_in_utf_16_and_those_that_are_none_are_left_out() {
    let wide = |text: &str| format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let open = |more: &[(&str, Vec<u8>)]| {
        let weights = ("model.safetensors", safetensors_of(&tensors("qwen2")));
        let config = ("config.json", wide(&config("qwen2").to_string()));
        let tokenizer = ("tokenizer.json", std::fs::read(fixture("tokenizer.json")).unwrap());
        let all = [&[weights, config, tokenizer], more].concat();
        let sources = all.into_iter().map(|(name, bytes)| Rc::new(Memory::new(name, bytes)) as Rc<dyn Source>);
        block_on(ModelFiles::of(sources.collect())).and_then(|files| block_on(files.open()))
    };
    let stops = wide("{\"stop_strings\": [\"END\"]}");
    let no_text = b"caf\xe9".to_vec();
    let model = open(&[("generation_config.json", stops), ("chat_template.jinja", no_text.clone())]).unwrap();
    assert_eq!(model.stop_strings, ["END"]);
    assert_says(&model.notices.join("; "), &["chat_template.jinja", "no UTF-8", "left out"]);
    let refused = open(&[("model.safetensors.index.json", no_text)]).err().unwrap();
    assert_says(&refused.to_string(), &["index.json", "no UTF-8"]);
}
