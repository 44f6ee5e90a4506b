//! The shape in the keys of a GGUF, or in a `config.json`, by one path.

use super::{IndexerShape, Shape};
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::gguf::Gguf;
use crate::model::grouped::read::{
    ATTENTION_FACTOR, BASE, EXPERT_HIDDEN, HIDDEN, MSCALE, MSCALE_ALL, magnitude, scaling, stretched,
};
use crate::model::grouped::{ExpertsShape, MOST_LAYERS, Rope, Scaling};
use crate::model::shape::config::{ConfigKeys, token};
use crate::model::shape::gguf::{ARCHITECTURE, GATING, GgufKeys, n_layers, n_vocab};
use crate::model::shape::keys::{self, Key, Keys, key};

pub(super) const KV_LORA: Key = key("attention.kv_lora_rank", &["kv_lora_rank"]);
pub(super) const DENSE_LAYERS: Key = key("leading_dense_block_count", &["first_k_dense_replace"]);
pub(super) const N_GROUPS: Key = key("expert_group_count", &["n_group"]);
pub(super) const N_KEPT: Key = key("expert_group_used_count", &["topk_group"]);
/// A tenth of `mscale_all_dim`.
pub(super) const YARN_LOG: Key = key("rope.scaling.yarn_log_multiplier", &[]);
pub(super) const KEY_DIM_PLAIN: Key = key("attention.key_length_mla", &[]);
pub(super) const VALUE_DIM_PLAIN: Key = key("attention.value_length_mla", &[]);
const TEMPERATURE: Key = key("attention.temperature_scale", &[]);
const NOPE_DIM: Key = key("", &["qk_nope_head_dim"]);
const SCORING: Key = key("", &["scoring_func"]);
const TOP_K: Key = key("", &["topk_method"]);

/// Architectures by their names in a GGUF and in a `config.json`.
const ARCHITECTURES: [(&str, &str); 4] = [
    ("deepseek2", "deepseek_v2"),
    ("deepseek2", "deepseek_v3"),
    ("deepseek2", "kimi_k2"),
    ("deepseek32", "deepseek_v32"),
];

/// What to do about a choice that no published model makes.
const ADVICE: &str = "Models that differ here are not supported.";

/// The name of an architecture in a GGUF, if it is one of ours; `name` as either kind of file has it.
#[must_use]
pub fn architecture(name: &str) -> Option<&'static str> {
    ARCHITECTURES.iter().find(|(gguf, config)| name == *gguf || name == *config).map(|(gguf, _)| *gguf)
}

/// Whether a `config.json` is that of one of these architectures.
#[must_use]
pub fn is_config(json: &str) -> bool {
    let keys = ConfigKeys::parse(json).ok();
    let name = keys.as_ref().and_then(|keys| keys.at("model_type")?.as_str().map(str::to_owned));
    name.is_some_and(|name| architecture(&name).is_some())
}

/// What the two kinds of file say each in their own way.
struct Rest {
    n_vocab: u32,
    n_layers: u32,
    nope_dim: u32,
    rope_dims: u32,
    value_dim: u32,
    experts: Option<ExpertsShape>,
    scaling: Scaling,
    yarn_m: f64,
    indexer: Option<IndexerShape>,
    bos: Option<u32>,
    eos: Option<u32>,
    notices: Vec<String>,
}

impl Shape {
    /// Reads and checks the shape of a GGUF.
    ///
    /// # Errors
    /// When a key is missing or makes no sense; the error names it.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let metadata = &gguf.metadata;
        let architecture = metadata.require_str(ARCHITECTURE)?;
        let keys = GgufKeys { metadata, architecture };
        if keys.number(&TEMPERATURE)?.is_some_and(|scale| scale != 0.0) {
            let expected = "no such key: attention whose temperature depends on the position";
            return Err(Error::file(keys.thing(&TEMPERATURE), "a scale").expected(expected).advice(ADVICE));
        }
        let n_layers = n_layers(&keys, &gguf.directory)? as u32;
        let rope_dims = keys.require(&keys::ROPE_DIMS)?;
        // Files that were made before April 2025 have the plain head's widths under the usual keys.
        let head_dim = keys.whole(&KEY_DIM_PLAIN)?.map_or_else(|| keys.require(&keys::HEAD_DIM), Ok)?;
        let value_dim = keys.whole(&VALUE_DIM_PLAIN)?.map_or_else(|| keys.require(&keys::VALUE_DIM), Ok)?;
        let mut notices = Vec::new();
        let (scaling, yarn_m) = gguf_scaling(&keys, &mut notices)?;
        let rest = Rest {
            n_vocab: n_vocab(&keys, &gguf.directory)?,
            n_layers,
            nope_dim: nope_dim(&keys, head_dim, rope_dims)?,
            rope_dims,
            value_dim,
            experts: gguf_experts(&keys, gguf, n_layers, &mut notices)?,
            scaling,
            yarn_m,
            indexer: (architecture == "deepseek32").then(|| indexer(&keys)).transpose()?,
            bos: metadata.get_id("tokenizer.ggml.bos_token_id")?,
            eos: metadata.get_id("tokenizer.ggml.eos_token_id")?,
            notices,
        };
        read(&keys, metadata.file(), rest)
    }

    /// Reads and checks the shape of a `config.json`, given as text.
    ///
    /// # Errors
    /// As [`Shape::from_gguf`].
    pub fn from_config(json: &str) -> Result<Self> {
        let keys = ConfigKeys::parse(json)?;
        keys.refuse_other("hidden_act", &"silu".into())?;
        keys.refuse_other("attention_bias", &false.into())?;
        keys.refuse_other("moe_layer_freq", &1.into())?;
        keys.refuse_other("rope_interleave", &true.into())?;
        let mut notices = Vec::new();
        let (scaling, yarn_m) = config_scaling(&keys, &mut notices)?;
        let n_layers = keys.require(&keys::N_LAYERS)?;
        let has_indexer = keys.at("model_type").and_then(serde_json::Value::as_str) == Some("deepseek_v32");
        let rest = Rest {
            n_vocab: keys.require(&keys::N_VOCAB)?,
            n_layers,
            nope_dim: keys.require(&NOPE_DIM)?,
            rope_dims: keys.require(&keys::ROPE_DIMS)?,
            value_dim: keys.require(&keys::VALUE_DIM)?,
            experts: config_experts(&keys, n_layers)?,
            scaling,
            yarn_m,
            indexer: has_indexer.then(|| indexer(&keys)).transpose()?,
            bos: token(&keys, &keys::BOS)?,
            eos: token(&keys, &keys::EOS)?,
            notices,
        };
        read(&keys, "config.json", rest)
    }
}

fn read(keys: &dyn Keys, file: &str, mut rest: Rest) -> Result<Shape> {
    let rope = Rope {
        n_dims: rest.rope_dims,
        halves: false,
        base: keys.number(&BASE)?.unwrap_or(10_000.0),
        scaling: rest.scaling,
        divisors: Vec::new(),
    };
    let context_length = keys.whole(&keys::CONTEXT)?.unwrap_or(2048);
    let context_length = stretched(keys, &rope.scaling, context_length, &mut rest.notices)?;
    // What is too wide saturates, and fails the check of the shape.
    let head_dim = f64::from(rest.nope_dim) + f64::from(rest.rope_dims);
    let shape = Shape {
        n_vocab: rest.n_vocab,
        n_embd: keys.require(&keys::N_EMBD)?,
        n_layers: rest.n_layers,
        n_heads: keys.require(&keys::N_HEADS)?,
        q_lora: keys.whole(&keys::Q_LORA)?.unwrap_or(0),
        kv_lora: keys.require(&KV_LORA)?,
        nope_dim: rest.nope_dim,
        value_dim: rest.value_dim,
        rope,
        scale: (rest.yarn_m * rest.yarn_m / head_dim.sqrt()) as f32,
        yarn_m: rest.yarn_m,
        n_hidden: keys.require(&HIDDEN)?,
        experts: rest.experts,
        indexer: rest.indexer,
        norm_eps: keys.number(&keys::NORM_EPS)?.unwrap_or(1e-6) as f32,
        context_length,
        bos: rest.bos,
        eos: rest.eos,
        notices: rest.notices,
    };
    shape.check(file)?;
    Ok(shape)
}

fn nope_dim(keys: &GgufKeys<'_>, head_dim: u32, rope_dims: u32) -> Result<u32> {
    head_dim.checked_sub(rope_dims).ok_or_else(|| {
        Error::file(keys.thing(&keys::ROPE_DIMS), rope_dims.to_string())
            .expected(format!("at most {head_dim}, the width of a head"))
    })
}

/// The indexer; the defaults are those of transformers, which are V3.2's.
fn indexer(keys: &dyn Keys) -> Result<IndexerShape> {
    let or = |key: &Key, default: u32| Ok::<_, Error>(keys.whole(key)?.unwrap_or(default));
    Ok(IndexerShape {
        n_heads: or(&keys::INDEX_HEADS, 64)?,
        head_dim: or(&keys::INDEX_HEAD_DIM, 128)?,
        top_k: or(&keys::INDEX_TOP_K, 2048)?,
    })
}

/// The first layers have no experts, all others do.
fn expert_layers(n_layers: u32, n_dense: u32) -> Vec<bool> {
    (0..n_layers.min(MOST_LAYERS + 1)).map(|layer| layer >= n_dense).collect()
}

/// The width of `n` experts together, or what fails the check of the shape.
fn together(n: u32, n_hidden: u32) -> u32 {
    n.saturating_mul(n_hidden)
}

fn gguf_experts(
    keys: &GgufKeys<'_>,
    gguf: &Gguf,
    n_layers: u32,
    notices: &mut Vec<String>,
) -> Result<Option<ExpertsShape>> {
    let n_experts = keys.whole(&keys::N_EXPERTS)?.unwrap_or(0);
    let n_dense = keys.whole(&DENSE_LAYERS)?.unwrap_or(0);
    if n_experts == 0 || n_dense >= n_layers {
        return Ok(None);
    }
    // Files of V2 have no such key.
    let is_sigmoid = match keys.whole(&GATING)?.unwrap_or(1) {
        0 | 1 => false,
        2 => true,
        other => {
            return Err(Error::file(keys.thing(&GATING), other.to_string())
                .expected("1 (softmax) or 2 (sigmoid)")
                .advice(ADVICE));
        }
    };
    let told = keys.whole(&N_GROUPS)?.zip(keys.whole(&N_KEPT)?);
    let known = match (n_experts, n_layers) {
        (256, 61) => Some((8, 4)),
        (160, 60) => Some((8, 3)),
        _ => None,
    };
    if let (None, Some((n_groups, n_kept))) = (told, known) {
        notices.push(format!(
            "the file does not say that experts are chosen from {n_kept} of {n_groups} groups, as DeepSeek does: \
             taken so"
        ));
    }
    // Zero groups are as good as one.
    let (n_groups, n_kept) = told.or(known).filter(|(n_groups, _)| *n_groups > 1).unwrap_or((1, 1));
    let n_hidden = keys.require(&EXPERT_HIDDEN)?;
    let has_bias = |layer: u32| gguf.directory.get(&format!("blk.{layer}.exp_probs_b.bias")).is_some();
    Ok(Some(ExpertsShape {
        shared_hidden: together(keys.whole(&keys::N_SHARED)?.unwrap_or(0), n_hidden),
        is_sigmoid,
        has_bias: has_bias(n_dense),
        n_groups,
        n_kept,
        scale: keys.number(&keys::ROUTED_SCALE)?.filter(|scale| *scale != 0.0).unwrap_or(1.0) as f32,
        ..ExpertsShape::plain(
            n_experts,
            keys.require(&keys::N_USED)?,
            n_hidden,
            keys.flag(&keys::WEIGHTS_NORM)?.unwrap_or(false),
            expert_layers(n_layers, n_dense),
        )
    }))
}

/// The defaults are those of transformers for the architecture.
fn config_experts(keys: &ConfigKeys, n_layers: u32) -> Result<Option<ExpertsShape>> {
    let is_v2 = keys.at("model_type").and_then(serde_json::Value::as_str) == Some("deepseek_v2");
    // A file that says `null` means none.
    let or = |key: &Key, default: u32| match keys.whole(key)? {
        None if key.config.iter().any(|name| keys.is_null(name)) => Ok(0),
        told => Ok::<_, Error>(told.unwrap_or(default)),
    };
    let n_experts = or(&keys::N_EXPERTS, if is_v2 { 64 } else { 256 })?;
    let n_dense = keys.whole(&DENSE_LAYERS)?.unwrap_or(if is_v2 { 0 } else { 3 });
    if n_experts == 0 || n_dense >= n_layers {
        return Ok(None);
    }
    let wrong = |key: &Key, found: &str, expected: &str| {
        Err(Error::file(keys.thing(key), shown(found)).expected(expected).advice(ADVICE))
    };
    let is_sigmoid = match keys.text(&SCORING)?.as_deref() {
        None => !is_v2,
        Some("softmax") => false,
        Some("sigmoid") => true,
        Some(other) => return wrong(&SCORING, other, "\"softmax\" or \"sigmoid\""),
    };
    let usual = if is_v2 { "greedy" } else { "noaux_tc" };
    let method = keys.text(&TOP_K)?.unwrap_or_else(|| usual.to_owned());
    let (has_bias, has_groups) = match (method.as_str(), is_sigmoid) {
        ("greedy", _) => (false, false),
        ("group_limited_greedy", false) => (false, true),
        ("noaux_tc", true) => (true, true),
        (other, _) => {
            let expected = "\"greedy\", \"group_limited_greedy\" with a softmax or \"noaux_tc\" with sigmoids";
            return wrong(&TOP_K, other, expected);
        }
    };
    let groups = |key: &Key, default| Ok::<_, Error>(keys.whole(key)?.unwrap_or(default));
    let (n_groups, n_kept) = match (has_groups, is_v2) {
        (false, _) => (1, 1),
        (true, true) => (groups(&N_GROUPS, 1)?, groups(&N_KEPT, 1)?),
        (true, false) => (groups(&N_GROUPS, 8)?, groups(&N_KEPT, 4)?),
    };
    let n_hidden = keys.require(&EXPERT_HIDDEN)?;
    let n_shared = or(&keys::N_SHARED, if is_v2 { 2 } else { 1 })?;
    Ok(Some(ExpertsShape {
        shared_hidden: together(n_shared, n_hidden),
        is_sigmoid,
        has_bias,
        n_groups,
        n_kept,
        scale: keys.number(&keys::ROUTED_SCALE)?.unwrap_or(if is_v2 { 1.0 } else { 2.5 }) as f32,
        ..ExpertsShape::plain(
            n_experts,
            keys.require(&keys::N_USED)?,
            n_hidden,
            keys.flag(&keys::WEIGHTS_NORM)?.unwrap_or(!is_v2),
            expert_layers(n_layers, n_dense),
        )
    }))
}

/// The scaling, and what scores are scaled by beside. As llama.cpp has it: what both are multiplied by, `attn_factor`, and a
/// logarithm for scores alone; where that is 0, YaRN's usual size for both.
fn gguf_scaling(keys: &GgufKeys<'_>, notices: &mut Vec<String>) -> Result<(Scaling, f64)> {
    let context = keys.require(&keys::CONTEXT)?;
    let yarn = match scaling(keys, true, context, notices)? {
        Scaling::Yarn(yarn, _) => yarn,
        other => return Ok((other, 1.0)),
    };
    let told = keys.number(&YARN_LOG)?;
    if told.is_none() && yarn.factor > 1.0 {
        notices.push(format!(
            "{}.{} is missing: taken as 0.1, as in DeepSeek's models but V2-Lite",
            keys.architecture, YARN_LOG.gguf
        ));
    }
    let (log, factor) = (told.unwrap_or(0.1), keys.number(&ATTENTION_FACTOR)?.unwrap_or(1.0));
    let (amplitude, m) = match log == 0.0 {
        true => (factor * magnitude(1.0, yarn.factor), factor * magnitude(1.0, yarn.factor)),
        false => (factor, factor * magnitude(10.0 * log, yarn.factor)),
    };
    Ok((Scaling::Yarn(yarn, amplitude as f32), m))
}

fn config_scaling(keys: &ConfigKeys, notices: &mut Vec<String>) -> Result<(Scaling, f64)> {
    let context = keys.require(&keys::CONTEXT)?;
    let (mscale, all) = (keys.number(&MSCALE)?.unwrap_or(0.0), keys.number(&MSCALE_ALL)?.unwrap_or(0.0));
    let yarn = match scaling(keys, false, context, notices)? {
        Scaling::Yarn(yarn, _) => yarn,
        // Scores are scaled for these, too.
        other @ (Scaling::Linear { factor } | Scaling::Llama3 { factor, .. }) => {
            return Ok((other, magnitude(all, factor)));
        }
        Scaling::None => return Ok((Scaling::None, 1.0)),
    };
    let of = |mscale| magnitude(mscale, yarn.factor);
    let usual = if mscale != 0.0 && all != 0.0 { of(mscale) / of(all) } else { of(1.0) };
    let amplitude = keys.number(&ATTENTION_FACTOR)?.unwrap_or(usual);
    Ok((Scaling::Yarn(yarn, amplitude as f32), of(all)))
}
