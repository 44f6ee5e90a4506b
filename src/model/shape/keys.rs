//! The settings that a GGUF's keys and a `config.json` share, in both spellings, and the reading of them into a
//! shape by one path.

use super::{Shape, Yarn};
use crate::error::{Error, Result};

/// A setting by its names.
pub(in crate::model) struct Key {
    /// In a GGUF, after the architecture's name and a dot.
    pub(in crate::model) gguf: &'static str,
    /// In a `config.json`: the paths that it may have there, the usual one first.
    pub(in crate::model) config: &'static [&'static str],
}

pub(in crate::model) const fn key(gguf: &'static str, config: &'static [&'static str]) -> Key {
    Key { gguf, config }
}

pub(in crate::model) const N_VOCAB: Key = key("vocab_size", &["vocab_size"]);
pub(in crate::model) const N_EMBD: Key = key("embedding_length", &["hidden_size"]);
pub(in crate::model) const N_LAYERS: Key = key("block_count", &["num_hidden_layers"]);
pub(in crate::model) const N_HEADS: Key = key("attention.head_count", &["num_attention_heads"]);
pub(in crate::model) const N_KV_HEADS: Key = key("attention.head_count_kv", &["num_key_value_heads"]);
pub(in crate::model) const HEAD_DIM: Key = key("attention.key_length", &["head_dim"]);
pub(in crate::model) const VALUE_DIM: Key = key("attention.value_length", &["v_head_dim"]);
pub(in crate::model) const ROPE_DIMS: Key = key("rope.dimension_count", &["qk_rope_head_dim"]);
pub(in crate::model) const Q_LORA: Key = key("attention.q_lora_rank", &["q_lora_rank"]);
pub(in crate::model) const O_GROUPS: Key = key("attention.output_group_count", &["o_groups"]);
pub(in crate::model) const O_LORA: Key = key("attention.output_lora_rank", &["o_lora_rank"]);
pub(in crate::model) const WINDOW: Key = key("attention.sliding_window", &["sliding_window"]);
pub(in crate::model) const RATIOS: Key = key("attention.compress_ratios", &["compress_ratios"]);
pub(in crate::model) const INDEX_HEADS: Key = key("attention.indexer.head_count", &["index_n_heads"]);
pub(in crate::model) const INDEX_HEAD_DIM: Key = key("attention.indexer.key_length", &["index_head_dim"]);
pub(in crate::model) const INDEX_TOP_K: Key = key("attention.indexer.top_k", &["index_topk"]);
pub(in crate::model) const N_EXPERTS: Key = key("expert_count", &["n_routed_experts", "num_local_experts"]);
pub(in crate::model) const N_USED: Key = key("expert_used_count", &["num_experts_per_tok"]);
pub(in crate::model) const N_SHARED: Key = key("expert_shared_count", &["n_shared_experts"]);
pub(in crate::model) const N_HIDDEN: Key =
    key("expert_feed_forward_length", &["moe_intermediate_size", "intermediate_size"]);
pub(in crate::model) const N_HASH_LAYERS: Key = key("hash_layer_count", &["num_hash_layers"]);
pub(in crate::model) const ROUTED_SCALE: Key = key("expert_weights_scale", &["routed_scaling_factor"]);
pub(in crate::model) const WEIGHTS_NORM: Key = key("expert_weights_norm", &["norm_topk_prob"]);
pub(in crate::model) const LIMIT: Key = key("swiglu_clamp_exp", &["swiglu_limit"]);
pub(in crate::model) const N_STREAMS: Key = key("hyper_connection.count", &["hc_mult"]);
pub(in crate::model) const SINKHORN: Key = key("hyper_connection.sinkhorn_iterations", &["hc_sinkhorn_iters"]);
pub(in crate::model) const HYPER_EPS: Key = key("hyper_connection.epsilon", &["hc_eps"]);
pub(in crate::model) const NORM_EPS: Key = key("attention.layer_norm_rms_epsilon", &["rms_norm_eps", "norm_eps"]);
pub(in crate::model) const ROPE_BASE: Key = key("rope.freq_base", &["rope_parameters.main.rope_theta", "rope_theta"]);
pub(in crate::model) const COMPRESS_ROPE_BASE: Key =
    key("attention.compress_rope_freq_base", &["rope_parameters.compress.rope_theta", "compress_rope_theta"]);
pub(in crate::model) const YARN_TYPE: Key = key(
    "rope.scaling.type",
    &[
        "rope_parameters.compress.rope_type",
        "rope_parameters.compress.type",
        "rope_parameters.rope_type",
        "rope_parameters.type",
        "rope_scaling.rope_type",
        "rope_scaling.type",
    ],
);
pub(in crate::model) const YARN_FACTOR: Key =
    key("rope.scaling.factor", &["rope_parameters.compress.factor", "rope_parameters.factor", "rope_scaling.factor"]);
pub(in crate::model) const YARN_ORIGINAL: Key = key(
    "rope.scaling.original_context_length",
    &[
        "rope_parameters.compress.original_max_position_embeddings",
        // Where it stands beside, transformers takes that one.
        "original_max_position_embeddings",
        "rope_parameters.original_max_position_embeddings",
        "rope_scaling.original_max_position_embeddings",
    ],
);
pub(in crate::model) const YARN_FAST: Key = key(
    "rope.scaling.yarn_beta_fast",
    &["rope_parameters.compress.beta_fast", "rope_parameters.beta_fast", "rope_scaling.beta_fast"],
);
pub(in crate::model) const YARN_SLOW: Key = key(
    "rope.scaling.yarn_beta_slow",
    &["rope_parameters.compress.beta_slow", "rope_parameters.beta_slow", "rope_scaling.beta_slow"],
);
pub(in crate::model) const CONTEXT: Key = key("context_length", &["max_position_embeddings"]);
pub(in crate::model) const BOS: Key = key("bos_token_id", &["bos_token_id"]);
pub(in crate::model) const EOS: Key = key("eos_token_id", &["eos_token_id"]);

/// Where settings are read from. `None` is a setting that is not there; one that is there and holds something
/// else is an error.
pub(in crate::model) trait Keys {
    fn whole(&self, key: &Key) -> Result<Option<u32>>;
    fn number(&self, key: &Key) -> Result<Option<f64>>;
    fn flag(&self, key: &Key) -> Result<Option<bool>>;
    fn text(&self, key: &Key) -> Result<Option<String>>;

    /// One for each of `n` layers, where the setting is a list.
    fn flags(&self, _key: &Key, _n: usize) -> Option<Vec<bool>> {
        None
    }

    /// What an error calls the setting.
    fn thing(&self, key: &Key) -> String;

    fn require(&self, key: &Key) -> Result<u32> {
        self.whole(key)?.ok_or_else(|| self.missing(key))
    }

    fn missing(&self, key: &Key) -> Error {
        Error::file(self.thing(key), "missing").advice("The file is not complete, or not of this architecture.")
    }

    /// Fails unless the setting is absent or just so: V4 as it was published leaves no choice there.
    fn refuse_other(&self, key: &Key, only: u32) -> Result<()> {
        match self.whole(key)? {
            Some(found) if found != only => Err(Error::file(self.thing(key), found.to_string())
                .expected(format!("{only}, as in every published V4"))
                .advice("Models that differ here are not supported.")),
            _ => Ok(()),
        }
    }
}

/// What the two kinds of file say each in their own way.
pub(super) struct Rest {
    pub(super) n_vocab: u32,
    pub(super) ratios: Vec<u32>,
    pub(super) n_hash_layers: Option<u32>,
    pub(super) swiglu_limit: Vec<f32>,
    pub(super) swiglu_limit_shared: Vec<f32>,
    pub(super) rope_dims: u32,
    /// Whether YaRN is on where nothing is said of it.
    pub(super) yarn_by_default: bool,
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
}

/// Reads the settings that both share. The defaults are those of V4-Flash.
pub(super) fn read(keys: &dyn Keys, rest: Rest) -> Result<Shape> {
    refuse_variants(keys)?;
    let or = Shape::v4_flash();
    let whole = |key: &Key, default: u32| Ok::<_, Error>(keys.whole(key)?.unwrap_or(default));
    let number = |key: &Key, default: f64| Ok::<_, Error>(keys.number(key)?.unwrap_or(default));
    let small = |key: &Key, default: f32| Ok::<_, Error>(keys.number(key)?.map_or(default, |wide| wide as f32));
    let n_layers = rest.ratios.len() as u32;
    let shape = Shape {
        n_vocab: rest.n_vocab,
        n_embd: keys.require(&N_EMBD)?,
        n_heads: keys.require(&N_HEADS)?,
        head_dim: keys.require(&HEAD_DIM)?,
        rope_dims: rest.rope_dims,
        q_lora: keys.require(&Q_LORA)?,
        o_groups: keys.require(&O_GROUPS)?,
        o_lora: keys.require(&O_LORA)?,
        window: whole(&WINDOW, or.window)?,
        index_heads: whole(&INDEX_HEADS, or.index_heads)?,
        index_head_dim: whole(&INDEX_HEAD_DIM, or.index_head_dim)?,
        index_top_k: whole(&INDEX_TOP_K, or.index_top_k)?,
        n_experts: keys.require(&N_EXPERTS)?,
        n_used: keys.require(&N_USED)?,
        n_hidden: keys.require(&N_HIDDEN)?,
        n_hash_layers: rest.n_hash_layers.unwrap_or(or.n_hash_layers.min(n_layers)),
        routed_scale: small(&ROUTED_SCALE, or.routed_scale)?,
        swiglu_limit: rest.swiglu_limit,
        swiglu_limit_shared: rest.swiglu_limit_shared,
        sinkhorn_iterations: whole(&SINKHORN, or.sinkhorn_iterations)?,
        hyper_eps: small(&HYPER_EPS, or.hyper_eps)?,
        norm_eps: small(&NORM_EPS, or.norm_eps)?,
        rope_base: number(&ROPE_BASE, or.rope_base)?,
        compress_rope_base: number(&COMPRESS_ROPE_BASE, or.compress_rope_base)?,
        yarn: read_yarn(keys, rest.yarn_by_default, or.yarn)?,
        context_length: whole(&CONTEXT, or.context_length)?,
        bos: rest.bos.unwrap_or(or.bos),
        eos: rest.eos.unwrap_or(or.eos),
        ratios: rest.ratios,
    };
    shape.check_by(&|key| keys.thing(key))?;
    Ok(shape)
}

/// Fails for settings in which all of V4 agrees and this file does not.
fn refuse_variants(keys: &dyn Keys) -> Result<()> {
    keys.refuse_other(&N_KV_HEADS, 1)?;
    keys.refuse_other(&N_SHARED, 1)?;
    keys.refuse_other(&N_STREAMS, super::N_STREAMS)?;
    keys.refuse_other(&VALUE_DIM, keys.require(&HEAD_DIM)?)?;
    if keys.flag(&WEIGHTS_NORM)? == Some(false) {
        return Err(Error::file(keys.thing(&WEIGHTS_NORM), "false")
            .expected("true, as in every published V4")
            .advice("Models that differ here are not supported."));
    }
    Ok(())
}

fn read_yarn(keys: &dyn Keys, by_default: bool, default: Yarn) -> Result<Yarn> {
    let on = match keys.text(&YARN_TYPE)?.as_deref() {
        None => by_default,
        Some("yarn") => true,
        Some("none" | "default") => false,
        Some(other) => {
            return Err(Error::file(keys.thing(&YARN_TYPE), format!("{other:?}")).expected("\"yarn\" or \"none\""));
        }
    };
    if !on {
        return Ok(Yarn { factor: 1.0, ..default });
    }
    // A GGUF may leave out what is as in V4-Flash; a config that names YARN and not these says nothing.
    let missing = |key: &Key| if by_default { Ok(()) } else { Err(keys.missing(key)) };
    let (factor, original) = (keys.number(&YARN_FACTOR)?, keys.whole(&YARN_ORIGINAL)?);
    factor.map_or_else(|| missing(&YARN_FACTOR), |_| Ok(()))?;
    original.map_or_else(|| missing(&YARN_ORIGINAL), |_| Ok(()))?;
    Ok(Yarn {
        factor: factor.unwrap_or(default.factor),
        original: original.unwrap_or(default.original),
        beta_fast: keys.number(&YARN_FAST)?.unwrap_or(default.beta_fast),
        beta_slow: keys.number(&YARN_SLOW)?.unwrap_or(default.beta_slow),
        rounds: true,
    })
}

/// Fails unless the architecture is V4's; `thing` is what the error calls the key that names it.
pub(super) fn require_v4(thing: &str, architecture: &str) -> Result<()> {
    let advice = match architecture {
        "deepseek4" | "deepseek_v4" => return Ok(()),
        "deepseek41" | "deepseek_v41" => "DeepSeek V4.1 is another architecture; take a V4-Flash or V4-Pro model.",
        _ => "Take a DeepSeek V4 model, or one of these.",
    };
    Err(Error::file(thing, crate::format::directory::shown(architecture))
        .expected(format!(
            "\"deepseek4\" or \"deepseek_v4\", or deepseek2 (V2, V3, R1), deepseek32 (V3.2), qwen35, qwen35moe, {}",
            crate::model::grouped::names()
        ))
        .advice(advice))
}

/// Clamps as the rest of the program wants them: what is not above zero means no clamp.
pub(super) fn limit(value: f32) -> f32 {
    if value > 1e-6 { value } else { super::NO_LIMIT }
}
