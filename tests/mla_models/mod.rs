//! The small models of `tests/mla.rs` as files: safetensors as they are, in FP8, and as GGUFs of both forms, by the keys
//! and names of llama.cpp's converter.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use crate::support::{fixture, memory};
use half::bf16;
use headstart::format::gguf::{self, NewTensor, Value};
use headstart::format::{Format, quant, safetensors};
use pollster::block_on;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// A tensor: its dims, outermost first, and its values.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<u64>,
    pub(crate) values: Vec<f32>,
}

pub(crate) fn tensors(path: &str) -> BTreeMap<String, Tensor> {
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

pub(crate) fn config(family: &str) -> Json {
    let text = std::fs::read_to_string(fixture(&format!("families/{family}/config.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// How a GGUF says what takes latents to keys and values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// `attn_k_b`, transposed, and `attn_v_b`.
    Split,
    /// `attn_kv_b`, as before April 2025.
    Whole,
}

/// The name of the architecture in a GGUF.
pub(crate) fn architecture(config: &Json) -> &'static str {
    if config["model_type"] == "deepseek_v32" { "deepseek32" } else { "deepseek2" }
}

/// The keys that llama.cpp's converter writes for a config.
pub(crate) fn gguf_keys(config: &Json, form: Form) -> BTreeMap<String, Value> {
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
    let name = architecture(config);
    if name == "deepseek32" {
        keys.extend([
            ("attention.indexer.head_count", n("index_n_heads").into()),
            ("attention.indexer.key_length", n("index_head_dim").into()),
            ("attention.indexer.top_k", n("index_topk").into()),
        ]);
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
        keys.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect();
    // The original length is a whole number.
    let original = u32::try_from(yarn["original_max_position_embeddings"].as_u64().unwrap()).unwrap();
    keys.insert(format!("{name}.rope.scaling.original_context_length"), original.into());
    keys.insert("general.architecture".to_owned(), name.into());
    keys.insert("tokenizer.ggml.model".to_owned(), "no_vocab".into());
    keys
}

const NAMES: [(&str, &str); 22] = [
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
    ("self_attn.indexer.wq_b", "indexer.attn_q_b"),
    ("self_attn.indexer.wk", "indexer.attn_k"),
    ("self_attn.indexer.k_norm", "indexer.k_norm"),
    ("self_attn.indexer.weights_proj", "indexer.proj"),
];

/// The tensors of a family under a GGUF's names.
pub(crate) fn gguf_tensors(family: &str, config: &Json, form: Form) -> BTreeMap<String, Tensor> {
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
pub(crate) fn gguf_bytes(keys: &BTreeMap<String, Value>, tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
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

/// The value of a byte of FP8 (E4M3): 448 at most, and no infinities.
fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let size = if exponent == 0 { mantissa / 512.0 } else { (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7) };
    if byte < 128 { size } else { -size }
}

/// A matrix in bytes of FP8, and for each block of so many rows and columns what they are multiplied by (of V3 and R1 as they are
/// published, 128 of both); and the values that these stand for.
pub(crate) fn in_fp8(tensor: &Tensor, [rows, columns]: [usize; 2]) -> (Vec<u8>, Vec<f32>, Tensor) {
    let (n_rows, n_in) = (tensor.shape[0] as usize, tensor.shape[1] as usize);
    let blocks = n_in.div_ceil(columns);
    let mut scales = vec![0.0f32; n_rows.div_ceil(rows) * blocks];
    let block_of = |i: usize| i / n_in / rows * blocks + i % n_in / columns;
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

/// A matrix in integers, of a row so many with a scale in BF16, as compressed-tensors has them: two in a byte with 8 added, or in
/// bytes; the scales; and the values that these stand for.
pub(crate) fn in_integers(tensor: &Tensor, bits: u32, run: usize) -> (Vec<u8>, Vec<u8>, Tensor) {
    let n_in = tensor.shape[1] as usize;
    let most = (1i32 << (bits - 1)) - 1;
    let (mut numbers, mut scales, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for row in tensor.values.chunks(n_in) {
        for run in row.chunks(run) {
            let largest = run.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let scale = bf16::from_f32(largest / most as f32);
            scales.extend(scale.to_le_bytes());
            let of_run = run.iter().map(|value| ((value / scale.to_f32()).round() as i32).clamp(-most - 1, most));
            values.extend(of_run.clone().map(|number| number as f32 * scale.to_f32()));
            numbers.extend(of_run);
        }
    }
    let bytes = match bits {
        4 => numbers.chunks(2).map(|pair| ((pair[0] + 8) | ((pair[1] + 8) << 4)) as u8).collect(),
        _ => numbers.iter().map(|number| *number as u8).collect(),
    };
    (bytes, scales, Tensor { shape: tensor.shape.clone(), values })
}

/// A matrix in NVFP4: two numbers in a byte, a scale in FP8 for each 16, and one for all, by which the greatest scale is 448; and the
/// values that these stand for.
pub(crate) fn in_nvfp4(tensor: &Tensor) -> (Vec<u8>, Vec<u8>, f32, Tensor) {
    const SIZES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let size = |values: &[f32]| values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let of_all = size(&tensor.values) / (6.0 * 448.0);
    let scales_of_fp8 = (0..127u8).map(|byte| (byte, e4m3(byte)));
    let (mut codes, mut scales, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for group in tensor.values.chunks(16) {
        let wanted = size(group) / 6.0 / of_all;
        let off = |number: f32| (number - wanted).abs();
        let (byte, scale) = scales_of_fp8.clone().min_by(|a, b| off(a.1).total_cmp(&off(b.1))).unwrap();
        scales.push(byte);
        for value in group {
            let off = |code: &usize| (SIZES[*code] * scale * of_all - value.abs()).abs();
            let code = (0..8).min_by(|a, b| off(a).total_cmp(&off(b))).unwrap();
            codes.push(code as u8 | u8::from(*value < 0.0) << 3);
            values.push(SIZES[code] * scale * of_all * value.signum());
        }
    }
    let bytes = codes.chunks(2).map(|pair| pair[0] | pair[1] << 4).collect();
    (bytes, scales, of_all, Tensor { shape: tensor.shape.clone(), values })
}

/// Safetensors of tensors with their types and bytes.
pub(crate) fn safetensors_bytes(tensors: &[(String, &str, Vec<u64>, Vec<u8>)]) -> Vec<u8> {
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
