//! The small models of the day, SmolLM3, Gemma 3, gpt-oss and LFM2, against transformers: from safetensors, from a GGUF by llama.cpp's
//! names and from one that `headstart quantize` writes; by prefill, in chunks and token by token, on the CPU executor and
//! on every adapter present.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]
#![allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must not pass")]

use crate::family::{Change, expected, in_memory, options, with_config};
use crate::mla_models::{config, gguf_bytes, safetensors_bytes, tensors};
use crate::small_files::{Stored, architecture, gguf_keys, gguf_tensors, gpt_oss_gguf, stored};
use crate::support::{exported, places, places_in_turn};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::format::gguf::{self, Value};
use headstart::format::{Memory, Source};
use headstart::measure::Progress;
use headstart::measure::report::Check;
use headstart::measure::verify::{self, compare_stages};
use headstart::model::AnyShape;
use headstart::model::grouped::Shape;
use pollster::block_on;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

/// The models, and how far logits may be off: by GELU with an error function Gemma's would be off by 1e-3.
const FAMILIES: [(&str, f32); 4] = [("smollm3", 1e-3), ("gemma3", 2e-4), ("gpt_oss", 1e-3), ("lfm2", 1e-3)];

fn gguf_files(family: &str) -> ModelFiles {
    if family == "gpt_oss" {
        return in_memory(gpt_oss_gguf(&gguf_keys(family), &gguf_tensors(family)));
    }
    in_memory(gguf_bytes(&gguf_keys(family), &gguf_tensors(family)))
}

fn load(files: &ModelFiles, choice: ExecutorChoice) -> Session {
    crate::support::load(files, choice, &options())
}

fn logits(session: &mut Session, ids: &[u32], steps: &[u32]) -> Vec<f32> {
    let mut all = Vec::new();
    let mut each = |_, logits: &[f32]| {
        all.extend_from_slice(logits);
        Ok(())
    };
    block_on(session.logits_in_steps(ids, steps, &mut each)).unwrap();
    all
}

/// The largest difference, and NaN where anything is not a number.
fn worst(expected: &[f32], found: &[f32]) -> f32 {
    assert_eq!(expected.len(), found.len());
    let differences = expected.iter().zip(found).map(|(e, f)| (e - f).abs());
    differences.fold(0.0, |a, b| if a.is_nan() || b <= a { a } else { b })
}

/// How far logits are off on the CPU executor, by prefill.
fn off(family: &str, files: &ModelFiles) -> f32 {
    let expected = expected(family);
    worst(&expected.logits, &logits(&mut load(files, ExecutorChoice::Cpu), &expected.ids, &[]))
}

#[test]
fn logits_agree_with_transformers_in_chunks_and_token_by_token() {
    for (turn, (family, budget)) in FAMILIES.into_iter().enumerate() {
        let expected = expected(family);
        for (place, choice) in places_in_turn(turn) {
            let mut session = load(&with_config(family, &config(family)), choice);
            for steps in [&[][..], &[7, 64, 1, 40], &[2, 1, 3, 37, 1], &[1; 160]] {
                let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, steps));
                println!("{family} on {place}, {} steps: off by {worst}", steps.len());
                assert!(worst <= budget, "{family} on {place}, steps {steps:?}: off by {worst}");
            }
            let mut generation =
                block_on(session.generate(&expected.ids, &Sampling::default(), expected.greedy.len())).unwrap();
            let mut ids = Vec::new();
            while let Some(id) = block_on(generation.next()).unwrap() {
                ids.push(id);
            }
            block_on(generation.finish()).unwrap();
            let until_end = expected.greedy.iter().take_while(|id| **id != 1).copied().collect::<Vec<_>>();
            assert_eq!(ids, until_end, "{family} on {place}");
        }
    }
}

#[test]
fn a_context_that_a_gguf_does_not_name_is_told() {
    let mut keys = gguf_keys("smollm3");
    assert!(load(&gguf_files("smollm3"), ExecutorChoice::Cpu).notices().is_empty());
    keys.retain(|key, _| !key.ends_with(".context_length"));
    let session = load(&in_memory(gguf_bytes(&keys, &gguf_tensors("smollm3"))), ExecutorChoice::Cpu);
    let notices = session.notices().join("; ");
    assert!(notices.contains("smollm3.context_length is missing: the context is 2048 tokens"), "{notices}");
}

#[test]
fn logits_of_a_gguf_agree_with_transformers() {
    for (turn, (family, budget)) in FAMILIES.into_iter().enumerate() {
        let (expected, files) = (expected(family), gguf_files(family));
        for (place, choice) in places_in_turn(turn) {
            let mut session = load(&files, choice);
            assert_eq!(session.outline().architecture, architecture(family));
            for steps in [&[][..], &[1, 30, 1, 90]] {
                let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, steps));
                assert!(worst <= budget, "{family} on {place}, steps {steps:?}: off by {worst}");
            }
        }
    }
}

#[test]
fn an_exported_gguf_computes_the_same_and_has_the_usual_keys() {
    for (family, budget) in FAMILIES {
        let bytes = exported(family);
        let written = block_on(gguf::read(&Memory::new("out.gguf", bytes.clone()), 0)).unwrap();
        for (key, value) in gguf_keys(family) {
            assert_eq!(written.metadata.get(&key), Some(&value), "{family}: {key}");
        }
        let worst = off(family, &in_memory(bytes));
        assert!(worst <= budget, "{family}: off by {worst}");
    }
}

/// Each of these configs is of another model, with the same tensors.
#[test]
fn what_a_slip_would_change_shows_in_the_logits() {
    let swapped = ["full_attention", "sliding_attention", "full_attention", "sliding_attention"];
    let scaling = |key: &str, value: Json| {
        let mut scaling = config("gpt_oss")["rope_scaling"].clone();
        scaling[key] = value;
        scaling
    };
    for (what, family, key, value) in [
        ("all layers turn", "smollm3", "no_rope_layers", json!([1, 1, 1, 1, 1])),
        ("layers counted from 0", "smollm3", "no_rope_layers", json!([0, 1, 1, 1, 0])),
        ("another base", "smollm3", "rope_theta", json!(10_000)),
        ("window short by one", "gemma3", "sliding_window", json!(23)),
        ("window long by one", "gemma3", "sliding_window", json!(25)),
        ("no layer sees all", "gemma3", "sliding_window_pattern", json!(9)),
        ("all layers see all", "gemma3", "sliding_window_pattern", json!(1)),
        ("one base", "gemma3", "rope_local_base_freq", json!(1e6)),
        ("no scaling", "gemma3", "rope_scaling", Json::Null),
        ("another scale", "gemma3", "query_pre_attn_scalar", json!(100)),
        ("window short by one", "gpt_oss", "sliding_window", json!(23)),
        ("windows in odd layers", "gpt_oss", "layer_types", json!(swapped)),
        ("gates not cut off", "gpt_oss", "swiglu_limit", json!(1000)),
        ("YaRN rounded", "gpt_oss", "rope_scaling", scaling("truncate", json!(true))),
        ("another amplitude", "gpt_oss", "rope_scaling", scaling("attention_factor", json!(1.0))),
    ] {
        let mut config = config(family);
        config[key] = value;
        if key == "no_rope_layer_interval" {
            config["no_rope_layers"] = Json::Null;
        }
        let worst = off(family, &with_config(family, &config));
        assert!(worst > 0.1, "{family}, {what}: off by {worst} only");
    }
    // In a GGUF nothing is added to norms, and what follows a sub-layer is normed.
    for (what, slip) in [("norms of safetensors", -1.0f32), ("no norms behind sub-layers", 0.0)] {
        let mut tensors = gguf_tensors("gemma3");
        let changed = |name: &str| if slip < 0.0 { name.contains("norm") } else { name.contains("post_") };
        for (_, tensor) in tensors.iter_mut().filter(|(name, _)| changed(name)) {
            tensor.values.iter_mut().for_each(|value| *value = if slip < 0.0 { *value - 1.0 } else { 1.0 });
        }
        let worst = off("gemma3", &in_memory(gguf_bytes(&gguf_keys("gemma3"), &tensors)));
        assert!(worst > 0.1, "{what}: off by {worst} only");
    }
    // Sinks that weigh nothing, and each bias left out.
    for (what, value) in [
        ("attn_sinks.weight", -1e4f32),
        ("attn_q.bias", 0.0),
        ("attn_k.bias", 0.0),
        ("attn_v.bias", 0.0),
        ("attn_output.bias", 0.0),
        ("ffn_gate_inp.bias", 0.0),
        ("ffn_gate_exps.bias", 0.0),
        ("ffn_up_exps.bias", 0.0),
        ("ffn_down_exps.bias", 0.0),
    ] {
        let mut tensors = gguf_tensors("gpt_oss");
        for (_, tensor) in tensors.iter_mut().filter(|(name, _)| name.ends_with(what)) {
            tensor.values.fill(value);
        }
        let worst = off("gpt_oss", &in_memory(gpt_oss_gguf(&gguf_keys("gpt_oss"), &tensors)));
        // A bias of keys is the same for all of them until it turns.
        assert!(worst > 0.1, "{what}: off by {worst} only");
    }
}

/// A convolution with its parts or its taps in another order, and heads that are not normed.
#[test]
fn what_a_slip_would_change_in_a_convolution_shows_in_the_logits() {
    // Two of the three thirds of its rows change places.
    let swapped = |values: &mut Vec<f32>, first: usize, second: usize| {
        let third = values.len() / 3;
        (0..third).for_each(|i| values.swap(first * third + i, second * third + i));
    };
    let reversed = |values: &mut Vec<f32>| values.chunks_exact_mut(3).for_each(<[f32]>::reverse);
    let changes: [Change<'_>; 5] = [
        ("both gates exchanged", "shortconv.in_proj.weight", &|values| swapped(values, 0, 1)),
        ("input and gate of the output exchanged", "shortconv.in_proj.weight", &|values| swapped(values, 1, 2)),
        ("taps reversed", "shortconv.conv.weight", &reversed),
        ("heads without norms", "attn_q_norm.weight", &|values| values.fill(1.0)),
        ("no norm before the head", "token_embd_norm.weight", &|values| values.fill(1.0)),
    ];
    for (what, name, change) in changes {
        let mut tensors = gguf_tensors("lfm2");
        tensors.iter_mut().filter(|(of, _)| of.ends_with(name)).for_each(|(_, tensor)| change(&mut tensor.values));
        let worst = off("lfm2", &in_memory(gguf_bytes(&gguf_keys("lfm2"), &tensors)));
        assert!(worst > 0.1, "{what}: off by {worst} only");
    }
    let mut config = config("lfm2");
    config["rope_theta"] = json!(10_000);
    assert!(off("lfm2", &with_config("lfm2", &config)) > 0.1, "another base");
    // As llama.cpp reads it, a window is that of all layers with attention.
    let mut keys = gguf_keys("lfm2");
    keys.insert("lfm2.attention.sliding_window".to_owned(), 24u32.into());
    assert!(off("lfm2", &in_memory(gguf_bytes(&keys, &gguf_tensors("lfm2")))) > 0.1, "a window");
}

/// As transformers 5 and other tools spell the same model.
#[test]
fn other_spellings_of_a_config_and_of_names_are_the_same_model() {
    let mut smol = config("smollm3");
    smol["no_rope_layers"] = Json::Null;
    assert!(off("smollm3", &with_config("smollm3", &smol)) <= 1e-3, "every fourth layer does not turn");
    smol["no_rope_layer_interval"] = Json::Null;
    assert!(off("smollm3", &with_config("smollm3", &smol)) <= 1e-3, "as by default");

    // The layers by their kinds, and the hidden width as it is.
    let mut lfm2 = config("lfm2");
    lfm2["full_attn_idxs"] = Json::Null;
    lfm2["layer_types"] = json!(["conv", "conv", "full_attention", "conv", "full_attention"]);
    for (key, value) in [("block_ff_dim", Json::Null), ("intermediate_size", json!(256))] {
        lfm2[key] = value;
    }
    lfm2["block_auto_adjust_ff_dim"] = json!(false);
    assert!(off("lfm2", &with_config("lfm2", &lfm2)) <= 1e-3);

    let mut gemma = config("gemma3");
    let object = gemma.as_object_mut().unwrap();
    for key in ["rope_theta", "rope_local_base_freq", "rope_scaling", "sliding_window_pattern", "tie_word_embeddings"] {
        object.remove(key).unwrap();
    }
    object.insert(
        "rope_parameters".to_owned(),
        json!({"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}),
    );
    let kinds: Vec<&str> =
        (0..7).map(|layer| if layer == 5 { "full_attention" } else { "sliding_attention" }).collect();
    object.insert("layer_types".to_owned(), json!(kinds));
    assert!(off("gemma3", &with_config("gemma3", &gemma)) <= 2e-4);

    // A model that also sees: its text part has a room in the config, and a prefix, and there is more in the file.
    let all = json!({"model_type": "gemma3", "text_config": gemma, "eos_token_id": [1, 106], "vision_config": {}});
    for prefix in ["language_model.model.", "model.language_model."] {
        let as_bytes = |values: &[f32]| bytemuck::cast_slice(values).to_vec();
        let mut renamed: Vec<(String, &str, Vec<u64>, Vec<u8>)> = tensors("families/gemma3/model.safetensors")
            .into_iter()
            .map(|(name, of)| (name.replacen("model.", prefix, 1), "F32", of.shape, as_bytes(&of.values)))
            .collect();
        renamed.push(("vision_tower.weight".to_owned(), "F32", vec![2], as_bytes(&[1.0, 2.0])));
        let sources: Vec<Rc<dyn Source>> = vec![Rc::new(Memory::new("model.safetensors", safetensors_bytes(&renamed)))];
        let files = ModelFiles { sources, config: Some(all.to_string()), ..ModelFiles::default() };
        assert!(off("gemma3", &files) <= 2e-4, "{prefix}");
    }
}

/// As the config of Gemma 3 4B says it, which leaves to transformers what is usual.
#[test]
fn a_config_that_leaves_things_out_has_transformers_defaults() {
    let text = json!({"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10_240,
        "num_hidden_layers": 34, "sliding_window": 1024, "rope_scaling": {"rope_type": "linear", "factor": 8.0}});
    let config = json!({"model_type": "gemma3", "eos_token_id": [1, 106], "text_config": text});
    let shape = Shape::from_config(&config.to_string()).unwrap();
    assert_eq!((shape.n_vocab, shape.n_heads, shape.n_kv_heads, shape.head_dim), (262_208, 8, 4, 256));
    assert_eq!((shape.context_length, shape.bos, shape.eos, shape.is_tied), (131_072, Some(2), Some(1), true));
    let rope = shape.local_rope.as_ref().unwrap();
    assert_eq!((shape.rope.base, rope.base, shape.attention_scale), (1e6, 1e4, 1.0 / 16.0));
    let full: Vec<usize> = (0..34).filter(|layer| shape.kind(*layer).window.is_none()).collect();
    assert_eq!(full, [5, 11, 17, 23, 29]);
    // 3.88 billion, as it is published without the tower that sees.
    assert_eq!(AnyShape::Grouped(shape).n_parameters().unwrap(), 3_880_263_168);
}

#[test]
fn every_stage_agrees_in_lock_step_and_a_broken_one_is_named() {
    let (place, choice) = places().swap_remove(1);
    let check = |files: &ModelFiles, fault: Option<&str>| {
        let options = LoadOptions { fault: fault.map(str::to_owned), ..options() };
        let mut session = block_on(Session::load(files, choice.clone(), &options, &mut |_| ())).unwrap();
        let mut oracle = load(files, ExecutorChoice::Cpu);
        let ids = verify::built_in_ids(&oracle).unwrap();
        let mut go_on = |_: &Progress| ControlFlow::Continue(());
        let mut check = Check::default();
        block_on(compare_stages(&mut session, &mut oracle, &ids[..40], &mut check, &mut go_on)).unwrap();
        check.first_wrong_stage.map(|wrong| wrong.stage)
    };
    for (family, stages) in [
        ("gemma3", &["embed", "attn_post_norm", "attend", "swiglu", "ffn_post_norm"][..]),
        ("gpt_oss", &["attend_merge", "experts_spread", "experts_in", "experts_gate", "experts_bias"]),
        ("lfm2", &["project", "short_conv", "heads", "ffn_norm"]),
    ] {
        let files = gguf_files(family);
        assert_eq!(check(&files, None), None, "{family} on {place}");
        for stage in stages {
            assert_eq!(check(&files, Some(stage)).as_deref(), Some(*stage), "{family} on {place}");
        }
    }
}

#[test]
fn a_list_says_which_layers_have_a_window() {
    let slides = [true, false, false, true, true, false, true];
    let numbers = slides.map(i32::from);
    for list in [Value::from(slides.as_slice()), numbers.as_slice().into()] {
        let mut keys = gguf_keys("gemma3");
        keys.insert("gemma3.attention.sliding_window_pattern".to_owned(), list);
        let file = Memory::new("model.gguf", gguf_bytes(&keys, &BTreeMap::new()));
        let shape = Shape::from_gguf(&block_on(gguf::read(&file, 0)).unwrap(), Vec::new()).unwrap();
        let found: Vec<bool> = shape.kinds.iter().map(|kind| kind.window.is_some()).collect();
        assert_eq!(found, slides);
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    for (family, key, value, words) in [
        ("gemma3", "attention.sliding_window", Value::from(u32::MAX), "window"),
        ("gemma3", "attention.sliding_window_pattern", 0u32.into(), "sliding_window_pattern"),
        ("gemma3", "rope.freq_base_swa", 0.5f32.into(), "base of the rotation"),
        ("gemma3", "rope.freq_base_swa", f32::NAN.into(), "freq_base_swa"),
        ("gemma3", "final_logit_softcapping", 30.0f32.into(), "final_logit_softcapping"),
        ("gemma3", "attn_logit_softcapping", 50.0f32.into(), "attn_logit_softcapping"),
        ("gemma3", "block_count", (1u32 << 30).into(), "layers"),
        ("smollm3", "block_count", 0u32.into(), "layers"),
        ("gpt-oss", "attention.sliding_window", 0u32.into(), "sliding_window"),
        ("gpt-oss", "expert_count", (1u32 << 30).into(), "experts"),
        ("gpt-oss", "expert_used_count", 7u32.into(), "experts used"),
        ("gpt-oss", "expert_feed_forward_length", 6u32.into(), "hidden width of an expert"),
        ("gpt-oss", "rope.scaling.factor", (-1.0f32).into(), "factor"),
        ("gpt-oss", "attention.value_length", 64u32.into(), "value_length"),
        ("lfm2", "shortconv.l_cache", 1u32.into(), "convolution"),
        ("lfm2", "shortconv.l_cache", u32::MAX.into(), "convolution"),
        ("lfm2", "attention.head_count_kv", [0i32, 0, 2, 0, 4].as_slice().into(), "head_count_kv"),
        ("lfm2", "attention.head_count_kv", [0i32, 2].as_slice().into(), "head_count_kv"),
        ("lfm2", "attention.head_count_kv", [0i32, 0, -2, 0, 2].as_slice().into(), "head_count_kv"),
        ("lfm2", "attention.head_count_kv", 0u32.into(), "key heads"),
        ("lfm2", "block_count", (1u32 << 30).into(), "head_count_kv"),
    ] {
        let mut keys = gguf_keys(&family.replace('-', "_"));
        keys.insert(format!("{family}.{key}"), value);
        let file = Memory::new("model.gguf", gguf_bytes(&keys, &BTreeMap::new()));
        let error = Shape::from_gguf(&block_on(gguf::read(&file, 0)).unwrap(), Vec::new()).expect_err(key).to_string();
        assert!(error.contains(words), "{key}: {error}");
    }
    for (kind, is_model) in [("adapter", false), ("mmproj", false), ("model", true)] {
        let mut keys = gguf_keys("gemma3");
        keys.insert("general.type".to_owned(), kind.into());
        let opened = block_on(in_memory(gguf_bytes(&keys, &gguf_tensors("gemma3"))).open());
        assert!(opened.map_or_else(|error| error.to_string().contains(kind) && !is_model, |_| is_model), "{kind}");
    }
    for (family, key, value, words) in [
        ("gemma3", "sliding_window", json!(0), "sliding_window"),
        ("gemma3", "sliding_window", json!("wide"), "sliding_window"),
        ("gemma3", "sliding_window_pattern", json!(0), "sliding_window_pattern"),
        ("gemma3", "layer_types", json!(["full_attention"]), "layer_types"),
        ("gemma3", "layer_types", json!(vec!["chunked_attention"; 7]), "layer_types"),
        ("gemma3", "query_pre_attn_scalar", json!(0), "scale of attention"),
        ("gemma3", "query_pre_attn_scalar", json!(-64), "scale of attention"),
        ("gemma3", "hidden_activation", json!("gelu"), "hidden_activation"),
        ("gemma3", "use_bidirectional_attention", json!(true), "use_bidirectional_attention"),
        ("gemma3", "attention_bias", json!(true), "attention_bias"),
        ("gemma3", "final_logit_softcapping", json!(30.0), "final_logit_softcapping"),
        ("smollm3", "no_rope_layers", json!([1, 1]), "no_rope_layers"),
        ("smollm3", "no_rope_layers", json!([1, 1, 1, 2, 1]), "no_rope_layers"),
        ("gpt_oss", "sliding_window", json!(0), "sliding_window"),
        ("gpt_oss", "swiglu_limit", json!(0), "limit"),
        ("gpt_oss", "swiglu_limit", json!("seven"), "swiglu_limit"),
        ("gpt_oss", "rope_scaling", Json::Null, "rope_scaling"),
        ("gpt_oss", "num_local_experts", json!(0), "experts"),
        ("gpt_oss", "layer_types", json!(["full_attention"]), "layer_types"),
        ("lfm2", "layer_types", json!(["conv", "conv"]), "layer_types"),
        ("lfm2", "layer_types", json!(vec!["linear_attention"; 5]), "layer_types"),
        ("lfm2", "full_attn_idxs", json!([2, -4]), "full_attn_idxs"),
        ("lfm2", "full_attn_idxs", json!(2), "full_attn_idxs"),
        ("lfm2", "conv_L_cache", json!(1), "convolution"),
        ("lfm2", "conv_bias", json!(true), "conv_bias"),
        ("lfm2", "block_multiple_of", json!(0), "block_multiple_of"),
        ("lfm2", "block_ffn_dim_multiplier", json!(1e30), "hidden width"),
        ("lfm2", "block_ff_dim", json!(0), "hidden width"),
        ("lfm2", "norm_eps", json!(2), "epsilon"),
    ] {
        let mut config = config(family);
        config[key] = value.clone();
        let error = Shape::from_config(&config.to_string()).expect_err(key).to_string();
        assert!(error.contains(words), "{key} {value}: {error}");
    }
    let mut still = config("smollm3");
    still["no_rope_layers"] = Json::Null;
    still["no_rope_layer_interval"] = json!(0);
    let error = Shape::from_config(&still.to_string()).unwrap_err().to_string();
    assert!(error.contains("no_rope_layer_interval"), "{error}");
}

#[test]
fn a_model_that_no_gguf_can_say_is_not_exported() {
    for (family, key, value, words) in [
        ("smollm3", "no_rope_layers", json!([1, 0, 1, 0, 1]), "rotation"),
        ("gemma3", "query_pre_attn_scalar", json!(100), "scale of attention"),
        (
            "gemma3",
            "layer_types",
            json!([0, 1, 0, 0, 1, 1, 0].map(|full| ["sliding_attention", "full_attention"][full])),
            "layers with a window",
        ),
    ] {
        let mut config = config(family);
        config[key] = value;
        let error = block_on(with_config(family, &config).export()).err().unwrap().to_string();
        assert!(error.contains(words), "{family}: {error}");
    }
}

#[test]
fn a_norm_that_is_missing_is_named() {
    for name in ["blk.3.post_attention_norm.weight", "blk.0.post_ffw_norm.weight", "blk.6.attn_q_norm.weight"] {
        let mut tensors = gguf_tensors("gemma3");
        tensors.remove(name).unwrap();
        let files = in_memory(gguf_bytes(&gguf_keys("gemma3"), &tensors));
        let error = block_on(Session::load(&files, ExecutorChoice::Cpu, &options(), &mut |_| ())).err().unwrap();
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// A file without a window is not whole; experts that are not quantized lie another way; and blocks have their shape.
#[test]
fn files_of_gpt_oss_that_are_not_as_published_are_refused_by_name() {
    let refused = |files: &ModelFiles| {
        block_on(Session::load(files, ExecutorChoice::Cpu, &options(), &mut |_| ())).err().unwrap().to_string()
    };
    let mut keys = gguf_keys("gpt_oss");
    keys.remove("gpt-oss.attention.sliding_window").unwrap();
    let error = refused(&in_memory(gpt_oss_gguf(&keys, &gguf_tensors("gpt_oss"))));
    assert!(error.contains("sliding_window"), "{error}");
    for name in ["blk.2.attn_sinks.weight", "blk.0.ffn_up_exps.bias", "blk.3.ffn_gate_inp.bias"] {
        let mut tensors = gguf_tensors("gpt_oss");
        tensors.remove(name).unwrap();
        let error = refused(&in_memory(gpt_oss_gguf(&gguf_keys("gpt_oss"), &tensors)));
        assert!(error.contains(name), "{error}");
    }
    let with = |change: &dyn Fn(&mut BTreeMap<String, Stored>)| {
        let mut all = stored("gpt_oss");
        change(&mut all);
        let tensors: Vec<_> =
            all.iter().map(|(name, of)| (name.clone(), &*of.dtype, of.shape.clone(), of.bytes.clone())).collect();
        let sources: Vec<Rc<dyn Source>> = vec![Rc::new(Memory::new("model.safetensors", safetensors_bytes(&tensors)))];
        ModelFiles { sources, config: Some(config("gpt_oss").to_string()), ..ModelFiles::default() }
    };
    let stack = "model.layers.1.mlp.experts.gate_up_proj";
    let error = refused(&with(&|all| {
        let blocks = all.remove(&format!("{stack}_blocks")).unwrap();
        all.insert(stack.to_owned(), blocks);
    }));
    assert!(error.contains("not quantized"), "{error}");
    let error = refused(&with(&|all| all.get_mut(&format!("{stack}_blocks")).unwrap().shape = vec![6, 256, 8, 32]));
    assert!(error.contains("gate_up_proj_blocks"), "{error}");
    let error = refused(&with(&|all| drop(all.remove(&format!("{stack}_scales")))));
    assert!(error.contains("gate_up_proj_blocks"), "{error}");
    // What a GGUF has no key for is not lost in one.
    for (key, value, words) in [
        ("swiglu_limit", json!(6.0), "gates of experts"),
        (
            "rope_scaling",
            {
                let mut yarn = config("gpt_oss")["rope_scaling"].clone();
                yarn["truncate"] = json!(true);
                yarn
            },
            "truncate",
        ),
    ] {
        let mut config = config("gpt_oss");
        config[key] = value;
        let files = ModelFiles { config: Some(config.to_string()), ..with(&|_| ()) };
        let error = block_on(files.export()).err().unwrap().to_string();
        assert!(error.contains(words) && error.contains("no key"), "{error}");
    }
}

/// By hand (OpenAI's model, `transformers`' YaRN): the pairs that are interpolated are not rounded to whole ones.
#[test]
fn frequencies_of_gpt_oss_are_those_of_openai() {
    let config = json!({"model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 24,
        "num_local_experts": 32, "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
        "truncate": false, "original_max_position_embeddings": 4096}});
    let shape = Shape::from_config(&config.to_string()).unwrap();
    let frequencies = shape.rope.frequencies();
    for (pair, expected) in [(9, 0.031_705_696_2), (12, 6.794_959_49e-3), (16, 4.564_839_19e-4), (18, 3.830_881_24e-5)]
    {
        assert!((frequencies[pair] / expected - 1.0).abs() < 1e-6, "{pair}: {}", frequencies[pair]);
    }
    assert!((shape.rope.scale() - 1.346_573_6).abs() < 1e-6);
    assert_eq!((shape.n_heads, shape.n_kv_heads, shape.head_dim, shape.n_vocab), (64, 8, 64, 201_088));
    // As it is published: 20.9 billion.
    assert_eq!(AnyShape::Grouped(shape).n_parameters().unwrap(), 20_914_757_184);
}
