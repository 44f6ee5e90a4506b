//! Multi-head latent attention: small models of the shapes of DeepSeek V2-Lite, V2 and V3 against transformers, from
//! safetensors and from both forms of GGUF, by prefill, in chunks and token by token, on the CPU player and on every
//! adapter present.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]
#![allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must not pass")]

use headstart::engine::{LoadOptions, ModelFiles, PlayerChoice, Sampling, Session};
use headstart::error::Error;
use headstart::format::gguf::{self, NewTensor, Value};
use headstart::format::{Format, Memory, Source, quant, safetensors};
use headstart::gpu::play_gpu::ShaderChecks;
use headstart::kernels::cache::{CacheType, CacheTypes};
use headstart::measure::Progress;
use headstart::measure::report::Check;
use headstart::measure::verify::{self, compare_stages};
use headstart::model::mla;
use pollster::block_on;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use support::{fixture, memory, places};

mod support;

const FAMILIES: [&str; 3] = ["deepseek_v2_lite", "deepseek_v2", "deepseek_v3"];
const BUDGET: f32 = 1e-3;

/// What transformers computed: ids, logits after each, and the tokens that follow.
struct Expected {
    ids: Vec<u32>,
    logits: Vec<f32>,
    greedy: Vec<u32>,
}

/// A tensor: its dims, outermost first, and its values.
#[derive(Clone)]
struct Tensor {
    shape: Vec<u64>,
    values: Vec<f32>,
}

fn tensors(path: &str) -> BTreeMap<String, Tensor> {
    let source = memory(path);
    let directory = block_on(safetensors::read(source.as_ref(), 0)).unwrap().directory;
    let read = |info: &headstart::format::TensorInfo| {
        let mut bytes = vec![0; info.bytes as usize];
        block_on(source.read_at(info.offset, &mut bytes)).unwrap();
        let mut values = vec![0.0; info.shape.iter().product::<u64>() as usize];
        let format = info.require_supported().unwrap();
        if format == Format::I32 {
            let mut integers = Vec::new();
            quant::decode_integers(format, &bytes, &mut integers).unwrap();
            values = integers.into_iter().map(|n| n as f32).collect();
        } else {
            quant::decode_row(format, &bytes, &mut values).unwrap();
        }
        (info.name.clone(), Tensor { shape: info.shape.clone(), values })
    };
    directory.tensors().iter().map(read).collect()
}

fn expected(family: &str) -> Expected {
    let all = tensors(&format!("families/{family}/expected.safetensors"));
    let ids = |name: &str| all[name].values.iter().map(|id| *id as u32).collect();
    Expected { ids: ids("ids"), logits: all["logits"].values.clone(), greedy: ids("greedy") }
}

fn options() -> LoadOptions {
    LoadOptions { shader_checks: ShaderChecks::On, n_context: Some(256), ..LoadOptions::default() }
}

fn config(family: &str) -> Json {
    let text = std::fs::read_to_string(fixture(&format!("families/{family}/config.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn safetensors_files(family: &str) -> ModelFiles {
    with_config(family, &config(family))
}

fn with_config(family: &str, config: &Json) -> ModelFiles {
    let sources = vec![memory(&format!("families/{family}/model.safetensors"))];
    ModelFiles { sources, config: Some(config.to_string()), ..ModelFiles::default() }
}

/// How a GGUF says what takes latents to keys and values.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// `attn_k_b`, transposed, and `attn_v_b`.
    Split,
    /// `attn_kv_b`, as before April 2025.
    Whole,
}

/// The keys that llama.cpp's converter writes for a config.
fn gguf_keys(config: &Json, form: Form) -> BTreeMap<String, Value> {
    let n = |key: &str| u32::try_from(config[key].as_u64().unwrap_or(0)).unwrap();
    let yarn = &config["rope_scaling"];
    let number = |value: &Json| value.as_f64().unwrap() as f32;
    let (rope, kv_lora, heads) = (n("qk_rope_head_dim"), n("kv_lora_rank"), n("num_attention_heads"));
    let (head_dim, value_dim) = (n("qk_nope_head_dim") + rope, n("v_head_dim"));
    let is_sigmoid = config["scoring_func"] == "sigmoid";
    let mut keys: Vec<(&str, Value)> = vec![
        ("block_count", n("num_hidden_layers").into()),
        ("context_length", n("max_position_embeddings").into()),
        ("embedding_length", n("hidden_size").into()),
        ("feed_forward_length", n("intermediate_size").into()),
        ("attention.head_count", heads.into()),
        ("attention.layer_norm_rms_epsilon", number(&config["rms_norm_eps"]).into()),
        ("attention.q_lora_rank", n("q_lora_rank").into()),
        ("attention.kv_lora_rank", kv_lora.into()),
        ("rope.dimension_count", rope.into()),
        ("rope.freq_base", number(&config["rope_theta"]).into()),
        ("rope.scaling.type", "yarn".into()),
        ("rope.scaling.factor", number(&yarn["factor"]).into()),
        ("rope.scaling.yarn_beta_fast", number(&yarn["beta_fast"]).into()),
        ("rope.scaling.yarn_beta_slow", number(&yarn["beta_slow"]).into()),
        ("rope.scaling.yarn_log_multiplier", (0.1 * number(&yarn["mscale_all_dim"])).into()),
        ("leading_dense_block_count", n("first_k_dense_replace").into()),
        ("expert_count", n("n_routed_experts").into()),
        ("expert_used_count", n("num_experts_per_tok").into()),
        ("expert_shared_count", n("n_shared_experts").into()),
        ("expert_feed_forward_length", n("moe_intermediate_size").into()),
        ("expert_weights_scale", number(&config["routed_scaling_factor"]).into()),
        ("expert_weights_norm", (config["norm_topk_prob"] == true).into()),
        ("expert_gating_func", (1 + u32::from(is_sigmoid)).into()),
        ("vocab_size", n("vocab_size").into()),
    ];
    if n("n_group") > 1 {
        keys.extend([("expert_group_count", n("n_group").into()), ("expert_group_used_count", n("topk_group").into())]);
    }
    keys.extend(match form {
        Form::Split => vec![
            ("attention.head_count_kv", 1u32.into()),
            ("attention.key_length", (kv_lora + rope).into()),
            ("attention.value_length", kv_lora.into()),
            ("attention.key_length_mla", head_dim.into()),
            ("attention.value_length_mla", value_dim.into()),
        ],
        Form::Whole => vec![
            ("attention.head_count_kv", heads.into()),
            ("attention.key_length", head_dim.into()),
            ("attention.value_length", value_dim.into()),
        ],
    });
    let mut keys: BTreeMap<String, Value> =
        keys.into_iter().map(|(key, value)| (format!("deepseek2.{key}"), value)).collect();
    // The original length is a whole number.
    let original = u32::try_from(yarn["original_max_position_embeddings"].as_u64().unwrap()).unwrap();
    keys.insert("deepseek2.rope.scaling.original_context_length".to_owned(), original.into());
    keys.insert("general.architecture".to_owned(), "deepseek2".into());
    keys.insert("tokenizer.ggml.model".to_owned(), "no_vocab".into());
    keys
}

const NAMES: [(&str, &str); 18] = [
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.q_a_proj", "attn_q_a"),
    ("self_attn.q_a_layernorm", "attn_q_a_norm"),
    ("self_attn.q_b_proj", "attn_q_b"),
    ("self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"),
    ("self_attn.kv_a_layernorm", "attn_kv_a_norm"),
    ("self_attn.kv_b_proj", "attn_kv_b"),
    ("self_attn.o_proj", "attn_output"),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.gate", "ffn_gate_inp"),
    ("mlp.shared_experts.gate_proj", "ffn_gate_shexp"),
    ("mlp.shared_experts.up_proj", "ffn_up_shexp"),
    ("mlp.shared_experts.down_proj", "ffn_down_shexp"),
    ("mlp.e_score_correction_bias", "exp_probs_b"),
];

/// The tensors of a family under a GGUF's names.
fn gguf_tensors(family: &str, config: &Json, form: Form) -> BTreeMap<String, Tensor> {
    let mut out = BTreeMap::new();
    let mut experts: BTreeMap<String, BTreeMap<usize, Tensor>> = BTreeMap::new();
    for (name, tensor) in tensors(&format!("families/{family}/model.safetensors")) {
        let global = match name.as_str() {
            "model.embed_tokens.weight" => Some("token_embd.weight"),
            "model.norm.weight" => Some("output_norm.weight"),
            "lm_head.weight" => Some("output.weight"),
            _ => None,
        };
        if let Some(global) = global {
            out.insert(global.to_owned(), tensor);
            continue;
        }
        let (layer, rest) = name.strip_prefix("model.layers.").unwrap().split_once('.').unwrap();
        if let Some((expert, part)) = rest.strip_prefix("mlp.experts.").and_then(|rest| rest.split_once('.')) {
            let part = part.strip_suffix("_proj.weight").unwrap();
            let stack = experts.entry(format!("blk.{layer}.ffn_{part}_exps.weight")).or_default();
            stack.insert(expert.parse().unwrap(), tensor);
            continue;
        }
        let rest = rest.replace("mlp.gate.e_score_correction_bias", "mlp.e_score_correction_bias.bias");
        let (stem, kind) = rest.rsplit_once('.').unwrap();
        let (_, to) = NAMES.iter().find(|(hub, _)| *hub == stem).unwrap();
        if *to == "attn_kv_b" && form == Form::Split {
            let [keys, values] = split(&tensor, config);
            out.insert(format!("blk.{layer}.attn_k_b.weight"), keys);
            out.insert(format!("blk.{layer}.attn_v_b.weight"), values);
        } else {
            out.insert(format!("blk.{layer}.{to}.{kind}"), tensor);
        }
    }
    for (name, stack) in experts {
        let mut shape = vec![stack.len() as u64];
        shape.extend(&stack[&0].shape);
        out.insert(name, Tensor { shape, values: stack.into_values().flat_map(|tensor| tensor.values).collect() });
    }
    out
}

/// `kv_b` as each head's keys transposed, and its values.
fn split(whole: &Tensor, config: &Json) -> [Tensor; 2] {
    let n = |key: &str| config[key].as_u64().unwrap() as usize;
    let (heads, nope, value, lora) =
        (n("num_attention_heads"), n("qk_nope_head_dim"), n("v_head_dim"), n("kv_lora_rank"));
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for head in whole.values.chunks_exact((nope + value) * lora) {
        keys.extend((0..lora * nope).map(|i| head[i % nope * lora + i / nope]));
        values.extend(&head[nope * lora..]);
    }
    let shape = |a: usize, b: usize| vec![heads as u64, a as u64, b as u64];
    [Tensor { shape: shape(lora, nope), values: keys }, Tensor { shape: shape(value, lora), values }]
}

/// A GGUF in which all is F32.
fn gguf_bytes(keys: &BTreeMap<String, Value>, tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let new = |(name, tensor): (&String, &Tensor)| NewTensor {
        name: name.clone(),
        shape: tensor.shape.clone(),
        type_id: Format::F32.ggml_id().unwrap(),
        bytes: 4 * tensor.values.len() as u64,
    };
    let directory: Vec<NewTensor> = tensors.iter().map(new).collect();
    let keys: Vec<(&str, &Value)> = keys.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let mut file = gguf::head(keys.into_iter(), &directory).unwrap();
    for tensor in tensors.values() {
        file.extend(bytemuck::cast_slice::<f32, u8>(&tensor.values));
        file.extend(gguf::padding(4 * tensor.values.len() as u64));
    }
    file
}

fn gguf_files(family: &str, form: Form) -> ModelFiles {
    let config = config(family);
    in_memory(gguf_bytes(&gguf_keys(&config, form), &gguf_tensors(family, &config, form)))
}

fn in_memory(bytes: Vec<u8>) -> ModelFiles {
    ModelFiles::gguf(Rc::new(Memory::new("model.gguf", bytes)))
}

fn load(files: &ModelFiles, choice: PlayerChoice, options: &LoadOptions) -> Session {
    block_on(Session::load(files, choice, options, &mut |_| ())).unwrap()
}

fn refused(files: &ModelFiles) -> Error {
    block_on(Session::load(files, PlayerChoice::Cpu, &options(), &mut |_| ())).err().unwrap()
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

#[test]
fn logits_agree_with_transformers_in_chunks_and_token_by_token() {
    for family in FAMILIES {
        let expected = expected(family);
        for (place, choice) in places() {
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
    for family in FAMILIES {
        let expected = expected(family);
        for form in [Form::Split, Form::Whole] {
            let files = gguf_files(family, form);
            for (place, choice) in places() {
                let mut session = load(&files, choice, &options());
                assert_eq!(session.outline().architecture, "deepseek2");
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
    fn set(key: &'static str, value: Json) -> Box<dyn Fn(&mut Json)> {
        Box::new(move |config: &mut Json| config[key] = value.clone())
    }
    let scaling = |value: Json| set("rope_scaling", value);
    let v3 = config("deepseek_v3")["rope_scaling"].clone();
    let changed = |key: &str, value: Json| {
        let mut scaling = v3.clone();
        scaling[key] = value;
        scaling
    };
    let slips: Vec<(&str, &str, Box<dyn Fn(&mut Json)>)> = vec![
        ("no YaRN", "deepseek_v3", scaling(Json::Null)),
        ("no m in the scale", "deepseek_v3", scaling(changed("mscale_all_dim", json!(0)))),
        ("another amplitude", "deepseek_v3", scaling(changed("mscale", json!(0.707)))),
        ("groups ignored", "deepseek_v3", set("topk_group", json!(3))),
        ("weights not normed", "deepseek_v3", set("norm_topk_prob", json!(false))),
        ("weights not scaled", "deepseek_v3", set("routed_scaling_factor", json!(1.0))),
        ("weights normed", "deepseek_v2_lite", set("norm_topk_prob", json!(true))),
        ("groups ignored", "deepseek_v2", set("topk_method", json!("greedy"))),
        ("another base", "deepseek_v2", set("rope_theta", json!(50_000))),
    ];
    for (what, family, slip) in slips {
        let expected = expected(family);
        let mut config = config(family);
        slip(&mut config);
        let mut session = load(&with_config(family, &config), PlayerChoice::Cpu, &options());
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        assert!(worst > 0.1, "{family}, {what}: off by {worst} only");
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
    ];
    for (family, files, faults) in models {
        // The first stage that is wrong.
        let check = |fault: Option<&str>, cache: CacheTypes| {
            let fault = fault.map(str::to_owned);
            let mut session = load(&files, choice.clone(), &LoadOptions { fault, cache, ..options() });
            let mut oracle = load(&files, PlayerChoice::Cpu, &LoadOptions { cache, ..options() });
            let ids = verify::built_in_ids(&oracle).unwrap();
            let mut go_on = |_: &Progress| ControlFlow::Continue(());
            let mut check = Check::default();
            block_on(compare_stages(&mut session, &mut oracle, &ids[..16], &mut check, &mut go_on)).unwrap();
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
        let mut session = load(&files, PlayerChoice::Cpu, &LoadOptions { shard_bytes: Some(40 << 10), ..options() });
        let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
        assert!(worst <= BUDGET, "off by {worst}");
    }
}

#[test]
fn an_exported_gguf_computes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| fixture(&format!("families/deepseek_v3/{name}"));
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(of(name), folder.path().join(name)).unwrap();
    }
    let to = folder.path().join("out.gguf");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_headstart"));
    let output = command.arg("quantize").args([folder.path(), &to]).args(["--to", "f32"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = expected("deepseek_v3");
    let mut session = load(&in_memory(std::fs::read(to).unwrap()), PlayerChoice::Cpu, &options());
    let worst = worst(&expected.logits, &logits(&mut session, &expected.ids, &[]));
    assert!(worst <= BUDGET, "off by {worst}");
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
    let mut session = load(&in_memory(gguf_bytes(&keys, &tensors)), PlayerChoice::Cpu, &options());
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
        ("rope.scaling.original_context_length", 0, "original context"),
    ] {
        let mut keys = gguf_keys(&config("deepseek_v3"), Form::Whole);
        keys.insert(format!("deepseek2.{key}"), value.into());
        let error = shape(&keys).expect_err(key).to_string();
        assert!(error.contains(words), "{key} {value}: {error}");
    }
    for (key, value, words) in [
        ("rope.scaling.yarn_log_multiplier", f32::NAN, "yarn_log_multiplier"),
        ("rope.scaling.yarn_log_multiplier", 1e30, "YaRN"),
        ("rope.scaling.factor", 0.0, "factor"),
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

/// The value of a byte of FP8 (E4M3): 448 at most, and no infinities.
fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let size = if exponent == 0 { mantissa / 512.0 } else { (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7) };
    if byte < 128 { size } else { -size }
}

/// A matrix as V3 and R1 are published: bytes of FP8, and for each block of 128 rows and columns what they are multiplied
/// by; and the values that these stand for.
fn in_fp8(tensor: &Tensor) -> (Vec<u8>, Vec<f32>, Tensor) {
    let (n_rows, n_in) = (tensor.shape[0] as usize, tensor.shape[1] as usize);
    let blocks = n_in.div_ceil(128);
    let mut scales = vec![0.0f32; n_rows.div_ceil(128) * blocks];
    let block_of = |i: usize| i / n_in / 128 * blocks + i % n_in / 128;
    for (i, value) in tensor.values.iter().enumerate() {
        scales[block_of(i)] = scales[block_of(i)].max(value.abs() / 448.0);
    }
    let numbers: Vec<(u8, f32)> = (0..=255u8).filter(|byte| byte & 127 != 127).map(|byte| (byte, e4m3(byte))).collect();
    let nearest = |value: f32| {
        let off = |number: f32| (number - value).abs();
        numbers.iter().copied().min_by(|a, b| off(a.1).total_cmp(&off(b.1))).unwrap()
    };
    let codes = tensor.values.iter().enumerate().map(|(i, value)| (i, nearest(value / scales[block_of(i)])));
    let (bytes, values) = codes.map(|(i, (byte, number))| (byte, number * scales[block_of(i)])).unzip();
    (bytes, scales, Tensor { shape: tensor.shape.clone(), values })
}

/// Safetensors of tensors with their types and bytes.
fn safetensors_bytes(tensors: &[(String, &str, Vec<u64>, Vec<u8>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut at = 0;
    for (name, dtype, shape, bytes) in tensors {
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [at, at + bytes.len()]});
        header.insert(name.clone(), entry);
        at += bytes.len();
    }
    let mut header = Json::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    tensors.iter().for_each(|(.., bytes)| file.extend(bytes));
    file
}

/// Heads of 96 rows lie across the blocks of 128 that share a scale.
#[test]
fn weights_in_fp8_compute_what_their_values_do() {
    let family = "deepseek_v3";
    let (mut small, mut plain) = (Vec::new(), Vec::new());
    let as_bytes = |values: &[f32]| bytemuck::cast_slice(values).to_vec();
    for (name, tensor) in tensors(&format!("families/{family}/model.safetensors")) {
        let shape = tensor.shape.clone();
        let is_fp8 = name.contains("_proj") && name.ends_with(".weight");
        if !is_fp8 {
            small.push((name.clone(), "F32", shape.clone(), as_bytes(&tensor.values)));
            plain.push((name, "F32", shape, as_bytes(&tensor.values)));
            continue;
        }
        let (bytes, scales, decoded) = in_fp8(&tensor);
        let of_scales = shape.iter().map(|n| n.div_ceil(128)).collect();
        small.push((name.clone(), "F8_E4M3", shape.clone(), bytes));
        small.push((format!("{name}_scale_inv"), "F32", of_scales, as_bytes(&scales)));
        plain.push((name, "F32", shape, as_bytes(&decoded.values)));
    }
    let ids = expected(family).ids;
    let computed = |tensors: &[(String, &str, Vec<u64>, Vec<u8>)]| {
        let sources: Vec<Rc<dyn Source>> = vec![Rc::new(Memory::new("model.safetensors", safetensors_bytes(tensors)))];
        let files = ModelFiles { sources, config: Some(config(family).to_string()), ..ModelFiles::default() };
        logits(&mut load(&files, PlayerChoice::Cpu, &options()), &ids[..60], &[])
    };
    let worst = worst(&computed(&plain), &computed(&small));
    assert!(worst <= BUDGET, "off by {worst}");
}
