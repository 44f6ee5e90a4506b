//! The shape in the keys of a GGUF, or in a `config.json`, by one path.

use super::{ExpertsShape, Rope, Scaling, Shape};
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::gguf::Gguf;
use crate::model::shape::config::{ConfigKeys, thing, token};
use crate::model::shape::gguf::{ARCHITECTURE, GgufKeys, n_vocab};
use crate::model::shape::keys::{self, Key, Keys, key};
use crate::model::shape::{Shape as V4, Yarn};

pub(in crate::model) const HIDDEN: Key = key("feed_forward_length", &["intermediate_size"]);
pub(in crate::model) const EXPERT_HIDDEN: Key = key("expert_feed_forward_length", &["moe_intermediate_size"]);
pub(in crate::model) const N_EXPERTS: Key = key("expert_count", &["num_experts", "num_local_experts"]);
pub(in crate::model) const BASE: Key = key("rope.freq_base", &["rope_parameters.rope_theta", "rope_theta"]);
pub(super) const ROPE_DIMS: Key = key("rope.dimension_count", &[]);
pub(in crate::model) const PARTIAL: Key = key("", &["partial_rotary_factor", "rope_parameters.partial_rotary_factor"]);
const LOW: Key = key("", &["rope_parameters.low_freq_factor", "rope_scaling.low_freq_factor"]);
const HIGH: Key = key("", &["rope_parameters.high_freq_factor", "rope_scaling.high_freq_factor"]);
pub(in crate::model) const ATTENTION_FACTOR: Key =
    key("rope.scaling.attn_factor", &["rope_parameters.attention_factor", "rope_scaling.attention_factor"]);
const ATTENTION_BIAS: Key = key("", &["attention_bias"]);
pub(in crate::model) const TIED: Key = key("", &["tie_word_embeddings"]);
const SPARSE_STEP: Key = key("", &["decoder_sparse_step"]);
/// What files of 2023 have in place of type and factor.
const SCALE_LINEAR: Key = key("rope.scale_linear", &[]);
pub(in crate::model) const TYPE: Key =
    key("rope.scaling.type", &["rope_parameters.rope_type", "rope_scaling.rope_type", "rope_scaling.type"]);

/// Architectures by their names in a GGUF and in a `config.json`.
const ARCHITECTURES: [(&str, &str); 4] =
    [("llama", "llama"), ("qwen2", "qwen2"), ("qwen3", "qwen3"), ("qwen3moe", "qwen3_moe")];

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
    rope_dims: Option<u32>,
    halves: bool,
    is_gguf: bool,
    /// Whether queries, keys and values have a bias though the architecture does not say so.
    has_bias: bool,
    has_output_bias: bool,
    is_tied: bool,
    defaults: Defaults,
    divisors: Vec<f32>,
    /// Whether each layer has experts; empty for all of them.
    expert_layers: Vec<bool>,
    bos: Option<u32>,
    eos: Option<u32>,
}

impl Shape {
    /// Reads and checks the shape of a GGUF; `divisors` is its tensor `rope_freqs.weight`, empty where there is none.
    ///
    /// # Errors
    /// When a key is missing or makes no sense; the error names it.
    pub fn from_gguf(gguf: &Gguf, divisors: Vec<f32>) -> Result<Self> {
        let metadata = &gguf.metadata;
        let name = metadata.require_str(ARCHITECTURE)?;
        let keys = GgufKeys { metadata, architecture: name };
        let architecture = known(&format!("{}: key {ARCHITECTURE:?}", metadata.file()), name)?;
        let n_layers = keys.require(&keys::N_LAYERS)?.min(super::MOST_LAYERS + 1);
        let has_router = |layer| gguf.directory.get(&format!("blk.{layer}.ffn_gate_inp.weight")).is_some();
        let rest = Rest {
            n_vocab: n_vocab(&keys, &gguf.directory)?,
            rope_dims: keys.whole(&ROPE_DIMS)?,
            halves: architecture != "llama",
            is_gguf: true,
            // Files of any of these architectures may have one.
            has_bias: gguf.directory.get("blk.0.attn_q.bias").is_some(),
            has_output_bias: gguf.directory.get("blk.0.attn_output.bias").is_some(),
            // A head that is there is used.
            is_tied: false,
            defaults: Defaults { context: 2048, normed: true, ..Defaults::default() },
            divisors,
            expert_layers: (0..n_layers).map(has_router).collect(),
            bos: metadata.get_u32("tokenizer.ggml.bos_token_id")?,
            eos: metadata.get_u32("tokenizer.ggml.eos_token_id")?,
        };
        read(&keys, architecture, metadata.file(), rest, &mut Vec::new())
    }

    /// Reads and checks the shape of a `config.json`, given as text.
    ///
    /// # Errors
    /// As [`Shape::from_gguf`].
    pub fn from_config(json: &str) -> Result<Self> {
        Self::from_config_with(json, &mut Vec::new())
    }

    /// As [`Shape::from_config`]; adds to `notices` what a person should know of how it was read.
    ///
    /// # Errors
    /// As [`Shape::from_gguf`].
    pub fn from_config_with(json: &str, notices: &mut Vec<String>) -> Result<Self> {
        let keys = ConfigKeys::parse(json)?;
        let name = keys.at("model_type").and_then(serde_json::Value::as_str).unwrap_or("nothing");
        let architecture = known(&thing("model_type"), name)?;
        keys.refuse_other("hidden_act", &"silu".into())?;
        keys.refuse_other("mlp_bias", &false.into())?;
        keys.refuse_other("use_sliding_window", &false.into())?;
        let told_bias = keys.flag(&ATTENTION_BIAS)?.unwrap_or(false);
        let head_dim = keys.whole(&keys::HEAD_DIM)?;
        let partial = keys.number(&PARTIAL)?;
        // What does not fit saturates, and fails the check of the shape.
        let rope_dims = head_dim.zip(partial).map(|(head_dim, partial)| (f64::from(head_dim) * partial) as u32);
        let rest = Rest {
            n_vocab: keys.require(&keys::N_VOCAB)?,
            rope_dims,
            halves: true,
            is_gguf: false,
            // Qwen2 has biases without a word on them.
            has_bias: told_bias,
            has_output_bias: told_bias && architecture != "qwen2",
            is_tied: keys.flag(&TIED)?.unwrap_or(false),
            defaults: Defaults::of(architecture),
            divisors: Vec::new(),
            expert_layers: expert_layers(&keys)?,
            bos: token(&keys, &keys::BOS)?,
            eos: token(&keys, &keys::EOS)?,
        };
        read(&keys, architecture, "config.json", rest, notices)
    }
}

fn known(thing: &str, name: &str) -> Result<&'static str> {
    architecture(name).ok_or_else(|| {
        let names: Vec<&str> = ARCHITECTURES.iter().map(|(gguf, _)| *gguf).collect();
        Error::file(thing, shown(name))
            .expected(format!("deepseek4, deepseek2, {}", names.join(", ")))
            .advice("Take a model of one of these architectures.")
    })
}

/// Which layers have experts: every `decoder_sparse_step`-th, but those of `mlp_only_layers`.
fn expert_layers(keys: &ConfigKeys) -> Result<Vec<bool>> {
    let n_layers = keys.require(&keys::N_LAYERS)?.min(super::MOST_LAYERS + 1);
    let step = keys.whole(&SPARSE_STEP)?.unwrap_or(1).max(1);
    let dense = keys.at("mlp_only_layers").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    let is_dense = |layer: u32| dense.iter().any(|value| value.as_u64() == Some(u64::from(layer)));
    Ok((0..n_layers).map(|layer| (layer + 1).is_multiple_of(step) && !is_dense(layer)).collect())
}

/// What a file means by leaving a setting out. Of a `config.json` it is what transformers' configuration of the
/// architecture has: the file is written without what is as usual.
#[derive(Default)]
struct Defaults {
    head_dim: Option<u32>,
    kv_heads: Option<u32>,
    context: u32,
    n_experts: Option<u32>,
    n_used: Option<u32>,
    expert_hidden: Option<u32>,
    normed: bool,
    bos: Option<u32>,
    eos: Option<u32>,
}

impl Defaults {
    /// Of transformers 5.23.
    fn of(architecture: &str) -> Self {
        match architecture {
            "llama" => Self { context: 2048, bos: Some(1), eos: Some(2), ..Self::default() },
            "qwen2" => Self { context: 32_768, kv_heads: Some(32), ..Self::default() },
            "qwen3" => Self { context: 32_768, kv_heads: Some(32), head_dim: Some(128), ..Self::default() },
            _ => Self {
                context: 32_768,
                kv_heads: Some(4),
                n_experts: Some(128),
                n_used: Some(8),
                expert_hidden: Some(768),
                ..Self::default()
            },
        }
    }
}

fn read(keys: &dyn Keys, architecture: &str, file: &str, rest: Rest, notices: &mut Vec<String>) -> Result<Shape> {
    let defaults = &rest.defaults;
    let (n_embd, n_heads) = (keys.require(&keys::N_EMBD)?, keys.require(&keys::N_HEADS)?);
    // A file that leaves the head's width out means an equal part of the model's.
    let equal_part = n_embd / n_heads.max(1);
    let head_dim = keys.whole(&keys::HEAD_DIM)?.unwrap_or(defaults.head_dim.unwrap_or(equal_part));
    match keys.whole(&keys::VALUE_DIM)? {
        Some(width) if width != head_dim => {
            return Err(Error::file(keys.thing(&keys::VALUE_DIM), width.to_string())
                .expected(format!("{head_dim}, as wide as the keys")));
        }
        _ => {}
    }
    let context_length = keys.whole(&keys::CONTEXT)?.unwrap_or(defaults.context);
    let is_moe = architecture == "qwen3moe";
    let experts = is_moe.then(|| read_experts(keys, rest.expert_layers, defaults)).transpose()?;
    let shape = Shape {
        architecture: architecture.to_owned(),
        n_vocab: rest.n_vocab,
        n_embd,
        n_layers: keys.require(&keys::N_LAYERS)?,
        n_heads,
        n_kv_heads: keys.whole(&keys::N_KV_HEADS)?.unwrap_or(defaults.kv_heads.unwrap_or(n_heads)),
        head_dim,
        n_hidden: keys.require(&HIDDEN)?,
        experts,
        has_bias: architecture == "qwen2" || rest.has_bias,
        has_output_bias: rest.has_output_bias,
        has_head_norm: matches!(architecture, "qwen3" | "qwen3moe"),
        rope: Rope {
            n_dims: rest.rope_dims.unwrap_or(head_dim),
            halves: rest.halves,
            base: keys.number(&BASE)?.unwrap_or(10_000.0),
            scaling: scaling(keys, rest.is_gguf, context_length, notices)?,
            divisors: rest.divisors,
        },
        norm_eps: keys.number(&keys::NORM_EPS)?.unwrap_or(1e-6) as f32,
        context_length,
        is_tied: rest.is_tied,
        bos: rest.bos.or(defaults.bos),
        eos: rest.eos.or(defaults.eos),
    };
    shape.check(file)?;
    Ok(shape)
}

fn read_experts(keys: &dyn Keys, layers: Vec<bool>, defaults: &Defaults) -> Result<ExpertsShape> {
    let or = |key: &Key, default: Option<u32>| match (keys.whole(key)?, default) {
        (Some(told), _) => Ok(told),
        (None, default) => default.ok_or_else(|| keys.missing(key)),
    };
    let n_hidden = or(&EXPERT_HIDDEN, defaults.expert_hidden).or_else(|_| keys.require(&HIDDEN))?;
    let normed = keys.flag(&keys::WEIGHTS_NORM)?.unwrap_or(defaults.normed);
    let (n_experts, n_used) = (or(&N_EXPERTS, defaults.n_experts)?, or(&keys::N_USED, defaults.n_used)?);
    Ok(ExpertsShape::plain(n_experts, n_used, n_hidden, normed, layers))
}

/// The scaling of the rotation. transformers refuses a kind of scaling without its factor; it ignores a factor without a
/// kind, and takes the model's context where the original one is left out, as llama.cpp does.
pub(in crate::model) fn scaling(
    keys: &dyn Keys,
    is_gguf: bool,
    context: u32,
    notices: &mut Vec<String>,
) -> Result<Scaling> {
    let told = keys.number(&keys::YARN_FACTOR)?;
    let factor = || match told {
        None if !is_gguf => Err(keys.missing(&keys::YARN_FACTOR)),
        told => Ok(told.unwrap_or(1.0)),
    };
    let mut original = || -> Result<u32> {
        if let Some(original) = keys.whole(&keys::YARN_ORIGINAL)? {
            return Ok(original);
        }
        let thing = keys.thing(&keys::YARN_ORIGINAL);
        notices.push(format!("{thing} is missing: the rotation is scaled from the whole context, {context}"));
        Ok(context)
    };
    Ok(match keys.text(&TYPE)?.as_deref() {
        // llama.cpp takes a factor without a type for a linear one.
        None if is_gguf => {
            let factor =
                keys.number(&keys::YARN_FACTOR)?.map_or_else(|| keys.number(&SCALE_LINEAR), |n| Ok(Some(n)))?;
            factor.filter(|factor| *factor != 0.0).map_or(Scaling::None, |factor| Scaling::Linear { factor })
        }
        kind @ (None | Some("none" | "default")) => {
            if let (None, Some(factor)) = (kind, told) {
                let thing = keys.thing(&keys::YARN_FACTOR);
                notices.push(format!("{thing} is {factor}, and no rope_type says what for: it is ignored"));
            }
            Scaling::None
        }
        Some("linear") => Scaling::Linear { factor: factor()? },
        Some("llama3") => Scaling::Llama3 {
            factor: factor()?,
            low: keys.number(&LOW)?.unwrap_or(1.0),
            high: keys.number(&HIGH)?.unwrap_or(4.0),
            original: original()?,
        },
        Some("yarn") => {
            let default = V4::v4_flash().yarn;
            let yarn = Yarn {
                factor: factor()?,
                original: original()?,
                beta_fast: keys.number(&keys::YARN_FAST)?.unwrap_or(default.beta_fast),
                beta_slow: keys.number(&keys::YARN_SLOW)?.unwrap_or(default.beta_slow),
            };
            // A GGUF's factor comes on top of the usual amplitude, transformers' stands in its place (spec 12.4).
            let usual = 1.0 + 0.1 * yarn.factor.ln();
            let told = keys.number(&ATTENTION_FACTOR)?;
            let scale = if is_gguf { told.unwrap_or(1.0) * usual } else { told.unwrap_or(usual) };
            Scaling::Yarn(yarn, scale as f32)
        }
        Some(other) => {
            return Err(Error::file(keys.thing(&TYPE), shown(other))
                .expected("\"none\", \"linear\", \"llama3\" or \"yarn\"")
                .advice("This kind of scaling is not supported."));
        }
    })
}
