//! The shape in the keys of a GGUF, or in a `config.json`, by one path. A checkpoint that also sees pictures has the settings
//! of its texts under `text_config`.

use super::{NetShape, Shape};
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::gguf::Gguf;
use crate::model::grouped::read::{BASE, EXPERT_HIDDEN, HIDDEN, N_EXPERTS, PARTIAL, TIED, scaling, stretched};
use crate::model::grouped::{ExpertsShape, MOST_LAYERS, Rope, Scaling};
use crate::model::shape::config::{ConfigKeys, token};
use crate::model::shape::gguf::{ARCHITECTURE, GgufKeys, n_layers, n_vocab};
use crate::model::shape::keys::{self, Key, Keys, key};

pub(super) const INTERVAL: Key = key("full_attention_interval", &["full_attention_interval"]);
pub(super) const N_TAPS: Key = key("ssm.conv_kernel", &["linear_conv_kernel_dim"]);
pub(super) const KEY_DIM: Key = key("ssm.state_size", &["linear_key_head_dim"]);
pub(super) const KEY_HEADS: Key = key("ssm.group_count", &["linear_num_key_heads"]);
pub(super) const VALUE_HEADS: Key = key("ssm.time_step_rank", &["linear_num_value_heads"]);
pub(super) const VALUE_WIDTH: Key = key("ssm.inner_size", &[]);
const VALUE_DIM: Key = key("", &["linear_value_head_dim"]);
pub(super) const SHARED_HIDDEN: Key = key("expert_shared_feed_forward_length", &["shared_expert_intermediate_size"]);
pub(super) const ROPE_DIMS: Key = key("rope.dimension_count", &[]);
pub(super) const RECURRENT: Key = key("attention.recurrent_layers", &[]);
const LAYER_TYPES: &str = "layer_types";

/// Architectures by their names in a GGUF and in a `config.json`, the latter with pictures and without.
const ARCHITECTURES: [(&str, [&str; 2]); 2] =
    [("qwen35", ["qwen3_5", "qwen3_5_text"]), ("qwen35moe", ["qwen3_5_moe", "qwen3_5_moe_text"])];

/// What to do about a choice that no published model makes.
const ADVICE: &str = "Models that differ here are not supported.";

/// The name of an architecture in a GGUF, if it is one of ours; `name` as either kind of file has it.
#[must_use]
pub fn architecture(name: &str) -> Option<&'static str> {
    ARCHITECTURES.iter().find(|(gguf, config)| name == *gguf || config.contains(&name)).map(|(gguf, _)| *gguf)
}

/// Whether a `config.json` is that of one of these architectures.
#[must_use]
pub fn is_config(json: &str) -> bool {
    ConfigKeys::parse(json).is_ok_and(|keys| of_config(&keys).is_some())
}

fn of_config(keys: &ConfigKeys) -> Option<&'static str> {
    architecture(keys.at("model_type")?.as_str()?)
}

/// What the two kinds of file say each in their own way, and what transformers takes where a `config.json` says nothing.
struct Rest {
    architecture: &'static str,
    is_gguf: bool,
    n_vocab: u32,
    attends: Vec<bool>,
    n_kv_heads: u32,
    head_dim: u32,
    rope_dims: u32,
    scaling: Scaling,
    net: NetShape,
    experts: Option<ExpertsShape>,
    n_hidden: u32,
    context_length: u32,
    is_tied: bool,
    bos: Option<u32>,
    eos: Option<u32>,
}

impl Shape {
    /// Reads and checks the shape of a GGUF.
    ///
    /// # Errors
    /// When a key is missing or makes no sense; the error names it.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let metadata = &gguf.metadata;
        let name = metadata.require_str(ARCHITECTURE)?;
        let architecture = architecture(name).ok_or_else(|| {
            Error::file(format!("{}: key {ARCHITECTURE:?}", metadata.file()), shown(name)).expected("qwen35, qwen35moe")
        })?;
        let keys = GgufKeys { metadata, architecture };
        let n_layers = n_layers(&keys, &gguf.directory)?;
        let head_dim = keys.require(&keys::HEAD_DIM)?;
        let value_dim = keys.whole(&keys::VALUE_DIM)?.unwrap_or(head_dim);
        if value_dim != head_dim {
            return Err(Error::file(keys.thing(&keys::VALUE_DIM), value_dim.to_string())
                .expected(format!("{head_dim}, as wide as the keys")));
        }
        let context_length = keys.require(&keys::CONTEXT)?;
        let scaling = scaling(&keys, true, context_length, &mut Vec::new())?;
        let context_length = stretched(&keys, &scaling, context_length, &mut Vec::new())?;
        let experts = match architecture {
            "qwen35moe" => Some(read_experts(&keys, n_layers, None)?),
            _ => None,
        };
        let rest = Rest {
            architecture,
            is_gguf: true,
            n_vocab: n_vocab(&keys, &gguf.directory)?,
            attends: gguf_layers(&keys, n_layers)?,
            n_kv_heads: keys.require(&keys::N_KV_HEADS)?,
            head_dim,
            rope_dims: keys.require(&ROPE_DIMS)?,
            scaling,
            net: gguf_net(&keys)?,
            n_hidden: n_hidden(&keys, experts.as_ref())?,
            experts,
            context_length,
            // A head that is there is used.
            is_tied: false,
            bos: metadata.get_id("tokenizer.ggml.bos_token_id")?,
            eos: metadata.get_id("tokenizer.ggml.eos_token_id")?,
        };
        read(&keys, metadata.file(), rest)
    }

    /// Reads and checks the shape of a `config.json`, given as text; adds to `notices` what a person should know of how it
    /// was read.
    ///
    /// # Errors
    /// As [`Shape::from_gguf`].
    pub fn from_config(json: &str, notices: &mut Vec<String>) -> Result<Self> {
        let whole = ConfigKeys::parse(json)?;
        let architecture = of_config(&whole).ok_or_else(|| {
            Error::file("config.json: key \"model_type\"", "another architecture").expected("qwen3_5, qwen3_5_moe")
        })?;
        let is_tied = whole.flag(&TIED)?;
        let keys = whole.of_texts();
        keys.refuse_other("hidden_act", &"silu".into())?;
        keys.refuse_other("attention_bias", &false.into())?;
        keys.refuse_other("attn_output_gate", &true.into())?;
        let n_layers = keys.require(&keys::N_LAYERS)?;
        let or = |key: &Key, default: u32| Ok::<_, Error>(keys.whole(key)?.unwrap_or(default));
        let is_moe = architecture == "qwen35moe";
        let head_dim = or(&keys::HEAD_DIM, 256)?;
        let context_length = or(&keys::CONTEXT, 32_768)?;
        let scaling = scaling(&keys, false, context_length, notices)?;
        let context_length = stretched(&keys, &scaling, context_length, notices)?;
        let experts = is_moe.then(|| read_experts(&keys, n_layers as usize, Some([256, 8, 512, 512]))).transpose()?;
        let rest = Rest {
            architecture,
            is_gguf: false,
            n_vocab: keys.require(&keys::N_VOCAB)?,
            attends: config_layers(&keys, n_layers)?,
            n_kv_heads: or(&keys::N_KV_HEADS, if is_moe { 2 } else { 4 })?,
            head_dim,
            // What does not fit saturates, and fails the check of the shape.
            rope_dims: (f64::from(head_dim) * keys.number(&PARTIAL)?.unwrap_or(0.25)) as u32,
            scaling,
            net: NetShape {
                n_key_heads: or(&KEY_HEADS, 16)?,
                n_value_heads: or(&VALUE_HEADS, 32)?,
                key_dim: or(&KEY_DIM, 128)?,
                value_dim: or(&VALUE_DIM, 128)?,
                n_taps: or(&N_TAPS, 4)?,
            },
            n_hidden: n_hidden(&keys, experts.as_ref())?,
            experts,
            context_length,
            is_tied: keys.flag(&TIED)?.or(is_tied).unwrap_or(false),
            bos: token(&keys, &keys::BOS)?,
            eos: token(&keys, &keys::EOS)?,
        };
        read(&keys, "config.json", rest)
    }
}

fn read(keys: &dyn Keys, file: &str, rest: Rest) -> Result<Shape> {
    let shape = Shape {
        architecture: rest.architecture,
        is_gguf: rest.is_gguf,
        n_vocab: rest.n_vocab,
        n_embd: keys.require(&keys::N_EMBD)?,
        attends: rest.attends,
        n_heads: keys.require(&keys::N_HEADS)?,
        n_kv_heads: rest.n_kv_heads,
        head_dim: rest.head_dim,
        rope: Rope {
            n_dims: rest.rope_dims,
            halves: true,
            base: keys.number(&BASE)?.unwrap_or(10_000.0),
            scaling: rest.scaling,
            divisors: Vec::new(),
        },
        net: rest.net,
        n_hidden: rest.n_hidden,
        experts: rest.experts,
        norm_eps: keys.number(&keys::NORM_EPS)?.unwrap_or(1e-6) as f32,
        context_length: rest.context_length,
        is_tied: rest.is_tied,
        bos: rest.bos,
        eos: rest.eos,
    };
    shape.check(file)?;
    Ok(shape)
}

/// The hidden width of layers without experts, which a model with them need not tell.
fn n_hidden(keys: &dyn Keys, experts: Option<&ExpertsShape>) -> Result<u32> {
    match (keys.whole(&HIDDEN)?, experts) {
        (Some(n_hidden), None) => Ok(n_hidden),
        (None, None) => Err(keys.missing(&HIDDEN)),
        (_, Some(of)) => Ok(of.n_hidden),
    }
}

/// The experts of every layer; the defaults are how many there are, how many are used, their width and the shared one's.
fn read_experts(keys: &dyn Keys, n_layers: usize, defaults: Option<[u32; 4]>) -> Result<ExpertsShape> {
    let or = |key: &Key, index: usize| match (keys.whole(key)?, defaults) {
        (Some(told), _) => Ok(told),
        (None, Some(defaults)) => Ok(defaults[index]),
        (None, None) => Err(keys.missing(key)),
    };
    let layers = vec![true; n_layers.min(MOST_LAYERS as usize + 1)];
    Ok(ExpertsShape {
        shared_hidden: or(&SHARED_HIDDEN, 3)?,
        has_shared_gate: true,
        ..ExpertsShape::plain(or(&N_EXPERTS, 0)?, or(&keys::N_USED, 1)?, or(&EXPERT_HIDDEN, 2)?, true, layers)
    })
}

/// Every so many layers there is attention.
fn by_interval(keys: &dyn Keys, n_layers: usize) -> Result<Vec<bool>> {
    let interval = keys.whole(&INTERVAL)?.unwrap_or(4) as usize;
    if interval == 0 {
        return Err(Error::file(keys.thing(&INTERVAL), "0").expected("from 1 on").advice(ADVICE));
    }
    Ok((0..n_layers.min(MOST_LAYERS as usize + 1)).map(|layer| (layer + 1).is_multiple_of(interval)).collect())
}

/// What the file says of each layer counts before the interval.
fn gguf_layers(keys: &GgufKeys<'_>, n_layers: usize) -> Result<Vec<bool>> {
    match keys.metadata.get_bool_for_each(&keys.name(&RECURRENT), n_layers)? {
        Some(recurrent) => Ok(recurrent.into_iter().map(|is_recurrent| !is_recurrent).collect()),
        None => by_interval(keys, n_layers),
    }
}

fn config_layers(keys: &ConfigKeys, n_layers: u32) -> Result<Vec<bool>> {
    let Some(told) = keys.at(LAYER_TYPES) else { return by_interval(keys, n_layers as usize) };
    let attends = |kind: &serde_json::Value| match kind.as_str()? {
        "full_attention" => Some(true),
        "linear_attention" => Some(false),
        _ => None,
    };
    let kinds = told.as_array().filter(|kinds| kinds.len() == n_layers as usize);
    kinds.and_then(|kinds| kinds.iter().map(attends).collect()).ok_or_else(|| {
        Error::file(format!("config.json: key {LAYER_TYPES:?}"), shown(&told.to_string()))
            .expected(format!("\"linear_attention\" or \"full_attention\" for each of {n_layers} layers"))
            .advice(ADVICE)
    })
}

/// A GGUF tells the width of all value heads together.
fn gguf_net(keys: &GgufKeys<'_>) -> Result<NetShape> {
    let (n_value_heads, width) = (keys.require(&VALUE_HEADS)?, keys.require(&VALUE_WIDTH)?);
    if n_value_heads == 0 || !width.is_multiple_of(n_value_heads) {
        return Err(Error::file(keys.thing(&VALUE_WIDTH), width.to_string())
            .expected(format!("a multiple of the {n_value_heads} value heads of {:?}", VALUE_HEADS.gguf))
            .advice("The file is damaged."));
    }
    Ok(NetShape {
        n_key_heads: keys.require(&KEY_HEADS)?,
        n_value_heads,
        key_dim: keys.require(&KEY_DIM)?,
        value_dim: width / n_value_heads,
        n_taps: keys.require(&N_TAPS)?,
    })
}
