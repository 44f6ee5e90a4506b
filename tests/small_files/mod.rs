//! The small models of `tests/small_models.rs` as files: GGUFs by the keys and names of llama.cpp's converter, and the
//! tensors of their safetensors as they are stored.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use crate::mla_models::{Tensor, config};
use crate::support::fixture;
use headstart::format::Format;
use headstart::format::gguf::{self, NewTensor, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;

pub(crate) fn architecture(family: &str) -> &'static str {
    match family {
        "smollm3" => "smollm3",
        "gpt_oss" => "gpt-oss",
        "lfm2" => "lfm2",
        _ => "gemma3",
    }
}

/// The keys that llama.cpp's converter writes.
pub(crate) fn gguf_keys(family: &str) -> BTreeMap<String, Value> {
    if family == "lfm2" {
        return lfm2_keys();
    }
    let config = config(family);
    let n = |key: &str| u32::try_from(config[key].as_u64().unwrap()).unwrap();
    let number = |value: &Json| value.as_f64().unwrap() as f32;
    let heads = n("num_attention_heads");
    let head_dim = config["head_dim"].as_u64().map_or(n("hidden_size") / heads, |n| n as u32);
    let mut keys: Vec<(&str, Value)> = vec![
        ("block_count", n("num_hidden_layers").into()),
        ("context_length", n("max_position_embeddings").into()),
        ("embedding_length", n("hidden_size").into()),
        ("feed_forward_length", n("intermediate_size").into()),
        ("attention.head_count", heads.into()),
        ("attention.head_count_kv", n("num_key_value_heads").into()),
        ("attention.key_length", head_dim.into()),
        ("attention.value_length", head_dim.into()),
        ("attention.layer_norm_rms_epsilon", number(&config["rms_norm_eps"]).into()),
        ("rope.freq_base", number(&config["rope_theta"]).into()),
        ("vocab_size", n("vocab_size").into()),
    ];
    match family {
        "smollm3" => keys.push(("rope.dimension_count", head_dim.into())),
        "gpt_oss" => keys.extend([
            ("attention.sliding_window", n("sliding_window").into()),
            ("expert_count", n("num_local_experts").into()),
            ("expert_used_count", n("num_experts_per_tok").into()),
            ("expert_feed_forward_length", n("intermediate_size").into()),
            ("rope.scaling.type", "yarn".into()),
            ("rope.scaling.factor", number(&config["rope_scaling"]["factor"]).into()),
            ("rope.scaling.original_context_length", n("initial_context_length").into()),
            ("rope.scaling.yarn_beta_fast", number(&config["rope_scaling"]["beta_fast"]).into()),
            ("rope.scaling.yarn_beta_slow", number(&config["rope_scaling"]["beta_slow"]).into()),
        ]),
        _ => keys.extend([
            ("attention.sliding_window", n("sliding_window").into()),
            ("rope.freq_base_swa", number(&config["rope_local_base_freq"]).into()),
            ("rope.scaling.type", "linear".into()),
            ("rope.scaling.factor", number(&config["rope_scaling"]["factor"]).into()),
        ]),
    }
    with_prefix(architecture(family), keys)
}

/// By hand, from its `config.json`: two thirds of 300 rounded up to a multiple of 128, and the layers without key heads.
fn lfm2_keys() -> BTreeMap<String, Value> {
    let keys: Vec<(&str, Value)> = vec![
        ("block_count", 5u32.into()),
        ("context_length", 4096u32.into()),
        ("embedding_length", 256u32.into()),
        ("feed_forward_length", 256u32.into()),
        ("attention.head_count", 4u32.into()),
        ("attention.head_count_kv", [0i32, 0, 2, 0, 2].as_slice().into()),
        ("attention.layer_norm_rms_epsilon", 1e-5f32.into()),
        ("rope.freq_base", 1e6f32.into()),
        ("shortconv.l_cache", 3u32.into()),
        ("vocab_size", 512u32.into()),
    ];
    with_prefix("lfm2", keys)
}

fn with_prefix(prefix: &str, keys: Vec<(&str, Value)>) -> BTreeMap<String, Value> {
    let mut keys: BTreeMap<String, Value> =
        keys.into_iter().map(|(key, value)| (format!("{prefix}.{key}"), value)).collect();
    keys.insert("general.architecture".to_owned(), prefix.into());
    keys.insert("tokenizer.ggml.model".to_owned(), "no_vocab".into());
    keys.insert("tokenizer.ggml.eos_token_id".to_owned(), 1u32.into());
    keys
}

const NAMES: [(&str, &str); 25] = [
    ("mlp.router", "ffn_gate_inp"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("pre_feedforward_layernorm", "ffn_norm"),
    ("post_feedforward_layernorm", "post_ffw_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
    ("operator_norm", "attn_norm"),
    ("ffn_norm", "ffn_norm"),
    ("self_attn.out_proj", "attn_output"),
    ("self_attn.q_layernorm", "attn_q_norm"),
    ("self_attn.k_layernorm", "attn_k_norm"),
    ("conv.in_proj", "shortconv.in_proj"),
    ("conv.conv", "shortconv.conv"),
    ("conv.out_proj", "shortconv.out_proj"),
    ("feed_forward.w1", "ffn_gate"),
    ("feed_forward.w2", "ffn_down"),
    ("feed_forward.w3", "ffn_up"),
];

/// The tensors of a family as llama.cpp's converter writes them.
pub(crate) fn gguf_tensors(family: &str) -> BTreeMap<String, Tensor> {
    let config = config(family);
    let mut out = BTreeMap::new();
    for (name, mut tensor) in float_tensors(family) {
        if family == "gemma3" && name.contains("norm") {
            tensor.values.iter_mut().for_each(|value| *value += 1.0);
        }
        let name = match name.as_str() {
            "model.embed_tokens.weight" => "token_embd.weight".to_owned(),
            "model.norm.weight" => "output_norm.weight".to_owned(),
            "model.embedding_norm.weight" => "token_embd_norm.weight".to_owned(),
            "lm_head.weight" => "output.weight".to_owned(),
            name => {
                let (layer, rest) = name.strip_prefix("model.layers.").unwrap().split_once('.').unwrap();
                let of_experts = match rest {
                    "self_attn.sinks" => Some("attn_sinks.weight"),
                    "mlp.experts.down_proj_bias" => Some("ffn_down_exps.bias"),
                    "mlp.experts.gate_up_proj_bias" => {
                        let up = every_other(&tensor, 1);
                        out.insert(format!("blk.{layer}.ffn_up_exps.bias"), up);
                        tensor = every_other(&tensor, 0);
                        Some("ffn_gate_exps.bias")
                    }
                    _ => None,
                };
                if let Some(to) = of_experts {
                    out.insert(format!("blk.{layer}.{to}"), tensor);
                    continue;
                }
                if rest == "conv.conv.weight" {
                    tensor.shape.remove(1);
                }
                let (stem, kind) = rest.rsplit_once('.').unwrap();
                let (_, mut to) = *NAMES.iter().find(|(hub, _)| *hub == stem).unwrap();
                if family != "smollm3" && stem == "post_attention_layernorm" {
                    to = "post_attention_norm";
                }
                let heads = match to {
                    "attn_q" => "num_attention_heads",
                    "attn_k" => "num_key_value_heads",
                    _ => "",
                };
                if let (Some(heads), "smollm3") = (config[heads].as_u64(), family) {
                    tensor = neighbours(&tensor, heads as usize);
                }
                format!("blk.{layer}.{to}.{kind}")
            }
        };
        out.insert(name, tensor);
    }
    out
}

/// Every second element of rows, from the first or the second on.
fn every_other(tensor: &Tensor, first: usize) -> Tensor {
    let shape = vec![tensor.shape[0], tensor.shape[1] / 2];
    Tensor { shape, values: tensor.values.iter().skip(first).step_by(2).copied().collect() }
}

/// A tensor of a safetensors file: its type, its dims and its bytes.
pub(crate) struct Stored {
    pub(crate) dtype: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) bytes: Vec<u8>,
}

/// All of a family.
pub(crate) fn stored(family: &str) -> BTreeMap<String, Stored> {
    let file = std::fs::read(fixture(&format!("families/{family}/model.safetensors"))).unwrap();
    let (length, rest) = file.split_at(8);
    let (header, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let header: serde_json::Map<String, Json> = serde_json::from_slice(header).unwrap();
    let number = |value: &Json| value.as_u64().unwrap();
    let read = |(name, entry): (String, Json)| {
        let [begin, end] = [0, 1].map(|i| number(&entry["data_offsets"][i]) as usize);
        let shape = entry["shape"].as_array().unwrap().iter().map(number).collect();
        let stored =
            Stored { dtype: entry["dtype"].as_str().unwrap().to_owned(), shape, bytes: data[begin..end].to_vec() };
        (name, stored)
    };
    header.into_iter().filter(|(name, _)| name != "__metadata__").map(read).collect()
}

/// Those of a family that are no blocks.
pub(crate) fn float_tensors(family: &str) -> BTreeMap<String, Tensor> {
    let values = |stored: &Stored| match stored.dtype.as_str() {
        "BF16" => {
            let wide = |half: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([half[0], half[1]])) << 16);
            stored.bytes.chunks_exact(2).map(wide).collect()
        }
        "F32" => stored.bytes.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect(),
        other => panic!("{other}"),
    };
    let all = stored(family).into_iter().filter(|(_, stored)| stored.dtype != "U8");
    all.map(|(name, of)| (name, Tensor { values: values(&of), shape: of.shape })).collect()
}

/// gpt-oss's experts as a GGUF has them: gate and up apart, and in each block the element 16 further on in the high half.
pub(crate) fn mxfp4_tensors() -> BTreeMap<String, (Vec<u64>, Vec<u8>)> {
    let all = stored("gpt_oss");
    let mut out = BTreeMap::new();
    for (name, blocks) in all.iter().filter(|(name, _)| name.ends_with("_blocks")) {
        let scales = &all[&name.replace("_blocks", "_scales")];
        let (layer, rest) = name.strip_prefix("model.layers.").unwrap().split_once('.').unwrap();
        let (n_experts, n_rows, per_row) = (blocks.shape[0], blocks.shape[1], blocks.shape[2]);
        let parts: &[(&str, usize, usize)] =
            if rest.contains("down") { &[("down", 0, 1)] } else { &[("gate", 0, 2), ("up", 1, 2)] };
        for (part, first, step) in parts {
            let mut bytes = Vec::new();
            for row in (0..(n_experts * n_rows) as usize).skip(*first).step_by(*step) {
                for block in row * per_row as usize..(row + 1) * per_row as usize {
                    let codes = &blocks.bytes[block * 16..][..16];
                    let code = |i: usize| if i.is_multiple_of(2) { codes[i / 2] & 15 } else { codes[i / 2] >> 4 };
                    bytes.push(scales.bytes[block]);
                    bytes.extend((0..16).map(|i| code(i) | code(i + 16) << 4));
                }
            }
            let shape = vec![n_experts, n_rows / *step as u64, per_row * 32];
            out.insert(format!("blk.{layer}.ffn_{part}_exps.weight"), (shape, bytes));
        }
    }
    out
}

/// A GGUF of gpt-oss: experts in MXFP4, all else in F32.
pub(crate) fn gpt_oss_gguf(keys: &BTreeMap<String, Value>, tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let floats = tensors.iter().map(|(name, tensor)| {
        let bytes: &[u8] = bytemuck::cast_slice(&tensor.values);
        (name.clone(), Format::F32, tensor.shape.clone(), bytes.to_vec())
    });
    let blocks = mxfp4_tensors().into_iter().map(|(name, (shape, bytes))| (name, Format::MXFP4, shape, bytes));
    let all: Vec<_> = floats.chain(blocks).collect();
    let new = |(name, format, shape, bytes): &(String, Format, Vec<u64>, Vec<u8>)| NewTensor {
        name: name.clone(),
        shape: shape.clone(),
        type_id: format.ggml_id().unwrap(),
        bytes: bytes.len() as u64,
    };
    let directory: Vec<NewTensor> = all.iter().map(new).collect();
    let keys: Vec<(&str, &Value)> = keys.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let mut file = gguf::head(keys.into_iter(), &directory).unwrap();
    for (.., bytes) in &all {
        file.extend(bytes);
        file.extend(gguf::padding(bytes.len() as u64));
    }
    file
}

/// Rows of heads whose halves turn together, so that neighbours do.
fn neighbours(tensor: &Tensor, heads: usize) -> Tensor {
    let (rows, n_in) = (tensor.shape[0] as usize, tensor.shape[1] as usize);
    let dim = rows / heads;
    let from = |row: usize| row / dim * dim + row % 2 * (dim / 2) + row % dim / 2;
    let values = (0..rows).flat_map(|row| tensor.values[from(row) * n_in..][..n_in].to_vec()).collect();
    Tensor { shape: tensor.shape.clone(), values }
}
