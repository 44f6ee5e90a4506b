//! The shape in the keys of a GGUF, or in a `config.json`, by one path.

use super::architecture::{Architecture, Defaults, Slides, architecture};
use super::layers;
use super::{Activation, Convolutions, ExpertsShape, Gating, LayerKind, Rope, Scaling, Shape, Turn};
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
pub(super) const LOCAL_BASE: Key =
    key("rope.freq_base_swa", &["rope_parameters.sliding_attention.rope_theta", "rope_local_base_freq"]);
/// A head's width, by whose root products of queries and keys are divided. A GGUF has no key for it.
const ATTENTION_SCALE: Key = key("", &["query_pre_attn_scalar"]);
/// What logits are cut off at, by a hyperbolic tangent: no model here does.
const CAPS: [Key; 2] = [
    key("attn_logit_softcapping", &["attn_logit_softcapping"]),
    key("final_logit_softcapping", &["final_logit_softcapping"]),
];
pub(super) const ROPE_DIMS: Key = key("rope.dimension_count", &[]);
/// Whether YaRN rounds the pairs between which it interpolates.
const ROUNDS: Key = key("", &["rope_parameters.truncate", "rope_scaling.truncate"]);
pub(in crate::model) const PARTIAL: Key =
    key("", &["rope_parameters.partial_rotary_factor", "rope_scaling.partial_rotary_factor", "partial_rotary_factor"]);
const LOW: Key = key("", &["rope_parameters.low_freq_factor", "rope_scaling.low_freq_factor"]);
const HIGH: Key = key("", &["rope_parameters.high_freq_factor", "rope_scaling.high_freq_factor"]);
pub(in crate::model) const ATTENTION_FACTOR: Key =
    key("rope.scaling.attn_factor", &["rope_parameters.attention_factor", "rope_scaling.attention_factor"]);
pub(in crate::model) const MSCALE: Key = key("", &["rope_parameters.mscale", "rope_scaling.mscale"]);
pub(in crate::model) const MSCALE_ALL: Key =
    key("", &["rope_parameters.mscale_all_dim", "rope_scaling.mscale_all_dim"]);
const ATTENTION_BIAS: Key = key("", &["attention_bias"]);
pub(in crate::model) const TIED: Key = key("", &["tie_word_embeddings"]);
/// Where gates of experts with biases are cut off.
const LIMIT: Key = key("", &["swiglu_limit"]);
/// What multiplies the gate within their sigmoid.
const ALPHA: Key = key("", &["swiglu_alpha"]);
/// Of LFM2: the hidden width as it was first published, whether it is adjusted, and by what.
const BLOCK_HIDDEN: Key = key("", &["block_ff_dim"]);
const BLOCK_ADJUSTS: Key = key("", &["block_auto_adjust_ff_dim"]);
const BLOCK_FACTOR: Key = key("", &["block_ffn_dim_multiplier"]);
const BLOCK_MULTIPLE: Key = key("", &["block_multiple_of"]);
/// Its word for a tied head.
const TIED_BLOCK: Key = key("", &["tie_embedding"]);
/// Layers before those with a window.
const FIRST_WINDOW: Key = key("", &["max_window_layers"]);
const SPARSE_STEP: Key = key("", &["decoder_sparse_step"]);
/// What files of 2023 have in place of type and factor.
const SCALE_LINEAR: Key = key("rope.scale_linear", &[]);
pub(in crate::model) const TYPE: Key = key(
    "rope.scaling.type",
    &["rope_parameters.rope_type", "rope_parameters.type", "rope_scaling.rope_type", "rope_scaling.type"],
);

/// Whether a `config.json` is that of one of these architectures.
#[must_use]
pub fn is_config(json: &str) -> bool {
    let keys = ConfigKeys::parse(json).ok();
    let name = keys.as_ref().and_then(|keys| keys.at("model_type")?.as_str().map(str::to_owned));
    name.is_some_and(|name| architecture(&name).is_some())
}

/// What the two kinds of file say each in their own way.
struct Rest<'a> {
    /// A `config.json` itself, for the lists that only it has.
    config: Option<&'a ConfigKeys>,
    n_vocab: u32,
    /// Where the usual key does not say it.
    n_kv_heads: Option<u32>,
    /// Likewise.
    n_hidden: Option<u32>,
    convolutions: Option<Convolutions>,
    rope_dims: Option<u32>,
    halves: bool,
    is_gguf: bool,
    /// Whether queries, keys and values have a bias though the architecture does not say so.
    has_bias: bool,
    has_output_bias: bool,
    is_tied: bool,
    defaults: &'static Defaults,
    /// See [`most_context`].
    most_context: Option<u32>,
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
        Self::from_gguf_with(gguf, divisors, &mut Vec::new())
    }

    /// As [`Shape::from_gguf`]; adds to `notices` what a person should know of how it was read.
    ///
    /// # Errors
    /// As [`Shape::from_gguf`].
    pub fn from_gguf_with(gguf: &Gguf, divisors: Vec<f32>, notices: &mut Vec<String>) -> Result<Self> {
        let metadata = &gguf.metadata;
        let name = metadata.require_str(ARCHITECTURE)?;
        let keys = GgufKeys { metadata, architecture: name };
        let architecture = known(&format!("{}: key {ARCHITECTURE:?}", metadata.file()), name)?;
        let n_layers = keys.require(&keys::N_LAYERS)?.min(super::MOST_LAYERS + 1);
        let convolutions = architecture.has_convolutions.then(|| Convolutions::of_gguf(&keys)).transpose()?;
        let (convolutions, n_kv_heads) = convolutions.unzip();
        let has_router = |layer| gguf.directory.get(&format!("blk.{layer}.ffn_gate_inp.weight")).is_some();
        let rest = Rest {
            config: None,
            n_vocab: n_vocab(&keys, &gguf.directory)?,
            n_kv_heads,
            n_hidden: None,
            convolutions,
            rope_dims: keys.whole(&ROPE_DIMS)?,
            halves: !architecture.is_permuted,
            is_gguf: true,
            // Files of any of these architectures may have one.
            has_bias: ["q", "qkv"].iter().any(|of| gguf.directory.get(&format!("blk.0.attn_{of}.bias")).is_some()),
            has_output_bias: gguf.directory.get("blk.0.attn_output.bias").is_some(),
            // A head that is there is used.
            is_tied: false,
            defaults: &Defaults::GGUF,
            most_context: None,
            divisors,
            expert_layers: (0..n_layers).map(has_router).collect(),
            bos: metadata.get_id("tokenizer.ggml.bos_token_id")?,
            eos: metadata.get_id("tokenizer.ggml.eos_token_id")?,
        };
        read(&keys, architecture, metadata.file(), rest, notices)
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
        let defaults = &architecture.defaults;
        let window = window(&keys, architecture)?;
        match architecture.activation {
            Activation::Silu if keys.at("hidden_act").is_some_and(|name| name == "swish") => {}
            Activation::Silu => keys.refuse_other("hidden_act", &"silu".into())?,
            Activation::GeluTanh => keys.refuse_other("hidden_activation", &"gelu_pytorch_tanh".into())?,
        }
        keys.refuse_other("use_bidirectional_attention", &false.into())?;
        keys.refuse_scaled("rope_parameters.sliding_attention")?;
        keys.refuse_other("mlp_bias", &false.into())?;
        if architecture.has_post_norms {
            // The output's would have to join before the norm behind it.
            keys.refuse_other("attention_bias", &false.into())?;
        }
        keys.refuse_other("conv_bias", &false.into())?;
        let told_bias = keys.flag(&ATTENTION_BIAS)?.unwrap_or(defaults.has_bias);
        if architecture.needs_scaling && keys.text(&TYPE)?.is_none() {
            return Err(keys.missing(&TYPE));
        }
        let convolves = architecture.has_convolutions;
        let tied_block = if convolves { keys.flag(&TIED_BLOCK)? } else { None };
        let n_vocab = keys.whole(&keys::N_VOCAB)?.or(defaults.n_vocab);
        let rest = Rest {
            config: Some(&keys),
            n_vocab: n_vocab.ok_or_else(|| keys.missing(&keys::N_VOCAB))?,
            // As many as there are heads, where a file leaves it open.
            n_kv_heads: if keys.is_null("num_key_value_heads") { keys.whole(&keys::N_HEADS)? } else { None },
            n_hidden: if convolves { Some(adjusted_hidden(&keys)?) } else { None },
            convolutions: convolves.then(|| Convolutions::of_config(&keys)).transpose()?,
            rope_dims: None,
            halves: true,
            is_gguf: false,
            has_bias: told_bias,
            has_output_bias: told_bias && !architecture.has_qkv_bias,
            is_tied: tied_block.or(keys.flag(&TIED)?).unwrap_or(defaults.is_tied),
            defaults,
            most_context: window,
            divisors: Vec::new(),
            expert_layers: expert_layers(&keys)?,
            bos: token(&keys, &keys::BOS)?,
            eos: token(&keys, &keys::EOS)?,
        };
        read(&keys, architecture, "config.json", rest, notices)
    }
}

/// The window of a config that has a layer with one, where the architecture has no kinds of layers for it.
fn window(keys: &ConfigKeys, of: &Architecture) -> Result<Option<u32>> {
    let uses = keys.at("use_sliding_window").is_some_and(|uses| uses != false);
    let listed = keys.at("layer_types").and_then(serde_json::Value::as_array);
    let listed = listed.map(|kinds| kinds.iter().any(|kind| kind == "sliding_attention"));
    let is_within = match of.slides {
        Slides::Never => false,
        Slides::Always => true,
        Slides::WhereUsed => uses,
        Slides::Behind if !uses || listed.is_some() => uses && listed == Some(true),
        Slides::Behind => {
            let usual = if keys.is_null(FIRST_WINDOW.config[0]) { 0 } else { 28 };
            keys.whole(&FIRST_WINDOW)?.unwrap_or(usual) < keys.require(&keys::N_LAYERS)?
        }
        Slides::WhereStill => {
            let still = |kind: &LayerKind| kind.turn == Turn::Not;
            let kinds = layers::read(keys, Some(keys), &of.layers, None)?;
            listed.unwrap_or(uses && kinds.iter().any(still))
        }
    };
    if !is_within {
        return Ok(None);
    }
    let told = keys.whole(&keys::WINDOW)?;
    let usual = of.defaults.window.filter(|_| !keys.is_null(keys::WINDOW.config[0]));
    Ok(told.or(usual).filter(|window| *window > 0))
}

/// The hidden width of LFM2: its `config.json` has that of a network without gates, of which two thirds are taken.
fn adjusted_hidden(keys: &ConfigKeys) -> Result<u32> {
    let told = keys.whole(&BLOCK_HIDDEN)?.map_or_else(|| keys.whole(&HIDDEN), |told| Ok(Some(told)))?;
    let told = told.unwrap_or(12_288);
    if !keys.flag(&BLOCK_ADJUSTS)?.unwrap_or(true) {
        return Ok(told);
    }
    let factor = keys.number(&BLOCK_FACTOR)?.unwrap_or(1.0);
    let multiple = keys.whole(&BLOCK_MULTIPLE)?.unwrap_or(256);
    if multiple == 0 {
        return Err(Error::file(keys.thing(&BLOCK_MULTIPLE), "0").expected("at least 1"));
    }
    // What does not fit saturates, and fails the check of the shape.
    let part = (factor * f64::from((u64::from(told) * 2 / 3) as u32)) as u32;
    Ok(part.checked_next_multiple_of(multiple).unwrap_or(u32::MAX))
}

/// The context of a model that YaRN stretches, where its config still has the one before: as vLLM has it.
pub(in crate::model) fn stretched(
    keys: &dyn Keys,
    scaling: &Scaling,
    told: u32,
    notices: &mut Vec<String>,
) -> Result<u32> {
    let (Scaling::Yarn(yarn, _), Some(original)) = (scaling, keys.whole(&keys::YARN_ORIGINAL)?) else {
        return Ok(told);
    };
    // What is too large saturates, and fails the check of the shape.
    let stretched = (f64::from(original) * yarn.factor) as u32;
    if stretched > told {
        notices.push(format!("the context is {stretched} tokens, {} times {original}, and not {told}", yarn.factor));
    }
    Ok(stretched.max(told))
}

/// The context within which every token sees all the others.
fn most_context(told: u32, most: Option<u32>, notices: &mut Vec<String>) -> u32 {
    match most {
        Some(window) if window < told => {
            notices.push(format!("the context is {window} tokens, the window of its layers, and not {told}"));
            window
        }
        _ => told,
    }
}

fn known(thing: &str, name: &str) -> Result<&'static Architecture> {
    Architecture::of(name).ok_or_else(|| {
        Error::file(thing, shown(name))
            .expected(format!("one of {}", super::names()))
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

fn read(keys: &dyn Keys, of: &Architecture, file: &str, rest: Rest, notices: &mut Vec<String>) -> Result<Shape> {
    let defaults = rest.defaults;
    let (n_embd, n_layers) = (keys.require(&keys::N_EMBD)?, keys.require(&keys::N_LAYERS)?);
    let n_heads = keys.whole(&keys::N_HEADS)?.or(defaults.n_heads).ok_or_else(|| keys.missing(&keys::N_HEADS))?;
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
    for key in &CAPS {
        if let Some(cap) = keys.number(key)?.filter(|cap| *cap != 0.0) {
            return Err(Error::file(keys.thing(key), cap.to_string())
                .expected("nothing, or 0")
                .advice("Models whose logits are cut off are not supported."));
        }
    }
    let by_width = of.scaled_by(n_layers, equal_part, head_dim);
    let scaled_by = match defaults.attention_scale {
        Some(usual) => keys.number(&ATTENTION_SCALE)?.unwrap_or(usual),
        None => f64::from(by_width),
    };
    let context_length = keys.whole(&keys::CONTEXT)?.unwrap_or(defaults.context);
    let mut experts = of.has_experts.then(|| read_experts(keys, rest.expert_layers, defaults)).transpose()?;
    if let (Some(experts), Some(gating)) = (&mut experts, of.gating) {
        let limit = keys.number(&LIMIT)?.map_or(gating.limit, |limit| limit as f32);
        let alpha = keys.number(&ALPHA)?.map_or(gating.alpha, |alpha| alpha as f32);
        (experts.normed, experts.biased) = (true, Some(Gating { limit, alpha }));
    }
    let mut scaling = scaling(keys, rest.is_gguf, context_length, notices)?;
    if let (Scaling::Yarn(yarn, _), true) = (&mut scaling, rest.is_gguf) {
        yarn.rounds = of.rounds;
    }
    let n_kv_heads = match rest.n_kv_heads {
        Some(told) => told,
        None => keys.whole(&keys::N_KV_HEADS)?.unwrap_or(defaults.kv_heads.unwrap_or(n_heads)),
    };
    let n_hidden = rest.n_hidden.map_or_else(|| keys.require(&HIDDEN), Ok)?;
    let shape = Shape {
        architecture: of.gguf.to_owned(),
        n_vocab: rest.n_vocab,
        n_embd,
        n_layers,
        n_heads,
        n_kv_heads,
        head_dim,
        n_hidden,
        experts,
        convolutions: rest.convolutions,
        has_bias: of.has_qkv_bias || rest.has_bias,
        has_output_bias: rest.has_output_bias,
        has_head_norm: of.has_head_norm,
        has_sinks: of.has_sinks,
        has_post_norms: of.has_post_norms,
        norms_less_one: of.norms_less_one && !rest.is_gguf,
        activation: of.activation,
        embed_scale: if of.scales_embedding { (n_embd as f32).sqrt() } else { 1.0 },
        attention_scale: scaled_by.sqrt().recip() as f32,
        kinds: layers::read(keys, rest.config, &of.layers, defaults.window)?,
        local_rope: of.layers.turns_apart.then_some(Rope {
            n_dims: rest.rope_dims.unwrap_or(head_dim),
            halves: rest.halves,
            base: keys.number(&LOCAL_BASE)?.unwrap_or(10_000.0),
            scaling: Scaling::None,
            divisors: Vec::new(),
        }),
        rope: Rope {
            n_dims: rest.rope_dims.unwrap_or(head_dim),
            halves: rest.halves,
            base: keys.number(&BASE)?.or(defaults.base).unwrap_or(10_000.0),
            scaling,
            divisors: rest.divisors,
        },
        norm_eps: match keys.number(&keys::NORM_EPS)?.or(defaults.norm_eps) {
            Some(eps) => eps as f32,
            None if rest.is_gguf => return Err(keys.missing(&keys::NORM_EPS)),
            None => 1e-6,
        },
        context_length: most_context(stretched(keys, &scaling, context_length, notices)?, rest.most_context, notices),
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

/// What YaRN multiplies with for a longer context: `0.1 · mscale · ln(factor) + 1`.
pub(in crate::model) fn magnitude(mscale: f64, factor: f64) -> f64 {
    if factor > 1.0 { 0.1 * mscale * factor.ln() + 1.0 } else { 1.0 }
}

/// The scaling of the rotation. transformers refuses a kind of scaling without its factor; it ignores a factor without a
/// kind, and takes the model's context where the original one is left out, as llama.cpp does.
pub(in crate::model) fn scaling(
    keys: &dyn Keys,
    is_gguf: bool,
    context: u32,
    notices: &mut Vec<String>,
) -> Result<Scaling> {
    // To llama.cpp a factor of 0 is none, and an older key stands for one that is missing.
    let told = keys.number(&keys::YARN_FACTOR)?.filter(|factor| !is_gguf || *factor != 0.0);
    let told = match told {
        None if is_gguf => keys.number(&SCALE_LINEAR)?.filter(|factor| *factor != 0.0),
        told => told,
    };
    let factor = || match told {
        None if !is_gguf => Err(keys.missing(&keys::YARN_FACTOR)),
        told => Ok(told.unwrap_or(1.0)),
    };
    let mut original = || -> Result<u32> {
        if let Some(original) = keys.whole(&keys::YARN_ORIGINAL)?.filter(|original| !is_gguf || *original > 0) {
            return Ok(original);
        }
        let thing = keys.thing(&keys::YARN_ORIGINAL);
        notices.push(format!("{thing} is missing: the rotation is scaled from the whole context, {context}"));
        Ok(context)
    };
    Ok(match keys.text(&TYPE)?.as_deref() {
        // llama.cpp takes a factor without a type for a linear one.
        None if is_gguf => told.map_or(Scaling::None, |factor| Scaling::Linear { factor }),
        // Of texts, a rotation by place and picture is the plain one.
        kind @ (None | Some("none" | "default" | "mrope")) => {
            if let (None, Some(factor)) = (kind, told) {
                let thing = keys.thing(&keys::YARN_FACTOR);
                notices.push(format!("{thing} is {factor}, and no rope_type says what for: it is ignored"));
            }
            Scaling::None
        }
        // transformers changes the rotation of texts that are longer than this, and no text is here.
        Some("dynamic") => {
            notices.push(format!("{} is \"dynamic\": that begins beyond the context of {context}", keys.thing(&TYPE)));
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
            let told_original = keys.whole(&keys::YARN_ORIGINAL)?.filter(|original| *original > 0);
            let yarn = Yarn {
                factor: match told_original.filter(|_| told.is_none() && !is_gguf) {
                    // By how much the context has grown.
                    Some(original) => f64::from(context) / f64::from(original),
                    None => factor()?,
                },
                original: original()?,
                // transformers takes 0 for nothing, too.
                beta_fast: keys.number(&keys::YARN_FAST)?.filter(|turns| *turns != 0.0).unwrap_or(default.beta_fast),
                beta_slow: keys.number(&keys::YARN_SLOW)?.filter(|turns| *turns != 0.0).unwrap_or(default.beta_slow),
                rounds: keys.flag(&ROUNDS)?.unwrap_or(true),
            };
            // A GGUF's factor comes on top of the usual amplitude, transformers' stands in its place (spec 12.4).
            let usual = match (keys.number(&MSCALE)?, keys.number(&MSCALE_ALL)?) {
                (Some(of), Some(all)) if of != 0.0 && all != 0.0 => {
                    magnitude(of, yarn.factor) / magnitude(all, yarn.factor)
                }
                _ => magnitude(1.0, yarn.factor),
            };
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
