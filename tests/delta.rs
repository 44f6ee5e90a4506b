//! Gated delta nets: small models of the shapes of Qwen3.5, dense and with experts, against transformers, from safetensors
//! and from GGUF, by prefill, in chunks and token by token, on the CPU executor and on every adapter present; and texts that
//! go back, which a recurrent state cannot do by itself.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]
#![allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must not pass")]

use crate::delta_models::{Slip, architecture, gguf_keys, gguf_tensors, texts};
use crate::family::{expected, in_memory, options, refused, with_config};
use crate::mla_models::{Tensor, config, gguf_bytes, safetensors_bytes, tensors};
use crate::support::{FromNothing, adapters, exported, load, logits, places, places_in_turn, worst};
use headstart::engine::{ExecutorChoice, Generation, LoadOptions, ModelFiles, Sampling, Session, Timings};
use headstart::error::Error;
use headstart::format::gguf::{self, Value};
use headstart::format::{Memory, Source};
use headstart::gpu::ShaderChecks;
use headstart::gpu::executor_gpu::GpuExecutor;
use headstart::gpu::space::product;
use headstart::gpu::{Choice, Executor, Problem, Tuning};
use headstart::kernels::cache::CacheTypes;
use headstart::kernels::delta_rule;
use headstart::measure::Progress;
use headstart::measure::report::Check;
use headstart::measure::verify::{self, compare_stages, difference, run_case};
use headstart::model::{AnyShape, delta};
use pollster::block_on;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

const FAMILIES: [&str; 2] = ["qwen3_5", "qwen3_5_moe"];
/// These, and one whose layers keep the last tokens of a convolution.
const RECURRENT: [&str; 3] = ["qwen3_5", "qwen3_5_moe", "lfm2"];
const BUDGET: f32 = 1e-3;

fn safetensors_files(family: &str) -> ModelFiles {
    with_config(family, &config(family))
}

fn gguf_files(family: &str, slip: Option<Slip>) -> ModelFiles {
    let config = config(family);
    in_memory(gguf_bytes(&gguf_keys(&config), &gguf_tensors(family, &config, slip)))
}

/// All ids of a text, and what it took.
async fn all(generation: headstart::Result<Generation<'_>>) -> (Vec<u32>, Timings) {
    let mut generation = generation.unwrap();
    let mut ids = Vec::new();
    while let Some(id) = generation.next().await.unwrap() {
        ids.push(id);
    }
    (ids, generation.finish().await.unwrap())
}

/// What is tried of every kernel is one length of chunks.
#[test]
fn the_rule_agrees_with_its_reference_by_chunks_of_every_length() {
    for adapter in adapters() {
        let _turn = crate::support::turn(&adapter);
        let mut gpu = Executor::Gpu(Box::new(block_on(GpuExecutor::open(&adapter, ShaderChecks::On)).unwrap()));
        for variant in delta_rule::OP.variants {
            let configs = product(&(variant.way.space)(&adapter.caps), adapter.tuning().config);
            assert!(configs.len() > 1, "{}: one config", variant.name);
            for case in (delta_rule::OP.cases)().into_iter().filter(|case| (variant.allows)(&case.recording.stages[0]))
            {
                let expected = block_on(run_case(&mut Executor::Cpu(Box::default()), &case)).unwrap();
                for config in &configs {
                    let choice = Choice { variant: variant.name.to_owned(), config: *config };
                    let tuning = Tuning::default().with(Problem::of(&case.recording.stages[0]), choice);
                    if let Executor::Gpu(gpu) = &mut gpu {
                        gpu.tune(tuning);
                    }
                    let found = block_on(run_case(&mut gpu, &case)).unwrap();
                    for ((expected, found), (_, tolerance)) in expected.iter().zip(&found).zip(&case.outputs) {
                        let wrong = difference(expected, found, *tolerance);
                        assert_eq!(wrong, None, "{}, {}, {config:?}", variant.name, case.name);
                    }
                }
            }
        }
    }
}

#[test]
fn logits_agree_with_transformers_in_chunks_and_token_by_token() {
    for (turn, family) in FAMILIES.into_iter().enumerate() {
        let expected = expected(family);
        for (place, choice) in places_in_turn(turn) {
            let mut session = load(&safetensors_files(family), choice, &options());
            for steps in [&[][..], &[1, 37, 2, 64, 3, 53], &[1; 160]] {
                let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, steps));
                println!("{family} on {place}, {} steps: off by {worst}", steps.len());
                assert!(worst <= BUDGET, "{family} on {place}, steps {steps:?}: off by {worst}");
            }
            let n = expected.greedy.len();
            let (ids, _) =
                block_on(async { all(session.generate(&expected.ids, &Sampling::default(), n).await).await });
            let until_end = expected.greedy.iter().take_while(|id| **id != 1).copied().collect::<Vec<_>>();
            assert_eq!(ids, until_end, "{family} on {place}");
        }
    }
}

#[test]
fn logits_of_a_gguf_agree_with_transformers() {
    for (turn, family) in FAMILIES.into_iter().enumerate() {
        let expected = expected(family);
        for (place, choice) in places_in_turn(turn) {
            let mut session = load(&gguf_files(family, None), choice, &options());
            assert_eq!(session.outline().architecture, architecture(&config(family)));
            for steps in [&[][..], &[1, 30, 1, 90]] {
                let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, steps));
                assert!(worst <= BUDGET, "{family} on {place}, steps {steps:?}: off by {worst}");
            }
        }
    }
}

/// Each of these is another model: a converter's slip, or a setting.
#[test]
fn what_a_slip_would_change_shows_in_the_logits() {
    let slips = [
        Slip::HeadsNotTiled,
        Slip::NormsWithoutOne,
        Slip::NetNormWithOne,
        Slip::DecayIsLogarithm,
        Slip::TapsReversed,
        Slip::GateFirst,
        Slip::KeysFirst,
    ];
    let mut wrong: Vec<(String, &str, ModelFiles)> =
        slips.into_iter().map(|slip| (format!("{slip:?}"), "qwen3_5", gguf_files("qwen3_5", Some(slip)))).collect();
    for (key, value) in [("rope_theta", json!(10_000)), ("partial_rotary_factor", json!(1.0))] {
        let mut config = config("qwen3_5");
        config["text_config"]["rope_parameters"][key] = value;
        wrong.push((key.to_owned(), "qwen3_5", with_config("qwen3_5", &config)));
    }
    // Without the gate of the shared expert: half of it always.
    let config = config("qwen3_5_moe");
    let mut tensors = gguf_tensors("qwen3_5_moe", &config, None);
    tensors.get_mut("blk.0.ffn_gate_inp_shexp.weight").unwrap().values.fill(0.0);
    let ungated = in_memory(gguf_bytes(&gguf_keys(&config), &tensors));
    wrong.push(("no shared gate".to_owned(), "qwen3_5_moe", ungated));
    for (what, family, files) in wrong {
        let expected = expected(family);
        let mut session = load(&files, ExecutorChoice::Cpu, &options());
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        // A state that grows ends as no number.
        assert!(!(worst <= 0.1), "{family}, {what}: off by {worst} only");
    }
}

#[test]
fn texts_that_go_back_are_as_those_computed_from_nothing() {
    // What of the prompt before stays, new ids, ids to write, and how many tokens need no running.
    let turns = [
        (0, 100, 9, 0),
        // The same again: from the copy, 32 tokens before the end.
        (100, 0, 9, 68),
        // Another end of the prompt, and another answer.
        (80, 30, 40, 68),
        // What was written goes on: from the state itself, but for the last token, which was not computed yet.
        (150, 5, 7, 149),
        // A few tokens of the answer are taken back, to where it went on.
        (158, 4, 3, 149),
        // A turn in the middle falls out: from nothing.
        (20, 60, 12, 0),
        (92, 1, 12, 91),
        // Hardly anything is left.
        (0, 1, 5, 0),
        (1, 0, 5, 0),
    ];
    let ids = |seed: usize, n: usize| (0..n).map(move |at| ((seed * 7919 + at * 104_729) % 509 + 2) as u32);
    for (turn, family) in RECURRENT.into_iter().enumerate() {
        let mut whole = FromNothing::of(&safetensors_files(family), &options());
        for (place, choice) in places_in_turn(turn) {
            let mut going = load(&safetensors_files(family), choice, &options());
            let mut text: Vec<u32> = Vec::new();
            for (index, (n_kept, n_new, n_answer, n_known)) in turns.into_iter().enumerate() {
                text.truncate(n_kept);
                assert_eq!(text.len(), n_kept, "{index}");
                text.extend(ids(index + 1, n_new));
                let sampling = Sampling::default();
                let (found, timings) =
                    block_on(async { all(going.go_on(&text, &sampling, n_answer, &[]).await).await });
                assert_eq!(found, whole.text(&text, n_answer), "{family} on {place}, turn {index}");
                assert_eq!(timings.n_known, n_known, "{family} on {place}, turn {index}");
                text.extend(found);
            }
        }
    }
}

/// A text that is ended by a token leaves the state at its end, though steps were on their way.
#[test]
fn a_text_that_ends_leaves_the_state_where_it_ends() {
    for (place, choice) in places() {
        let prompt = &expected("qwen3_5").ids[..50];
        let mut session = load(&safetensors_files("qwen3_5"), choice, &options());
        let sampling = Sampling::default();
        let mut go_on = |prompt: &[u32], stops: &[u32]| {
            block_on(async { all(session.go_on(prompt, &sampling, 40, stops).await).await })
        };
        let (whole, _) = go_on(prompt, &[]);
        let stop = whole[20];
        let at = whole.iter().position(|id| *id == stop).unwrap();
        let (cut, _) = go_on(prompt, &[stop]);
        assert_eq!(cut, whole[..at], "{place}");
        let text = [prompt, &whole[..=at]].concat();
        let (rest, timings) = go_on(&text, &[]);
        assert_eq!(timings.n_known as usize, text.len() - 1, "{place}");
        assert_eq!(rest[..39 - at], whole[at + 1..], "{place}");
    }
}

#[test]
fn a_prompt_cache_carries_the_states() {
    let expected = expected("qwen3_5");
    let (prompt, sampling) = (&expected.ids[..90], Sampling::default());
    let mut first = load(&safetensors_files("qwen3_5"), ExecutorChoice::Cpu, &options());
    let (answer, _) = block_on(async { all(first.go_on(prompt, &sampling, 9, &[]).await).await });
    let mut kept = Vec::new();
    let mut write = |bytes: &[u8]| {
        kept.extend_from_slice(bytes);
        Ok(())
    };
    block_on(first.keep_past(&[7; 32], &mut write)).unwrap().unwrap();
    let text = [prompt, &answer, &[5, 6]].concat();
    // On from the end; and back to the copy.
    for (text, n_known) in [(&text[..], 98), (&text[..80], 58)] {
        let mut next = load(&safetensors_files("qwen3_5"), ExecutorChoice::Cpu, &options());
        let mut rest = &kept[..];
        let mut read = |to: &mut [u8]| {
            let (now, later) = rest.split_at(to.len());
            to.copy_from_slice(now);
            rest = later;
            Ok(())
        };
        assert_eq!(block_on(next.recall_past(&[7; 32], &mut read)).unwrap(), 98);
        let (found, timings) = block_on(async { all(next.go_on(text, &sampling, 6, &[]).await).await });
        assert_eq!(timings.n_known, n_known);
        let (wanted, _) = block_on(async { all(first.generate_from(0, text, &sampling, 6).await).await });
        assert_eq!(found, wanted);
    }
}

#[test]
fn every_stage_agrees_in_lock_step_and_a_broken_one_is_named() {
    let (place, choice) = places().swap_remove(1);
    let models = [
        ("qwen3_5", safetensors_files("qwen3_5"), &["conv", "delta_heads", "delta", "gated_norm", "attn_gated"][..]),
        ("qwen3_5_moe", gguf_files("qwen3_5_moe", None), &["project", "shared_gate", "shared_gated"][..]),
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
            block_on(compare_stages(&mut session, &mut oracle, &ids[..16], &mut check, &mut go_on)).unwrap();
            check.first_wrong_stage.map(|wrong| wrong.stage)
        };
        for cache in [CacheTypes::usual(false), CacheTypes::usual(true)] {
            assert_eq!(check(None, cache), None, "{family} on {place}, {cache:?}");
        }
        for stage in faults {
            assert_eq!(check(Some(stage), CacheTypes::default()).as_deref(), Some(*stage), "{family} on {place}");
        }
    }
}

#[test]
fn what_is_beside_the_model_is_passed_over() {
    let family = "qwen3_5";
    let (expected, config) = (expected(family), config(family));
    let session = load(&safetensors_files(family), ExecutorChoice::Cpu, &options());
    for words in ["multi-token prediction", "see pictures"] {
        assert!(session.notices().iter().any(|notice| notice.contains(words)), "{words}: {:?}", session.notices());
    }
    // A layer of multi-token prediction, counted among the blocks. What the file says of each layer counts first.
    let (mut keys, mut tensors) = (gguf_keys(&config), gguf_tensors(family, &config, None));
    keys.insert("qwen35.block_count".to_owned(), 5u32.into());
    keys.insert("qwen35.nextn_predict_layers".to_owned(), 1u32.into());
    let small = Tensor { shape: vec![4], values: vec![1.0; 4] };
    for name in ["blk.4.nextn.eh_proj.weight", "blk.4.attn_norm.weight"] {
        tensors.insert(name.to_owned(), small.clone());
    }
    let mut session = load(&in_memory(gguf_bytes(&keys, &tensors)), ExecutorChoice::Cpu, &options());
    assert!(session.notices().iter().any(|notice| notice.contains("2 tensors")), "{:?}", session.notices());
    let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
    assert!(worst <= BUDGET, "off by {worst}");
}

/// Experts with gate and up in one tensor, and each a tensor of its own.
#[test]
fn experts_in_other_forms_compute_the_same() {
    let (family, config) = ("qwen3_5_moe", config("qwen3_5_moe"));
    let expected = expected(family);
    let mut fused = gguf_tensors(family, &config, None);
    let mut single = Vec::new();
    let as_bytes = |values: &[f32]| bytemuck::cast_slice(values).to_vec();
    for (name, tensor) in tensors(&format!("families/{family}/model.safetensors")) {
        let Some((layer, part)) = name.split_once(".mlp.experts.") else {
            single.push((name, "F32", tensor.shape.clone(), as_bytes(&tensor.values)));
            continue;
        };
        let [n, rows, n_in] = tensor.shape[..] else { panic!("a stack") };
        let experts = tensor.values.chunks_exact((rows * n_in) as usize).enumerate();
        for (expert, values) in experts {
            let parts = match part {
                "down_proj" => vec![("down_proj", values)],
                _ => ["gate_proj", "up_proj"].into_iter().zip(values.chunks_exact(values.len() / 2)).collect(),
            };
            for (part, values) in parts {
                let shape = vec![values.len() as u64 / n_in, n_in];
                single.push((format!("{layer}.mlp.experts.{expert}.{part}.weight"), "F32", shape, as_bytes(values)));
            }
        }
        if part == "gate_up_proj" {
            let block = layer.replace("model.layers.", "blk.");
            for part in ["gate", "up"] {
                fused.remove(&format!("{block}.ffn_{part}_exps.weight")).unwrap();
            }
            fused.insert(format!("{block}.ffn_gate_up_exps.weight"), Tensor { shape: vec![n, rows, n_in], ..tensor });
        }
    }
    let sources: Vec<Rc<dyn Source>> = vec![Rc::new(Memory::new("model.safetensors", safetensors_bytes(&single)))];
    let single = ModelFiles { sources, config: Some(config.to_string()), ..ModelFiles::default() };
    for files in [in_memory(gguf_bytes(&gguf_keys(&config), &fused)), single] {
        let mut session = load(&files, ExecutorChoice::Cpu, &options());
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        assert!(worst <= BUDGET, "off by {worst}");
    }
}

#[test]
fn weights_in_shards_compute_the_same() {
    for family in FAMILIES {
        let expected = expected(family);
        let shards = LoadOptions { shard_bytes: Some(40 << 10), ..options() };
        let mut session = load(&safetensors_files(family), ExecutorChoice::Cpu, &shards);
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        assert!(worst <= BUDGET, "{family}: off by {worst}");
    }
}

#[test]
fn an_exported_gguf_has_the_usual_keys_and_tensors_and_computes_the_same() {
    for family in FAMILIES {
        let bytes = exported(family);
        let config = config(family);
        let written = block_on(gguf::read(&Memory::new("out.gguf", bytes.clone()), 0)).unwrap();
        for (key, value) in gguf_keys(&config) {
            assert_eq!(written.metadata.get(&key), Some(&value), "{family}: {key}");
        }
        // What a converter by hand makes of them, but for the last bits of an exponential.
        let tensors = gguf_tensors(family, &config, None);
        assert_eq!(written.directory.tensors().len(), tensors.len(), "{family}");
        for (name, tensor) in tensors {
            let info = written.directory.get(&name).unwrap();
            let found: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes[info.offset as usize..][..info.bytes as usize]);
            let worst = worst(&tensor.values, &found);
            assert!(
                worst <= 1e-6 * tensor.values.iter().fold(1.0, |most: f32, x| most.max(x.abs())),
                "{family}: {name}"
            );
        }
        let expected = expected(family);
        let mut session = load(&in_memory(bytes), ExecutorChoice::Cpu, &options());
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        assert!(worst <= BUDGET, "{family}: off by {worst}");
    }
}

#[test]
fn layers_without_an_interval_are_told_one_by_one() {
    let mut config = config("qwen3_5_moe");
    let n = config["num_hidden_layers"].as_u64().unwrap();
    let kinds: Vec<&str> = (0..n).map(|layer| if layer == 0 { "full_attention" } else { "linear_attention" }).collect();
    config["layer_types"] = json!(kinds);
    let shape = delta::Shape::from_config(&config.to_string(), &mut Vec::new()).unwrap();
    let keys: BTreeMap<String, Value> = shape.gguf_keys().into_iter().collect();
    let recurrent: Vec<bool> = (0..n).map(|layer| layer > 0).collect();
    assert_eq!(keys["qwen35moe.attention.recurrent_layers"], recurrent.as_slice().into());
    assert!(!keys.contains_key("qwen35moe.full_attention_interval"));
}

/// The shape in the keys alone.
fn shape(keys: &BTreeMap<String, Value>) -> Result<delta::Shape, Error> {
    let file = Memory::new("model.gguf", gguf_bytes(keys, &BTreeMap::new()));
    delta::Shape::from_gguf(&block_on(gguf::read(&file, 0)).unwrap())
}

/// By hand, from the sizes of the published models.
#[test]
fn published_models_have_their_parameters_and_layers() {
    let published = json!({
        "model_type": "qwen3_5_moe", "text_config": {"vocab_size": 248_320, "hidden_size": 2048,
        "num_hidden_layers": 40, "num_attention_heads": 16, "num_key_value_heads": 2}
    });
    let shape = delta::Shape::from_config(&published.to_string(), &mut Vec::new()).unwrap();
    let attends: Vec<usize> = (0..40).filter(|layer| shape.attends[*layer]).collect();
    assert_eq!(attends, [3, 7, 11, 15, 19, 23, 27, 31, 35, 39]);
    assert_eq!((shape.rope.n_dims, shape.net.n_channels(), shape.net.value_width()), (64, 8192, 4096));
    let billions = AnyShape::Delta(shape).n_parameters().unwrap() as f64 / 1e9;
    assert!((34.0..36.0).contains(&billions), "{billions}");
}

#[test]
fn shapes_that_make_no_sense_are_refused_by_name() {
    let dense = gguf_keys(&config("qwen3_5"));
    for (key, value, words) in [
        ("ssm.conv_kernel", 0u32, "convolution"),
        ("ssm.conv_kernel", 1, "convolution"),
        ("ssm.conv_kernel", u32::MAX, "convolution"),
        ("ssm.state_size", 0, "key head of the delta net"),
        ("ssm.state_size", 62, "multiple of 4"),
        ("ssm.state_size", 1 << 20, "key head of the delta net"),
        ("ssm.group_count", 0, "key heads of the delta net"),
        ("ssm.group_count", 3, "a multiple of 3"),
        ("ssm.group_count", u32::MAX, "key heads of the delta net"),
        ("ssm.time_step_rank", 0, "ssm.inner_size"),
        ("ssm.time_step_rank", u32::MAX, "ssm.inner_size"),
        ("ssm.time_step_rank", 256, "value head of the delta net"),
        ("ssm.inner_size", 0, "value head of the delta net"),
        ("ssm.inner_size", 255, "ssm.inner_size"),
        ("ssm.inner_size", u32::MAX - 3, "value head of the delta net"),
        ("full_attention_interval", 0, "full_attention_interval"),
        ("rope.dimension_count", 65, "rotated dims"),
        ("rope.dimension_count", 128, "rotated dims"),
        ("attention.head_count", 0, "query heads"),
        ("attention.head_count_kv", 3, "query heads"),
        ("attention.value_length", 32, "attention.value_length"),
        ("attention.key_length", u32::MAX, "attention.value_length"),
        ("block_count", 0, "block_count"),
        ("block_count", 1 << 30, "block_count"),
        ("embedding_length", 6, "width of the model"),
        ("feed_forward_length", 0, "hidden width"),
    ] {
        let mut keys = dense.clone();
        keys.insert(format!("qwen35.{key}"), value.into());
        let error = shape(&keys).expect_err(key).to_string();
        assert!(error.contains(words), "{key} {value}: {error}");
    }
    let experts = gguf_keys(&config("qwen3_5_moe"));
    for (key, value, words) in [
        ("expert_count", 0u32, "experts"),
        ("expert_used_count", 5, "experts used"),
        ("expert_feed_forward_length", 0, "hidden width of an expert"),
        ("expert_shared_feed_forward_length", u32::MAX, "shared expert"),
    ] {
        let mut keys = experts.clone();
        keys.insert(format!("qwen35moe.{key}"), value.into());
        let error = shape(&keys).expect_err(key).to_string();
        assert!(error.contains(words), "{key} {value}: {error}");
    }
    for key in dense.keys().filter(|key| key.starts_with("qwen35.ssm.")) {
        let mut keys = dense.clone();
        keys.remove(key).unwrap();
        let error = shape(&keys).expect_err(key).to_string();
        assert!(error.contains(key) && error.contains("missing"), "{key}: {error}");
    }
    for (key, value, words) in [
        ("layer_types", json!(["linear_attention"]), "layer_types"),
        ("layer_types", json!(["a", "b", "c", "d"]), "layer_types"),
        ("layer_types", json!(3), "layer_types"),
        ("attn_output_gate", json!(false), "attn_output_gate"),
        ("attention_bias", json!(true), "attention_bias"),
        ("hidden_act", json!("gelu"), "hidden_act"),
        ("linear_num_key_heads", json!(-1), "linear_num_key_heads"),
        ("linear_value_head_dim", json!(1u64 << 40), "linear_value_head_dim"),
        ("head_dim", json!(0), "width of a head"),
        ("num_hidden_layers", json!(u32::MAX), "layer_types"),
        ("hidden_size", Json::Null, "hidden_size"),
    ] {
        let mut config = config("qwen3_5");
        config["text_config"][key] = value.clone();
        let error = delta::Shape::from_config(&config.to_string(), &mut Vec::new()).expect_err(key).to_string();
        assert!(error.contains(words), "{key} {value}: {error}");
    }
    // Without a list, and with settings that are as usual left out.
    let mut config = config("qwen3_5");
    let object = config["text_config"].as_object_mut().unwrap();
    object.remove("layer_types");
    object.insert("num_hidden_layers".to_owned(), json!(u32::MAX));
    let error = delta::Shape::from_config(&config.to_string(), &mut Vec::new()).expect_err("layers").to_string();
    assert!(error.contains("layers"), "{error}");
}

#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let family = "qwen3_5";
    let config = config(family);
    let (keys, tensors) = (gguf_keys(&config), gguf_tensors(family, &config, None));
    assert!(texts(&config).get("num_experts").is_none());
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
        (without("blk.0.ssm_a"), "ssm_a"),
        (without("blk.1.ssm_conv1d.weight"), "ssm_conv1d"),
        (without("blk.2.attn_q.weight"), "attn_q"),
        (without("blk.3.post_attention_norm.weight"), "post_attention_norm"),
        (with("blk.0.attn_qkv.weight"), "attn_qkv"),
        (with("blk.0.ssm_conv1d.weight"), "ssm_conv1d"),
        (with("blk.2.attn_q.bias"), "attn_q.bias"),
    ] {
        let error = refused(&in_memory(gguf_bytes(&keys, &tensors))).to_string();
        assert!(error.contains(name), "{name}: {error}");
    }
    // Nothing reads it: that is told, and no more.
    let files = in_memory(gguf_bytes(&keys, &with("blk.0.attn_q.weight")));
    assert!(block_on(Session::load(&files, ExecutorChoice::Cpu, &options(), &mut |_| ())).is_ok());
}
