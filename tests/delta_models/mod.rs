//! The small models of `tests/delta.rs` as GGUFs, by the keys and names of llama.cpp's converter: value heads tiled over key
//! heads, norms with 1 added, all in F32.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use crate::mla_models::{Tensor, tensors};
use headstart::format::gguf::Value;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The settings of texts.
pub(crate) fn texts(config: &Json) -> &Json {
    config.get("text_config").unwrap_or(config)
}

/// The name of the architecture in a GGUF.
pub(crate) fn architecture(config: &Json) -> &'static str {
    if texts(config).get("num_experts").is_some() { "qwen35moe" } else { "qwen35" }
}

/// The keys that llama.cpp's converter writes for a config.
pub(crate) fn gguf_keys(config: &Json) -> BTreeMap<String, Value> {
    let texts = texts(config);
    let n = |key: &str| u32::try_from(texts[key].as_u64().unwrap()).unwrap();
    let rope = &texts["rope_parameters"];
    let number = |value: &Json| value.as_f64().unwrap() as f32;
    let mut keys: Vec<(&str, Value)> = vec![
        ("block_count", n("num_hidden_layers").into()),
        ("context_length", n("max_position_embeddings").into()),
        ("embedding_length", n("hidden_size").into()),
        ("attention.head_count", n("num_attention_heads").into()),
        ("attention.head_count_kv", n("num_key_value_heads").into()),
        ("attention.key_length", n("head_dim").into()),
        ("attention.value_length", n("head_dim").into()),
        ("attention.layer_norm_rms_epsilon", number(&texts["rms_norm_eps"]).into()),
        ("rope.freq_base", number(&rope["rope_theta"]).into()),
        ("rope.dimension_count", ((n("head_dim") as f32 * number(&rope["partial_rotary_factor"])) as u32).into()),
        ("ssm.conv_kernel", n("linear_conv_kernel_dim").into()),
        ("ssm.state_size", n("linear_key_head_dim").into()),
        ("ssm.group_count", n("linear_num_key_heads").into()),
        ("ssm.time_step_rank", n("linear_num_value_heads").into()),
        ("ssm.inner_size", (n("linear_num_value_heads") * n("linear_value_head_dim")).into()),
        ("full_attention_interval", n("full_attention_interval").into()),
        ("vocab_size", n("vocab_size").into()),
    ];
    match texts.get("num_experts") {
        None => keys.push(("feed_forward_length", n("intermediate_size").into())),
        Some(_) => keys.extend([
            ("expert_count", n("num_experts").into()),
            ("expert_used_count", n("num_experts_per_tok").into()),
            ("expert_feed_forward_length", n("moe_intermediate_size").into()),
            ("expert_shared_feed_forward_length", n("shared_expert_intermediate_size").into()),
        ]),
    }
    let name = architecture(config);
    let mut keys: BTreeMap<String, Value> =
        keys.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect();
    keys.insert("general.architecture".to_owned(), name.into());
    keys.insert("tokenizer.ggml.model".to_owned(), "no_vocab".into());
    keys
}

/// What a converter may get wrong, and what it does to the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Slip {
    /// Value heads stay in the order of safetensors.
    HeadsNotTiled,
    /// Norms of layers and heads stay what is added to 1.
    NormsWithoutOne,
    /// The norm of a net's output gets a 1 too.
    NetNormWithOne,
    /// The decay stays a logarithm.
    DecayIsLogarithm,
    /// The convolution's taps come in the opposite order.
    TapsReversed,
    /// Gates before queries.
    GateFirst,
    /// Keys before queries in nets.
    KeysFirst,
}

const NAMES: [(&str, &str); 24] = [
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "post_attention_norm"),
    ("linear_attn.in_proj_qkv", "attn_qkv"),
    ("linear_attn.in_proj_z", "attn_gate"),
    ("linear_attn.in_proj_b", "ssm_beta"),
    ("linear_attn.in_proj_a", "ssm_alpha"),
    ("linear_attn.conv1d", "ssm_conv1d"),
    ("linear_attn.norm", "ssm_norm"),
    ("linear_attn.out_proj", "ssm_out"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("mlp.gate", "ffn_gate_inp"),
    ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"),
    ("mlp.shared_expert.gate_proj", "ffn_gate_shexp"),
    ("mlp.shared_expert.up_proj", "ffn_up_shexp"),
    ("mlp.shared_expert.down_proj", "ffn_down_shexp"),
    ("norm", "output_norm"),
];

/// The tensors of a family under a GGUF's names; `slip` says what is wrong with them, if anything.
pub(crate) fn gguf_tensors(family: &str, config: &Json, slip: Option<Slip>) -> BTreeMap<String, Tensor> {
    let texts = texts(config);
    let n = |key: &str| texts[key].as_u64().unwrap() as usize;
    let (n_keys, n_values) = (n("linear_num_key_heads"), n("linear_num_value_heads"));
    let (key_width, value_dim) = (n_keys * n("linear_key_head_dim"), n("linear_value_head_dim"));
    // Rows of value heads from the order of safetensors, consecutive ones of a key head, to a GGUF's.
    let tiled = |tensor: &mut Tensor, from: usize, of_each: usize| {
        if slip == Some(Slip::HeadsNotTiled) {
            return;
        }
        let row = tensor.values.len() / tensor.shape[0] as usize;
        let heads = tensor.values.split_off(from * row);
        for head in 0..n_values {
            let place = (head % n_keys) * (n_values / n_keys) + head / n_keys;
            tensor.values.extend(&heads[place * of_each * row..][..of_each * row]);
        }
    };
    let one = if slip == Some(Slip::NormsWithoutOne) { 0.0 } else { 1.0 };
    let mut out = BTreeMap::new();
    for (name, mut tensor) in tensors(&format!("families/{family}/model.safetensors")) {
        let name = name.replace("model.language_model.", "model.");
        if name.starts_with("mtp.") || name.starts_with("model.visual.") {
            continue;
        }
        let (layer, rest) = match name.strip_prefix("model.layers.") {
            Some(rest) => rest.split_once('.').map(|(layer, rest)| (format!("blk.{layer}."), rest)).unwrap(),
            None => (String::new(), name.strip_prefix("model.").unwrap_or(&name)),
        };
        let stem = rest.strip_suffix(".weight").unwrap_or(rest);
        match stem {
            "linear_attn.in_proj_qkv" => {
                if slip == Some(Slip::KeysFirst) {
                    let row = tensor.values.len() / tensor.shape[0] as usize;
                    tensor.values[..2 * key_width * row].rotate_left(key_width * row);
                }
                tiled(&mut tensor, 2 * key_width, value_dim);
            }
            "linear_attn.conv1d" => {
                tensor.shape.remove(1);
                tiled(&mut tensor, 2 * key_width, value_dim);
                if slip == Some(Slip::TapsReversed) {
                    tensor.values.chunks_exact_mut(n("linear_conv_kernel_dim")).for_each(<[f32]>::reverse);
                }
            }
            "linear_attn.in_proj_z" => tiled(&mut tensor, 0, value_dim),
            "linear_attn.in_proj_b" | "linear_attn.in_proj_a" | "linear_attn.dt_bias" => tiled(&mut tensor, 0, 1),
            "linear_attn.A_log" => {
                tiled(&mut tensor, 0, 1);
                if slip != Some(Slip::DecayIsLogarithm) {
                    tensor.values.iter_mut().for_each(|v| *v = -v.exp());
                }
            }
            "linear_attn.out_proj" => {
                // Of this one the columns.
                let n_in = tensor.shape[1] as usize;
                for row in tensor.values.chunks_exact_mut(n_in) {
                    let mut column = Tensor { shape: vec![n_in as u64, 1], values: row.to_vec() };
                    tiled(&mut column, 0, value_dim);
                    row.copy_from_slice(&column.values);
                }
            }
            "linear_attn.norm" if slip == Some(Slip::NetNormWithOne) => {
                tensor.values.iter_mut().for_each(|v| *v += 1.0);
            }
            "linear_attn.norm" => {}
            "self_attn.q_proj" if slip == Some(Slip::GateFirst) => {
                let half = n("head_dim") * n("hidden_size");
                tensor.values.chunks_exact_mut(2 * half).for_each(|head| head.rotate_left(half));
            }
            _ if stem.ends_with("norm") => tensor.values.iter_mut().for_each(|v| *v += one),
            _ => {}
        }
        let (name, is_stack) = match stem {
            "embed_tokens" => ("token_embd.weight".to_owned(), false),
            "lm_head" => ("output.weight".to_owned(), false),
            "linear_attn.A_log" => (format!("{layer}ssm_a"), false),
            "linear_attn.dt_bias" => (format!("{layer}ssm_dt.bias"), false),
            "mlp.experts.down_proj" => (format!("{layer}ffn_down_exps.weight"), false),
            "mlp.experts.gate_up_proj" => (layer.clone(), true),
            stem => (format!("{layer}{}.weight", NAMES.iter().find(|(hub, _)| *hub == stem).unwrap().1), false),
        };
        if !is_stack {
            out.insert(name, tensor);
            continue;
        }
        // Of each expert gate and up.
        let [n_experts, n_rows, n_in] = tensor.shape[..] else { panic!("a stack of experts") };
        let halves = |which: usize| {
            let experts = tensor.values.chunks_exact((n_rows * n_in) as usize);
            let half = (n_rows / 2 * n_in) as usize;
            let values = experts.flat_map(|expert| expert[which * half..][..half].to_vec()).collect();
            Tensor { shape: vec![n_experts, n_rows / 2, n_in], values }
        };
        out.insert(format!("{layer}ffn_gate_exps.weight"), halves(0));
        out.insert(format!("{layer}ffn_up_exps.weight"), halves(1));
    }
    out
}
