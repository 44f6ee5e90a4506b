//! Multi-head latent attention: small models of the shapes of DeepSeek V2-Lite, V2, V3 and V3.2 against transformers, from
//! safetensors and from both forms of GGUF, by prefill, in chunks and token by token, on the CPU executor and on every
//! adapter present.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]
#![allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must not pass")]

use crate::family::{Change, expected, in_memory, options, refused, with_config};
use crate::mla_models::{Form, Tensor, architecture, config, gguf_bytes, gguf_keys, gguf_tensors};
use crate::support::{exported, load, logits, places, places_in_turn, worst};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling};
use headstart::error::Error;
use headstart::format::Memory;
use headstart::format::gguf::{self, Value};
use headstart::kernels::cache::{CacheType, CacheTypes};
use headstart::measure::Progress;
use headstart::measure::report::Check;
use headstart::measure::verify::{self, compare_stages};
use headstart::model::mla;
use pollster::block_on;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const FAMILIES: [&str; 4] = ["deepseek_v2_lite", "deepseek_v2", "deepseek_v3", "deepseek_v32"];
const BUDGET: f32 = 1e-3;

fn safetensors_files(family: &str) -> ModelFiles {
    with_config(family, &config(family))
}

fn gguf_files(family: &str, form: Form) -> ModelFiles {
    let config = config(family);
    in_memory(gguf_bytes(&gguf_keys(&config, form), &gguf_tensors(family, &config, form)))
}

#[test]
fn logits_agree_with_transformers_in_chunks_and_token_by_token() {
    for (turn, family) in FAMILIES.into_iter().enumerate() {
        let expected = expected(family);
        for (place, choice) in places_in_turn(turn) {
            let mut session = load(&safetensors_files(family), choice, &options());
            for steps in [&[][..], &[7, 64, 1, 40], &[1; 160]] {
                let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, steps));
                println!("{family} on {place}, {} steps: off by {worst}", steps.len());
                assert!(worst <= BUDGET, "{family} on {place}, steps {steps:?}: off by {worst}");
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
fn logits_of_both_forms_of_gguf_agree_with_transformers() {
    for (turn, family) in FAMILIES.into_iter().enumerate() {
        let expected = expected(family);
        for (form, turn) in [(Form::Split, turn), (Form::Whole, turn + 1)] {
            let files = gguf_files(family, form);
            for (place, choice) in places_in_turn(turn) {
                let mut session = load(&files, choice, &options());
                assert_eq!(session.outline().architecture, architecture(&config(family)));
                for steps in [&[][..], &[1, 30, 1, 90]] {
                    let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, steps));
                    assert!(worst <= BUDGET, "{family} {form:?} on {place}, steps {steps:?}: off by {worst}");
                }
            }
        }
    }
}

/// Each of these configs is of another model, with the same tensors.
#[test]
fn what_a_slip_would_change_shows_in_the_logits() {
    let scaling = |key: &str, value: Json| {
        let mut scaling = config("deepseek_v3")["rope_scaling"].clone();
        scaling[key] = value;
        scaling
    };
    for (what, family, key, value) in [
        ("no YaRN", "deepseek_v3", "rope_scaling", Json::Null),
        ("no m in the scale", "deepseek_v3", "rope_scaling", scaling("mscale_all_dim", json!(0))),
        ("another amplitude", "deepseek_v3", "rope_scaling", scaling("mscale", json!(0.707))),
        ("groups ignored", "deepseek_v3", "topk_group", json!(3)),
        ("weights not normed", "deepseek_v3", "norm_topk_prob", json!(false)),
        ("weights not scaled", "deepseek_v3", "routed_scaling_factor", json!(1.0)),
        ("weights normed", "deepseek_v2_lite", "norm_topk_prob", json!(true)),
        ("groups ignored", "deepseek_v2", "topk_method", json!("greedy")),
        ("another base", "deepseek_v2", "rope_theta", json!(50_000)),
        ("one position more", "deepseek_v32", "index_topk", json!(25)),
        ("all positions", "deepseek_v32", "index_topk", json!(2048)),
    ] {
        let expected = expected(family);
        let mut config = config(family);
        config[key] = value;
        let mut session = load(&with_config(family, &config), ExecutorChoice::Cpu, &options());
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        assert!(worst > 0.1, "{family}, {what}: off by {worst} only");
    }
}

/// Each of these is another indexer, which chooses other positions.
#[test]
fn what_a_slip_would_change_in_the_indexer_shows_in_the_logits() {
    let (family, form) = ("deepseek_v32", Form::Split);
    let (expected, config) = (expected(family), config(family));
    let turned = |values: &mut Vec<f32>| values.chunks_exact_mut(256 * 64).for_each(|head| head.rotate_left(256 * 32));
    let changes: [Change<'_>; 4] = [
        ("no bias of the key", "indexer.k_norm.bias", &|values| values.fill(0.0)),
        ("no norm of the key", "indexer.k_norm.weight", &|values| values.fill(1.0)),
        ("other dims turn", "indexer.attn_q_b.weight", &turned),
        ("all heads count alike", "indexer.proj.weight", &|values| values.iter_mut().for_each(|v| *v = v.abs())),
    ];
    for (what, name, change) in changes {
        let mut tensors = gguf_tensors(family, &config, form);
        let mut changed = 0;
        for (_, tensor) in tensors.iter_mut().filter(|(of, _)| of.ends_with(name)) {
            change(&mut tensor.values);
            changed += 1;
        }
        assert_eq!(changed, 2, "{what}: one in each layer");
        let files = in_memory(gguf_bytes(&gguf_keys(&config, form), &tensors));
        let mut session = load(&files, ExecutorChoice::Cpu, &options());
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        assert!(worst > 0.1, "{what}: off by {worst} only");
    }
}

/// A context that the choice covers whole needs no indexer: what it computes is what a choice of everything gives.
#[test]
fn a_context_within_the_choice_is_attended_to_whole() {
    let family = "deepseek_v32";
    let ids = &expected(family).ids;
    let with = |top_k: u32, n_context: u32| {
        let mut config = config(family);
        config["index_topk"] = json!(top_k);
        let options = LoadOptions { n_context: Some(n_context), ..options() };
        let mut session = load(&with_config(family, &config), ExecutorChoice::Cpu, &options);
        (logits(&mut session, &ids[..100], &[7, 60, 33]), session.memory().cache)
    };
    let ((chosen, larger), (whole, smaller)) = (with(120, 256), with(2048, 256));
    assert!(larger > smaller, "no keys of an indexer are kept: {larger}, {smaller}");
    let worst = worst(&whole, &chosen);
    assert!(worst <= 1e-4, "off by {worst}");
}

#[test]
fn a_text_of_v32_that_goes_back_is_as_one_from_nothing() {
    let family = "deepseek_v32";
    let all = expected(family).ids;
    for (place, choice) in places() {
        let mut going = load(&safetensors_files(family), choice.clone(), &options());
        let mut whole = load(&safetensors_files(family), choice, &options());
        // Forward, back to where other positions are chosen, and on from there.
        for (n, n_other) in [(90, 0), (60, 30), (40, 5), (110, 0)] {
            let text = [&all[..n], &all[120..120 + n_other]].concat();
            let mut written = Vec::new();
            for (session, from) in [(&mut going, None), (&mut whole, Some(0))] {
                let sampling = Sampling::default();
                let mut generation = block_on(async {
                    match from {
                        None => session.go_on(&text, &sampling, 8, &[]).await,
                        Some(from) => session.generate_from(from, &text, &sampling, 8).await,
                    }
                })
                .unwrap();
                let mut ids = Vec::new();
                while let Some(id) = block_on(generation.next()).unwrap() {
                    ids.push(id);
                }
                block_on(generation.finish()).unwrap();
                written.push(ids);
            }
            assert_eq!(written[0], written[1], "{place}, {n} and {n_other}");
        }
    }
}

#[test]
fn a_cache_of_halves_takes_half_and_is_near() {
    let expected = expected("deepseek_v3");
    for (place, choice) in places() {
        let half = LoadOptions { cache: CacheTypes::both(CacheType::F16), ..options() };
        let whole = load(&safetensors_files("deepseek_v3"), choice.clone(), &options());
        let mut session = load(&safetensors_files("deepseek_v3"), choice, &half);
        // One row of 256 and 32 elements a token and layer, for 256 positions and as many computed ahead.
        assert_eq!(whole.memory().cache - session.memory().cache, 2 * 512 * 288 * 2, "{place}");
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        assert!(worst > 1e-6 && worst < 0.05, "{place}: {worst}");
    }
}

#[test]
fn every_stage_agrees_in_lock_step_and_a_broken_one_is_named() {
    let (place, choice) = places().swap_remove(1);
    let models = [
        ("deepseek_v2_lite", safetensors_files("deepseek_v2_lite"), &["absorb", "shared_down"][..]),
        ("deepseek_v3", gguf_files("deepseek_v3", Form::Split), &["latents", "queries", "absorb", "values"][..]),
        ("deepseek_v32", gguf_files("deepseek_v32", Form::Split), &["index_heads", "index_score", "attend"][..]),
    ];
    for (family, files, faults) in models {
        // The first stage that is wrong.
        let check = |fault: Option<&str>, cache: CacheTypes| {
            let fault = fault.map(str::to_owned);
            let mut session = load(&files, choice.clone(), &LoadOptions { fault, cache, ..options() });
            let mut oracle = load(&files, ExecutorChoice::Cpu, &LoadOptions { cache, ..options() });
            let ids = verify::built_in_ids(&oracle).unwrap();
            let mut go_on = |_: &Progress| ControlFlow::Continue(());
            let mut check = Check::default();
            block_on(compare_stages(&mut session, &mut oracle, &ids[..40], &mut check, &mut go_on)).unwrap();
            check.first_wrong_stage.map(|wrong| wrong.stage)
        };
        for of in [CacheType::F32, CacheType::F16] {
            assert_eq!(check(None, CacheTypes::both(of)), None, "{family} on {place}, {of:?}");
        }
        for stage in faults {
            assert_eq!(check(Some(stage), CacheTypes::default()).as_deref(), Some(*stage), "{family} on {place}");
        }
    }
}

#[test]
fn weights_in_shards_compute_the_same() {
    let expected = expected("deepseek_v3");
    for files in [safetensors_files("deepseek_v3"), gguf_files("deepseek_v3", Form::Split)] {
        let mut session = load(&files, ExecutorChoice::Cpu, &LoadOptions { shard_bytes: Some(40 << 10), ..options() });
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        assert!(worst <= BUDGET, "off by {worst}");
    }
}

#[test]
fn an_exported_gguf_computes_the_same() {
    for family in ["deepseek_v3", "deepseek_v32"] {
        let files = in_memory(exported(family));
        let expected = expected(family);
        let worst =
            worst(&expected.logits, &logits(&mut load(&files, ExecutorChoice::Cpu, &options()), &expected.ids, &[]));
        assert!(worst <= BUDGET, "{family}: off by {worst}");
        // As llama.cpp's converter writes it.
        if family == "deepseek_v32" {
            let written = block_on(files.export()).unwrap();
            for (key, value) in gguf_keys(&config(family), Form::Split) {
                assert_eq!(written.keys.get(&key), Some(&value), "{key}");
            }
            let mut names: Vec<&str> = written.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
            names.sort_unstable();
            let usual = gguf_tensors(family, &config(family), Form::Split);
            assert_eq!(names, usual.keys().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

#[test]
fn what_is_beside_the_model_is_passed_over() {
    let (family, form) = ("deepseek_v3", Form::Whole);
    let (expected, config) = (expected(family), config(family));
    let (mut keys, mut tensors) = (gguf_keys(&config, form), gguf_tensors(family, &config, form));
    // A layer of multi-token prediction, counted among the blocks; and the other form of a tensor beside the first.
    keys.insert("deepseek2.block_count".to_owned(), 3u32.into());
    keys.insert("deepseek2.nextn_predict_layers".to_owned(), 1u32.into());
    let small = Tensor { shape: vec![4], values: vec![1.0; 4] };
    for name in ["blk.2.nextn.eh_proj.weight", "blk.2.attn_norm.weight", "blk.1.attn_k_b.weight"] {
        tensors.insert(name.to_owned(), small.clone());
    }
    let mut session = load(&in_memory(gguf_bytes(&keys, &tensors)), ExecutorChoice::Cpu, &options());
    assert!(session.notices().iter().any(|notice| notice.contains("2 tensors")), "{:?}", session.notices());
    let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
    assert!(worst <= BUDGET, "off by {worst}");
}

/// The shape in the keys alone.
fn shape(keys: &BTreeMap<String, Value>) -> Result<mla::Shape, Error> {
    let file = Memory::new("model.gguf", gguf_bytes(keys, &BTreeMap::new()));
    mla::Shape::from_gguf(&block_on(gguf::read(&file, 0)).unwrap())
}

#[test]
fn keys_that_older_files_lack_are_taken_as_deepseek_has_them() {
    let mut keys = gguf_keys(&config("deepseek_v3"), Form::Whole);
    let v3 = shape(&keys).unwrap();
    assert!(v3.notices.is_empty(), "{:?}", v3.notices);
    for (key, value) in [("block_count", 61u32), ("expert_count", 256), ("expert_used_count", 8)] {
        keys.insert(format!("deepseek2.{key}"), value.into());
    }
    for key in ["expert_group_count", "expert_group_used_count", "rope.scaling.yarn_log_multiplier"] {
        keys.remove(&format!("deepseek2.{key}")).unwrap();
    }
    let older = shape(&keys).unwrap();
    let experts = older.experts.as_ref().unwrap();
    assert_eq!((experts.n_groups, experts.n_kept, older.scale), (8, 4, v3.scale));
    assert_eq!(older.notices.len(), 2, "{:?}", older.notices);
}

/// By hand (spec 2): the scales of scores of the published models, and the frequencies of their rotation.
#[test]
fn published_models_have_their_scale_and_frequencies() {
    let published = |family: &str, mscale: f64| {
        let mut config = config(family);
        for (key, value) in [("qk_nope_head_dim", 128), ("qk_rope_head_dim", 64), ("v_head_dim", 128)] {
            config[key] = json!(value);
        }
        for (key, value) in [("mscale", mscale), ("mscale_all_dim", mscale), ("factor", 40.0)] {
            config["rope_scaling"][key] = json!(value);
        }
        config["rope_scaling"]["original_max_position_embeddings"] = json!(4096);
        mla::Shape::from_config(&config.to_string()).unwrap()
    };
    let (v3, lite) = (published("deepseek_v3", 1.0), published("deepseek_v2_lite", 0.707));
    assert!((v3.scale - 0.135_233_8).abs() < 1e-6 && (lite.scale - 0.114_721_4).abs() < 1e-6);
    assert_eq!((v3.rope.scale(), lite.rope.scale()), (1.0, 1.0));
    let frequencies = v3.rope.frequencies();
    for (pair, expected) in [(1, 0.749_894_209), (11, 0.039_006_926_6), (22, 1.778_279_41e-4), (31, 3.333_803_58e-6)] {
        assert!((frequencies[pair] / expected - 1.0).abs() < 1e-7, "{pair}: {}", frequencies[pair]);
    }
}

#[test]
fn shapes_that_make_no_sense_are_refused_by_name() {
    for (key, value, words) in [
        ("attention.kv_lora_rank", 0u32, "key-value latent"),
        ("attention.kv_lora_rank", 1 << 20, "key-value latent"),
        ("attention.kv_lora_rank", 255, "multiple of 4"),
        ("attention.q_lora_rank", u32::MAX, "query latent"),
        ("rope.dimension_count", 1 << 20, "rope.dimension_count"),
        ("rope.dimension_count", 30, "dims of a head that"),
        ("attention.key_length", 32, "dims of a head that do not turn"),
        ("attention.key_length", u32::MAX, "dims of a head that do not turn"),
        ("attention.value_length", 0, "value head"),
        ("attention.head_count", 0, "heads"),
        ("attention.head_count", 1 << 30, "heads"),
        ("block_count", 0, "block_count"),
        ("block_count", 1 << 30, "block_count"),
        ("expert_used_count", 0, "experts used"),
        ("expert_used_count", 7, "at most the 6"),
        ("expert_count", 1 << 30, "experts"),
        ("expert_shared_count", u32::MAX, "shared experts"),
        ("expert_group_count", 2, "groups of experts"),
        ("expert_group_count", 9, "groups of experts"),
        ("expert_group_used_count", 4, "groups of experts used"),
        ("expert_group_used_count", 0, "groups of experts used"),
        ("expert_gating_func", 3, "expert_gating_func"),
        ("embedding_length", 6, "width of the model"),
        ("feed_forward_length", 0, "hidden width"),
    ] {
        let mut keys = gguf_keys(&config("deepseek_v3"), Form::Whole);
        keys.insert(format!("deepseek2.{key}"), value.into());
        let error = shape(&keys).expect_err(key).to_string();
        assert!(error.contains(words), "{key} {value}: {error}");
    }
    // To llama.cpp that is none: the model's context is meant.
    let mut keys = gguf_keys(&config("deepseek_v3"), Form::Whole);
    keys.insert("deepseek2.rope.scaling.original_context_length".to_owned(), 0u32.into());
    assert!(shape(&keys).is_ok());
    for (key, value, words) in [
        ("rope.scaling.yarn_log_multiplier", f32::NAN, "yarn_log_multiplier"),
        ("rope.scaling.yarn_log_multiplier", 1e30, "YaRN"),
        ("rope.scaling.factor", -1.0, "factor"),
        ("expert_weights_scale", f32::INFINITY, "expert_weights_scale"),
        ("attention.layer_norm_rms_epsilon", -1.0, "epsilon"),
        ("attention.temperature_scale", 1.0, "temperature"),
    ] {
        let mut keys = gguf_keys(&config("deepseek_v3"), Form::Whole);
        keys.insert(format!("deepseek2.{key}"), value.into());
        let error = shape(&keys).expect_err(key).to_string();
        assert!(error.contains(words), "{key} {value}: {error}");
    }
    for (key, value, words) in [
        ("topk_method", json!("best"), "topk_method"),
        ("scoring_func", json!("softmax"), "topk_method"),
        ("scoring_func", json!("tanh"), "scoring_func"),
        ("moe_layer_freq", json!(2), "moe_layer_freq"),
        ("kv_lora_rank", Json::Null, "kv_lora_rank"),
        ("q_lora_rank", json!(-1), "q_lora_rank"),
        ("n_group", json!(0), "groups of experts"),
        ("attention_bias", json!(true), "attention_bias"),
    ] {
        let mut config = config("deepseek_v3");
        config[key] = value.clone();
        let error = mla::Shape::from_config(&config.to_string()).expect_err(key).to_string();
        assert!(error.contains(words), "{key} {value}: {error}");
    }
}

#[test]
fn an_indexer_that_makes_no_sense_is_refused_by_name() {
    for (key, value, words) in [
        ("attention.indexer.head_count", 0u32, "heads of the indexer"),
        ("attention.indexer.head_count", u32::MAX, "heads of the indexer"),
        ("attention.indexer.key_length", 0, "head of the indexer"),
        ("attention.indexer.key_length", 66, "multiple of 4"),
        ("attention.indexer.key_length", 28, "at least the 32 dims"),
        ("attention.indexer.top_k", 0, "positions that the indexer chooses"),
        ("attention.indexer.top_k", u32::MAX, "positions that the indexer chooses"),
        ("attention.q_lora_rank", 0, "query latent"),
    ] {
        let mut keys = gguf_keys(&config("deepseek_v32"), Form::Split);
        keys.insert(format!("deepseek32.{key}"), value.into());
        let error = shape(&keys).expect_err(key).to_string();
        assert!(error.contains(words), "{key} {value}: {error}");
    }
    for name in ["attn_q_b.weight", "attn_k.weight", "k_norm.weight", "k_norm.bias", "proj.weight"] {
        let (config, form) = (config("deepseek_v32"), Form::Split);
        let mut tensors = gguf_tensors("deepseek_v32", &config, form);
        tensors.remove(&format!("blk.1.indexer.{name}")).unwrap();
        let error = refused(&in_memory(gguf_bytes(&gguf_keys(&config, form), &tensors))).to_string();
        assert!(error.contains(&format!("indexer.{name}")), "{name}: {error}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let (family, form) = ("deepseek_v3", Form::Split);
    let config = config(family);
    let (keys, tensors) = (gguf_keys(&config, form), gguf_tensors(family, &config, form));
    let small = Tensor { shape: vec![4], values: vec![1.0; 4] };
    let without = |name: &str| {
        let mut tensors = tensors.clone();
        tensors.remove(name).unwrap();
        tensors
    };
    let with = |name: &str| {
        let mut tensors = tensors.clone();
        tensors.insert(name.to_owned(), small.clone());
        tensors
    };
    for (tensors, name) in [
        (without("blk.0.attn_k_b.weight"), "attn_kv_b"),
        (without("blk.1.attn_v_b.weight"), "attn_v_b"),
        (without("blk.1.attn_q_a_norm.weight"), "attn_q_a_norm"),
        (without("blk.1.ffn_up_shexp.weight"), "ffn_up_shexp"),
        (with("blk.1.attn_k_b.weight"), "attn_k_b"),
        (with("blk.1.exp_probs_b.bias"), "exp_probs_b"),
        (with("blk.0.attn_q.bias"), "attn_q.bias"),
        (with("blk.0.indexer.attn_k.weight"), "indexer"),
    ] {
        let error = refused(&in_memory(gguf_bytes(&keys, &tensors))).to_string();
        assert!(error.contains(name), "{name}: {error}");
    }
}
