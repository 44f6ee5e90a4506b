//! Models as they are found: other names, other spellings, more than is used, less than is usual; and weights that are no
//! numbers. Each is the random model of a family with one thing changed.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::rc::Rc;

use crate::support::{fixture, memory, safetensors_of};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::error::Result;
use headstart::format::{Memory, Source, gguf, quant, safetensors};
use headstart::model::grouped::{Scaling, Shape};
use headstart::text::chat::{Message, RenderOptions};
use pollster::block_on;
use serde_json::{Value, json};

/// Name, type, shape and bytes.
pub(crate) type Tensor = (String, String, Vec<u64>, Vec<u8>);

const IDS: [u32; 6] = [5, 9, 17, 33, 65, 129];

pub(crate) fn config(family: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(&format!("families/{family}/config.json"))).unwrap()).unwrap()
}

pub(crate) fn tensors(family: &str) -> Vec<Tensor> {
    let source = memory(&format!("families/{family}/model.safetensors"));
    let directory = block_on(safetensors::read(source.as_ref(), 0)).unwrap().directory;
    let read = |info: &headstart::format::TensorInfo| {
        let mut bytes = vec![0; info.bytes as usize];
        block_on(source.read_at(info.offset, &mut bytes)).unwrap();
        (info.name.clone(), info.stored.name().to_owned(), info.shape.clone(), bytes)
    };
    directory.tensors().iter().map(read).collect()
}

pub(crate) fn load(config: &str, tensors: &[Tensor]) -> Result<Session> {
    let source = Rc::new(Memory::new("model.safetensors", safetensors_of(tensors)));
    let files = ModelFiles { sources: vec![source], config: Some(config.to_owned()), ..ModelFiles::default() };
    let options = LoadOptions { n_context: Some(64), ..LoadOptions::default() };
    block_on(Session::load(&files, ExecutorChoice::Cpu, &options, &mut |_| ()))
}

pub(crate) fn logits(session: &mut Session) -> Result<Vec<f32>> {
    let mut all = Vec::new();
    let mut each = |_, logits: &[f32]| {
        all.extend_from_slice(logits);
        Ok(())
    };
    block_on(session.logits(&IDS, &mut each))?;
    Ok(all)
}

/// The logits, which are the same whatever was changed, and the notices.
pub(crate) fn same_as(family: &str, config_text: &str, changed: &[Tensor]) -> String {
    let plain = logits(&mut load(&config(family).to_string(), &tensors(family)).unwrap()).unwrap();
    let mut session = load(config_text, changed).unwrap();
    assert_eq!(plain, logits(&mut session).unwrap());
    session.notices().join("; ")
}

pub(crate) fn assert_says(text: &str, all: &[&str]) {
    for part in all {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

#[test]
fn names_without_model_and_fused_experts_are_read() {
    let bare: Vec<Tensor> = tensors("qwen3moe")
        .into_iter()
        .map(|(name, dtype, shape, bytes)| (name.trim_start_matches("model.").to_owned(), dtype, shape, bytes))
        .collect();
    assert_eq!(same_as("qwen3moe", &config("qwen3moe").to_string(), &bare), "");
    // The text part of a model that also sees, with and without its head, as transformers 4 and 5 have it.
    for before in
        ["language_model.", "language_model.model.", "model.language_model.", "model.text_model.", "text_model."]
    {
        let mut seeing = bare.clone();
        let parts = seeing.iter_mut().filter(|tensor| tensor.0 != "lm_head.weight");
        parts.for_each(|tensor| tensor.0 = format!("{before}{}", tensor.0));
        assert_eq!(same_as("qwen3moe", &config("qwen3moe").to_string(), &seeing), "", "{before}");
    }

    // transformers keeps the experts of a layer in one tensor, of each the rows of gate before those of up.
    let all = tensors("qwen3moe");
    let named = |name: &str| all.iter().find(|tensor| tensor.0 == name);
    let mut fused: Vec<Tensor> = all.iter().filter(|tensor| !tensor.0.contains(".experts.")).cloned().collect();
    for layer in 0..2 {
        let stem = format!("model.layers.{layer}.mlp.experts");
        for (to, from) in [("gate_up_proj", &["gate_proj", "up_proj"][..]), ("down_proj", &["down_proj"])] {
            let experts = (0..).map_while(|n| named(&format!("{stem}.{n}.{}.weight", from[0])).map(|_| n));
            let parts: Vec<&Tensor> = experts
                .flat_map(|n: u32| from.iter().map(move |part| (n, *part)))
                .map(|(n, part)| named(&format!("{stem}.{n}.{part}.weight")).unwrap())
                .collect();
            let Some(first) = parts.first() else { continue };
            let n_experts = (parts.len() / from.len()) as u64;
            let shape = vec![n_experts, first.2[0] * from.len() as u64, first.2[1]];
            let bytes = parts.iter().flat_map(|part| part.3.iter().copied()).collect();
            fused.push((format!("{stem}.{to}"), first.1.clone(), shape, bytes));
        }
    }
    assert!(fused.iter().any(|tensor| tensor.0.ends_with("gate_up_proj")));
    assert_eq!(same_as("qwen3moe", &config("qwen3moe").to_string(), &fused), "");
}

/// As they are saved from within `torch.compile`, data parallelism, and adapters.
#[test]
fn what_training_puts_around_a_model_is_taken_off_its_names() {
    let text = config("qwen3").to_string();
    let named = |name: &dyn Fn(&str) -> String| -> Vec<Tensor> {
        let all = tensors("qwen3").into_iter();
        all.map(|(old, dtype, shape, bytes)| (name(&old), dtype, shape, bytes)).collect()
    };
    for before in ["_orig_mod.", "module.", "base_model.model.", "module._orig_mod.", "_fsdp_wrapped_module."] {
        assert_eq!(same_as("qwen3", &text, &named(&|name| format!("{before}{name}"))), "", "{before}");
    }
    let within = named(&|name| name.replace("layers.0.", "layers.0._orig_mod."));
    assert_eq!(same_as("qwen3", &text, &within), "");
    // Where two would have one name, none is changed.
    let mut twice = tensors("qwen3");
    twice.extend(named(&|name| format!("module.{name}")));
    assert_says(&same_as("qwen3", &text, &twice), &["unknown tensors", "module."]);
}

#[test]
fn what_is_not_used_refuses_nothing() {
    let mut more = tensors("qwen3");
    more.push(("lora_marker\\u001b[2J".to_owned(), "F32".to_owned(), vec![0], Vec::new()));
    more.push(("model.layers.0.grown".to_owned(), "F32".to_owned(), vec![0, 4], Vec::new()));
    let mut odd = config("qwen3");
    (odd["bos_token_id"], odd["eos_token_id"]) = (json!(256), json!(4_294_967_295u32));
    let text = odd.to_string().replacen('{', "\u{feff}{\"limit\": [0.0, Infinity], \"scale\": NaN, ", 1);
    let notices = same_as("qwen3", &text, &more);
    assert_says(&notices, &["bos_token_id is 256", "eos_token_id is 4294967295", "2 unknown tensors", "lora_marker"]);
    assert!(!notices.contains('\u{1b}'), "a name is obeyed: {notices:?}");
}

/// Tensors that training and serving leave behind; those that would change what is computed are refused by name.
#[test]
fn what_a_layer_has_beyond_its_own_is_told_or_refused() {
    let with = |name: &str| {
        let mut more = tensors("qwen3");
        more.push((name.to_owned(), "F32".to_owned(), vec![1], vec![0; 4]));
        more
    };
    let config_text = config("qwen3").to_string();
    for name in [
        "model.layers.0.self_attn.q_scale",
        "model.layers.0.self_attn.k_scale",
        "model.layers.0.self_attn.q_proj.input_scale_ub",
        "model.layers.0.self_attn.v_scale",
        "model.layers.1.self_attn.rotary_emb.inv_freq",
        "model.layers.0.mlp.foo.weight",
        "model.layers.9.input_layernorm.weight",
        "model.step",
    ] {
        assert_says(&same_as("qwen3", &config_text, &with(name)), &["1 unknown tensors", name]);
    }
    for name in [
        "output.scale",
        "model.layers.0.mlp.down_proj.bias",
        "model.layers.0.mlp.down_proj.weight_scale",
        "model.layers.1.post_feedforward_layernorm.weight",
        "model.layers.0.self_attn.g_proj.lora_B.weight",
        "model.layers.0.self_attn.sinks",
    ] {
        let refused = load(&config_text, &with(name)).err().unwrap().to_string();
        assert_says(&refused, &[name, "does not have"]);
    }
}

#[test]
fn ends_and_numbers_as_people_write_them_are_read() {
    let text = config("qwen3").to_string();
    let (list, null) = (json!([null, 4, 5]), json!(null));
    for (bos, eos) in
        [(null, json!([null])), (json!([]), json!(-1)), (json!(-1), json!([])), (json!([3]), list.clone())]
    {
        let mut odd = config("qwen3");
        (odd["bos_token_id"], odd["eos_token_id"]) = (bos.clone(), eos.clone());
        let shape = Shape::from_config(&odd.to_string()).unwrap();
        let is_list = eos == list;
        assert_eq!((shape.bos, shape.eos), if is_list { (Some(3), Some(4)) } else { (None, None) }, "{bos} {eos}");
    }
    let mut whole = config("qwen3");
    (whole["max_position_embeddings"], whole["num_hidden_layers"]) = (json!(2048.0), json!(2.0));
    let shape = Shape::from_config(&whole.to_string()).unwrap();
    assert_eq!((shape.context_length, shape.n_layers), (2048, 2));
    for wrong in [json!(2048.5), json!("2048"), json!(-1), json!(1e12)] {
        let mut odd = config("qwen3");
        odd["max_position_embeddings"] = wrong.clone();
        assert!(Shape::from_config(&odd.to_string()).is_err(), "{wrong}");
    }
    assert_eq!(Shape::from_config(&text).unwrap().n_layers, 2);
}

/// transformers' `MistralForCausalLM` is a llama, but for a window, beyond which it is not followed.
#[test]
fn a_mistral_is_a_llama_within_its_window() {
    let mut mistral = config("llama");
    (mistral["model_type"], mistral["hidden_act"]) = (json!("mistral"), json!("swish"));
    mistral["sliding_window"] = Value::Null;
    assert_eq!(same_as("llama", &mistral.to_string(), &tensors("llama")), "");
    let context = Shape::from_config(&mistral.to_string()).unwrap().context_length;
    mistral["sliding_window"] = json!(context / 2);
    let notices = same_as("llama", &mistral.to_string(), &tensors("llama"));
    assert_says(&notices, &["the context is", &(context / 2).to_string(), "window"]);
    assert_eq!(Shape::from_config(&mistral.to_string()).unwrap().context_length, context / 2);
}

#[test]
fn rows_of_the_embedding_count_whatever_the_config_says() {
    for family in ["qwen3", "deepseek_v3", "qwen3_5"] {
        let mut odd = config(family);
        let told =
            if odd["text_config"].is_object() { &mut odd["text_config"]["vocab_size"] } else { &mut odd["vocab_size"] };
        let n_rows = told.as_u64().unwrap();
        *told = json!(n_rows + 64);
        let notices = same_as(family, &odd.to_string(), &tensors(family));
        assert_says(&notices, &[&format!("vocab_size is {}", n_rows + 64), "the rows count"]);
    }
}

/// A tokenizer of another kind stops texts, not ids.
#[test]
fn an_unknown_tokenizer_is_told_and_ids_still_run() {
    let source = Rc::new(Memory::new("model.safetensors", safetensors_of(&tensors("qwen3"))));
    let tokenizer = json!({"model": {"type": "WordPiece", "vocab": {"a": 0}, "merges": []}}).to_string();
    let files = ModelFiles {
        sources: vec![source],
        config: Some(config("qwen3").to_string()),
        tokenizer: Some(tokenizer),
        ..ModelFiles::default()
    };
    let options = LoadOptions { n_context: Some(64), ..LoadOptions::default() };
    let mut session = block_on(Session::load(&files, ExecutorChoice::Cpu, &options, &mut |_| ())).unwrap();
    assert!(session.tokenizer().is_none() && logits(&mut session).is_ok());
    assert_says(&session.notices().join("; "), &["only token ids", "WordPiece"]);
}

#[test]
fn a_stale_head_beside_tied_embeddings_is_left_out_with_a_notice() {
    let mut more = tensors("qwen2");
    let (_, dtype, shape, mut bytes) =
        more.iter().find(|tensor| tensor.0 == "model.embed_tokens.weight").unwrap().clone();
    bytes.as_chunks_mut::<2>().0.reverse();
    more.push(("lm_head.weight".to_owned(), dtype, shape, bytes));
    let notices = same_as("qwen2", &config("qwen2").to_string(), &more);
    assert_eq!(notices, "lm_head.weight is left out: the file says that the embedding is the head");
    // Where the file does not say that they are tied, it is the head.
    let mut apart = config("qwen2");
    apart["tie_word_embeddings"] = json!(false);
    let plain = logits(&mut load(&config("qwen2").to_string(), &tensors("qwen2")).unwrap()).unwrap();
    assert_ne!(plain, logits(&mut load(&apart.to_string(), &more).unwrap()).unwrap());
}

/// As the weights of the attention add up to one, a bias of v is the same as a bias of o that is o times it.
#[test]
fn biases_of_the_attention_are_computed() {
    let floats = |tensor: &Tensor| -> Vec<f32> {
        let format = headstart::format::Format::from_name(&tensor.1).unwrap();
        let mut values = vec![0.0; tensor.2.iter().product::<u64>() as usize];
        quant::decode_row(format, &tensor.3, &mut values).unwrap();
        values
    };
    for family in ["llama", "qwen3"] {
        let mut config = config(family);
        config["attention_bias"] = json!(true);
        let shape = Shape::from_config(&config.to_string()).unwrap();
        let (q, kv, head_dim) = (shape.q_width() as usize, shape.kv_width() as usize, shape.head_dim as usize);
        let of_v: Vec<f32> = (0..kv).map(|i| (i as f32 * 0.7).sin() * 0.5).collect();
        let heads_per_kv = q / kv;
        let seen = |i: usize| of_v[i / head_dim / heads_per_kv * head_dim + i % head_dim];
        let f32s = |values: Vec<f32>| values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
        let model = |on_v: bool| {
            let mut all = tensors(family);
            for layer in 0..shape.n_layers {
                let stem = format!("model.layers.{layer}.self_attn");
                let o = floats(all.iter().find(|tensor| tensor.0 == format!("{stem}.o_proj.weight")).unwrap());
                let of_o: Vec<f32> =
                    o.chunks(q).map(|row| row.iter().enumerate().map(|(i, weight)| weight * seen(i)).sum()).collect();
                for (name, values) in [
                    ("q", vec![0.0; q]),
                    ("k", vec![0.0; kv]),
                    ("v", if on_v { of_v.clone() } else { vec![0.0; kv] }),
                    ("o", if on_v { vec![0.0; of_o.len()] } else { of_o }),
                ] {
                    let n = values.len() as u64;
                    all.push((format!("{stem}.{name}_proj.bias"), "F32".to_owned(), vec![n], f32s(values)));
                }
            }
            logits(&mut load(&config.to_string(), &all).unwrap()).unwrap()
        };
        let (on_v, on_o) = (model(true), model(false));
        let worst = on_v.iter().zip(&on_o).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{family}: {worst}");
        let plain = logits(&mut load(&self::config(family).to_string(), &tensors(family)).unwrap()).unwrap();
        let moved = on_v.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(moved > 0.05, "{family}: the bias moves nothing: {moved}");
    }
}

/// As `LlamaConfig`, `Qwen3Config` and `Qwen3MoeConfig` of transformers 5.23 have them.
#[test]
fn what_a_config_leaves_out_is_as_in_transformers() {
    let without = |family: &str, keys: &[&str]| {
        let mut config = config(family);
        let map = config.as_object_mut().unwrap();
        keys.iter().for_each(|key| drop(map.remove(*key)));
        Shape::from_config(&config.to_string()).unwrap()
    };
    let llama = without("llama", &["bos_token_id", "eos_token_id", "max_position_embeddings", "num_key_value_heads"]);
    assert_eq!((llama.bos, llama.eos, llama.context_length), (Some(1), Some(2), 2048));
    assert_eq!(llama.n_kv_heads, llama.n_heads);
    let qwen3 = without("qwen3", &["head_dim", "max_position_embeddings"]);
    assert_eq!((qwen3.head_dim, qwen3.context_length), (128, 32_768));
    let experts = without("qwen3moe", &["norm_topk_prob", "num_experts", "num_local_experts", "num_experts_per_tok"])
        .experts
        .unwrap();
    assert_eq!((experts.normed, experts.n_experts, experts.n_used), (false, 128, 8));
}

#[test]
fn scaling_that_is_told_in_part_is_as_in_transformers_or_refused() {
    let read = |rope: Value| {
        let mut config = config("qwen3");
        config.as_object_mut().unwrap().remove("rope_parameters");
        config["max_position_embeddings"] = json!(4096);
        config["rope_scaling"] = rope;
        let mut notices = Vec::new();
        let shape = Shape::from_config_with(&config.to_string(), &mut notices);
        (shape.map(|shape| shape.rope.scaling), notices.join("; "))
    };
    let (scaling, notices) = read(json!({"factor": 8.0}));
    assert_eq!(scaling.unwrap(), Scaling::None);
    assert_says(&notices, &["rope_scaling.factor", "8", "ignored"]);
    let (scaling, notices) = read(json!({"rope_type": "yarn", "factor": 8.0}));
    let Scaling::Yarn(yarn, _) = scaling.unwrap() else { panic!("no YaRN") };
    assert_eq!(yarn.original, 4096);
    assert_says(&notices, &["original_max_position_embeddings", "missing", "4096"]);
    let (scaling, notices) = read(json!({"type": "dynamic", "factor": 8.0}));
    assert_eq!(scaling.unwrap(), Scaling::None);
    assert_says(&notices, &["dynamic", "beyond the context of 4096"]);
    let dynamic = json!({"type": "dynamic", "factor": 8.0, "original_max_position_embeddings": 2048});
    assert_eq!(read(dynamic).0.unwrap(), Scaling::None);
    assert_says(&read(json!({"type": "longrope"})).0.unwrap_err().to_string(), &["longrope", "not supported"]);
    let yarn = |more: Value| {
        let mut rope = json!({"rope_type": "yarn", "original_max_position_embeddings": 512});
        rope.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let Scaling::Yarn(yarn, scale) = read(rope).0.unwrap() else { panic!("no YaRN") };
        (yarn.factor, scale)
    };
    // 1 + 0.1 m ln 8, of one over that of the other.
    let ratio = (1.0 + 0.05 * 8.0f64.ln()) / (1.0 + 0.2 * 8.0f64.ln());
    assert_eq!(yarn(json!({"factor": 8, "mscale": 0.5, "mscale_all_dim": 2})), (8.0, ratio as f32));
    let usual = (1.0 + 0.1 * 8.0f64.ln()) as f32;
    assert_eq!(yarn(json!({"factor": 8, "mscale": 0.5, "mscale_all_dim": 0})), (8.0, usual));
    // Without a factor: by how much the context has grown.
    assert_eq!(yarn(json!({"factor": null})), (8.0, usual));
    assert_eq!(read(json!({"type": "mrope", "mrope_section": [2, 3, 3]})).0.unwrap(), Scaling::None);
    let (scaling, _) = read(json!({"type": "linear"}));
    assert_says(&scaling.unwrap_err().to_string(), &["factor", "missing"]);
    let (scaling, notices) = read(json!({"type": "linear", "factor": 2.0}));
    assert_eq!((scaling.unwrap(), notices.as_str()), (Scaling::Linear { factor: 2.0 }, ""));
}

#[test]
fn a_window_that_no_layer_has_is_no_reason_to_refuse() {
    let with = |window: Value, first: Value| {
        let mut config = config("qwen2");
        config.as_object_mut().unwrap().remove("layer_types");
        (config["use_sliding_window"], config["sliding_window"]) = (json!(true), window);
        config["max_window_layers"] = first;
        config
    };
    for (window, first) in [(json!(4), json!(99)), (Value::Null, json!(0)), (json!(1 << 20), json!(0))] {
        assert_eq!(same_as("qwen2", &with(window, first).to_string(), &tensors("qwen2")), "");
    }
    for (window, first) in [(json!(64), json!(1)), (json!(64), Value::Null)] {
        let notices = same_as("qwen2", &with(window, first).to_string(), &tensors("qwen2"));
        assert_says(&notices, &["the context is 64 tokens", "window"]);
    }
    // Llamas have no such setting, nor a scale of their own.
    let mut llama = config("llama");
    (llama["use_sliding_window"], llama["sliding_window"]) = (json!(true), json!(4));
    llama["query_pre_attn_scalar"] = json!(4);
    assert_eq!(same_as("llama", &llama.to_string(), &tensors("llama")), "");
    let mut listed = with(json!(4), json!(0));
    listed["layer_types"] = json!(["full_attention", "full_attention"]);
    assert_eq!(same_as("qwen2", &listed.to_string(), &tensors("qwen2")), "");
}

/// Under the old key, without a type, and with a factor of 0, which is none.
#[test]
fn scaling_in_a_gguf_is_as_in_llama_cpp() {
    let source = Memory::new("model.gguf", std::fs::read(fixture("families/llama/model.gguf")).unwrap());
    let metadata = block_on(gguf::read(&source, 0)).unwrap().metadata;
    let read = |more: &[(&str, gguf::Value)]| {
        let n_vocab = ("llama.vocab_size".to_owned(), gguf::Value::from(256u32));
        let more = more.iter().map(|(name, value)| (format!("llama.rope.{name}"), value.clone()));
        let more: Vec<_> = more.chain([n_vocab]).collect();
        let keys: Vec<_> = metadata.iter().chain(more.iter().map(|(name, value)| (name.as_str(), value))).collect();
        let mut bytes = gguf::head(keys.into_iter(), &[]).unwrap();
        bytes.resize(bytes.len() + 32, 0);
        let file = block_on(gguf::read(&Memory::new("keys", bytes), 0)).unwrap();
        Shape::from_gguf(&file, Vec::new()).unwrap().rope.scaling
    };
    let kind = |kind: &str| ("scaling.type", gguf::Value::from(kind));
    let factor = |factor: f32| ("scaling.factor", gguf::Value::from(factor));
    let old = ("scale_linear", gguf::Value::from(8.0f32));
    assert_eq!(read(&[]), Scaling::None);
    assert_eq!(read(&[kind("linear"), factor(0.0)]), Scaling::Linear { factor: 1.0 });
    for eight in [vec![kind("linear"), factor(8.0)], vec![factor(8.0)], vec![kind("linear"), old.clone()], vec![old]] {
        assert_eq!(read(&eight), Scaling::Linear { factor: 8.0 }, "{eight:?}");
    }
}

/// By kinds of layers, and with the length of before beside it, as transformers reads both.
#[test]
fn rotations_are_found_wherever_they_stand() {
    let plain = config("llama");
    let rotation = plain["rope_parameters"].clone();
    assert_eq!(rotation["rope_type"], "llama3");
    let same = |name: &str, room: Value, original: Value| {
        let mut config = plain.clone();
        config["rope_parameters"] = Value::Null;
        config[name] = room;
        config["original_max_position_embeddings"] = original;
        assert_eq!(same_as("llama", &config.to_string(), &tensors("llama")), "", "{config}");
    };
    for name in ["rope_parameters", "rope_scaling"] {
        same(name, json!({"full_attention": rotation, "sliding_attention": null}), Value::Null);
    }
    let mut other = rotation.clone();
    let original = std::mem::replace(&mut other["original_max_position_embeddings"], json!(1024));
    same("rope_parameters", other, original);
    let mut gemma = config("gemma3");
    gemma["rope_scaling"] = Value::Null;
    gemma["rope_parameters"] = json!({"sliding_attention": {"rope_type": "linear", "factor": 2.0}});
    assert_says(&Shape::from_config(&gemma.to_string()).unwrap_err().to_string(), &["sliding_attention", "linear"]);
}

/// As `DeepseekV3Config` has them; `null` is none.
#[test]
fn experts_that_a_config_of_deepseek_leaves_out_are_as_in_transformers() {
    use headstart::model::AnyShape;
    let mut deepseek = config("deepseek_v3");
    let read = |config: &Value| AnyShape::from_config(&config.to_string(), &mut Vec::new());
    let AnyShape::Mla(told) = read(&deepseek).unwrap() else { panic!("no latent attention") };
    deepseek.as_object_mut().unwrap().remove("n_shared_experts");
    let AnyShape::Mla(found) = read(&deepseek).unwrap() else { panic!("no latent attention") };
    let (told, found) = (told.experts.unwrap(), found.experts.unwrap());
    assert_eq!((found.shared_hidden, found.n_experts), (found.n_hidden, told.n_experts));
    deepseek["n_shared_experts"] = Value::Null;
    let AnyShape::Mla(none) = read(&deepseek).unwrap() else { panic!("no latent attention") };
    assert_eq!(none.experts.unwrap().shared_hidden, 0);
    deepseek["rope_interleave"] = json!(false);
    assert_says(&read(&deepseek).unwrap_err().to_string(), &["rope_interleave", "false", "not supported"]);
}

/// As in transformers, where a default stands in for what is missing, and not for what is empty.
#[test]
fn key_heads_that_are_null_are_as_many_as_heads() {
    let mut config = config("qwen2");
    config["num_key_value_heads"] = Value::Null;
    let shape = Shape::from_config(&config.to_string()).unwrap();
    assert_eq!(shape.n_kv_heads, shape.n_heads);
}

#[test]
fn a_head_that_is_missing_is_told_of() {
    let mut config = config("qwen3");
    config["tie_word_embeddings"] = json!(false);
    let headless: Vec<Tensor> = tensors("qwen3").into_iter().filter(|tensor| tensor.0 != "lm_head.weight").collect();
    let session = load(&config.to_string(), &headless).unwrap();
    assert_says(&session.notices().join("; "), &["lm_head.weight is missing", "embedding"]);
}

#[test]
fn weights_that_others_quantized_are_refused_by_the_name_of_how() {
    let mut config = config("qwen3");
    config["quantization_config"] = json!({"quant_method": "bitsandbytes", "load_in_4bit": true});
    let mut all = tensors("qwen3");
    let packed = all.iter_mut().find(|tensor| tensor.0.ends_with("layers.0.self_attn.q_proj.weight")).unwrap();
    packed.0 = packed.0.replace("weight", "packed");
    let error = load(&config.to_string(), &all).err().unwrap().to_string();
    assert_says(&error, &["quantization_config.quant_method", "bitsandbytes", "as a GGUF"]);
    config["quantization_config"] = json!({"quant_method": "compressed-tensors", "format": "marlin-24"});
    let error = load(&config.to_string(), &all).err().unwrap().to_string();
    assert_says(&error, &["quantization_config.format", "marlin-24", "compressed-tensors", "as a GGUF"]);
    let mut mlx = config.clone();
    mlx["quantization_config"] = json!({"group_size": 64, "bits": 4});
    mlx["quantization"] = mlx["quantization_config"].clone();
    assert_says(
        &load(&mlx.to_string(), &all).err().unwrap().to_string(),
        &["key \"quantization\"", "mlx", "as a GGUF"],
    );
    // Where nothing is missing, nothing is quantized. That activations are to be turned is told.
    config["quantization_config"]["transform_config"] = json!({"config_groups": {"R3": {"type": "hadamard"}}});
    let session = load(&config.to_string(), &tensors("qwen3")).unwrap();
    assert_says(&session.notices().join("; "), &["transform_config"]);
    config["quantization_config"]["transform_config"] = json!({});
    assert_eq!(same_as("qwen3", &config.to_string(), &tensors("qwen3")), "");
}

#[test]
fn weights_that_are_no_numbers_are_named_or_their_layer_is() {
    let with_nan = |name: &str| {
        let mut all = tensors("qwen3");
        let tensor = all.iter_mut().find(|tensor| tensor.0 == name).unwrap();
        let n = if tensor.1 == "F32" { 4 } else { 2 };
        tensor.3[3 * n..4 * n].fill(0xff);
        load(&config("qwen3").to_string(), &all)
    };
    let text = with_nan("model.norm.weight").err().unwrap().to_string();
    assert_says(&text, &["model.norm.weight", "number 3 is NaN"]);
    for (name, place) in [
        ("model.layers.1.mlp.down_proj.weight", "down of layer 1"),
        ("model.layers.0.self_attn.o_proj.weight", "o of layer 0"),
        ("lm_head.weight", "output head"),
    ] {
        let mut session = with_nan(name).unwrap();
        let text = logits(&mut session).unwrap_err().to_string();
        assert_says(&text, &["logits", "NaN", place]);
        let text = block_on(session.generate(&IDS, &Sampling::default(), 4)).err().unwrap().to_string();
        assert_says(&text, &["the logits after 6 tokens", place]);
    }
}

#[test]
fn a_model_without_its_type_is_known_by_its_class() {
    for (family, class) in [("qwen2", "Qwen2ForCausalLM"), ("qwen3moe", "Qwen3MoeForCausalLM")] {
        let mut changed = config(family);
        changed.as_object_mut().unwrap().remove("model_type");
        changed["architectures"] = json!([class]);
        assert_eq!(same_as(family, &changed.to_string(), &tensors(family)), "");
    }
    let mut nameless = config("qwen2");
    nameless.as_object_mut().unwrap().remove("model_type");
    nameless["architectures"] = json!([]);
    assert_says(&load(&nameless.to_string(), &tensors("qwen2")).err().unwrap().to_string(), &["model_type", "nothing"]);
}

#[test]
fn the_older_name_of_a_rotation_goes_first_and_what_nothing_reads_is_told() {
    let mut both = config("qwen2");
    both["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 10000.0});
    both["rope_scaling"] = json!({"rope_type": "linear", "factor": 2.0, "attn_factor": 2.0});
    let shape = Shape::from_config(&both.to_string()).unwrap();
    assert_eq!((shape.rope.scaling, shape.rope.base), (Scaling::Linear { factor: 2.0 }, 10_000.0));
    let notices = load(&both.to_string(), &tensors("qwen2")).unwrap().notices().join("; ");
    assert_says(&notices, &["rope_scaling.attn_factor is 2.0", "ignored", "are both there"]);
    both["rope_scaling"] = json!("yarn");
    assert_says(&Shape::from_config(&both.to_string()).unwrap_err().to_string(), &["rope_scaling", "an object"]);
    let mut scaled = config("qwen2");
    scaled["logits_scaling"] = json!(8.0);
    assert_says(&same_as("qwen2", &scaled.to_string(), &tensors("qwen2")), &["logits_scaling is 8.0", "ignored"]);
}

#[test]
fn what_stands_in_files_of_its_own_is_found_there() {
    let file = |name: &str, text: &str| Rc::new(Memory::new(name, text.as_bytes().to_vec())) as Rc<dyn Source>;
    let model = Rc::new(Memory::new("model.safetensors", safetensors_of(&tensors("qwen2")))) as Rc<dyn Source>;
    let tokenizer = std::fs::read_to_string(fixture("tokenizer.json")).unwrap();
    let mut given = vec![model, file("config.json", &config("qwen2").to_string()), file("tokenizer.json", &tokenizer)];
    given.push(file("chat_template.json", r#"{"chat_template": "plain {{ messages[0].content }}"}"#));
    given.push(file("additional_chat_templates/tool_use.jinja", "tools {{ messages[0].content }}"));
    // The vocabulary ends before the one, and has another token under the other.
    given.push(file("added_tokens.json", r#"{"<mine>": 2048, "<other>": 900}"#));
    given.push(file("special_tokens_map.json", r#"{"eos_token": {"content": "<mine>"}}"#));
    given.push(file("generation_config.json", r#"{"stop_strings": ["END", 7, "STOP"]}"#));
    let open = block_on(block_on(ModelFiles::of(given.clone())).unwrap().open()).unwrap();
    assert_eq!(open.stop_strings, ["END", "STOP"]);
    // What is no object there is passed over.
    let with = |text: &str| {
        let mut given = given.clone();
        *given.last_mut().unwrap() = file("generation_config.json", text);
        block_on(block_on(ModelFiles::of(given)).unwrap().open()).unwrap()
    };
    for odd in ["[]", "7", "\"x\"", "{\"eos_token_id\": [1,2}"] {
        let open = with(odd);
        assert!(open.stop_strings.is_empty(), "{odd}");
        assert_says(&open.notices.join("; "), &["generation_config.json", "passed over"]);
    }
    let tokenizer = open.tokenizer.as_ref().unwrap();
    assert_eq!((tokenizer.id_of("<mine>"), tokenizer.special().eos), (Some(2048), Some(2048)));
    assert_eq!(tokenizer.id_of("<other>"), None);
    assert_says(&tokenizer.notices().join("; "), &["<other>", "900", "passed over"]);
    let chat = open.chat().unwrap().unwrap();
    let with = |tools: &[&str]| {
        let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
        chat.render(&[Message::from("hi")], &RenderOptions { tools, ..RenderOptions::default() }).unwrap()
    };
    assert_eq!((with(&[]), with(&[r#"{"name": "f"}"#])), ("plain hi".into(), "tools hi".into()));
}
