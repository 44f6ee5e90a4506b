//! Settings that change what other architectures compute, and that nothing reads for this one: llama.cpp and
//! transformers pass over them, too, and a person should know.

use super::family::Family;
use super::shape::config::ConfigKeys;
use crate::format::gguf::Metadata;
use serde_json::Value;

/// Keys of a GGUF behind the architecture's name, with the numbers by which they say nothing.
const IN_GGUF: [(&str, &[f32]); 12] = [
    ("logit_scale", &[0.0, 1.0]),
    ("embedding_scale", &[0.0, 1.0]),
    ("residual_scale", &[0.0, 1.0]),
    ("attention.scale", &[0.0]),
    ("attention.clamp_kqv", &[0.0]),
    ("attention.max_alibi_bias", &[0.0]),
    ("attention.temperature_scale", &[0.0]),
    (ATTENTION_FACTOR, &[0.0, 1.0]),
    (LOG_MULTIPLIER, &[0.0]),
    ("rope.scaling.yarn_ext_factor", &[-1.0, 1.0]),
    ("rope.scaling.yarn_attn_factor", &[-1.0, 1.0]),
    ("rope.scaling.alpha", &[0.0]),
];
/// Read with YaRN alone.
const ATTENTION_FACTOR: &str = "rope.scaling.attn_factor";
/// Read with latent attention alone.
const LOG_MULTIPLIER: &str = "rope.scaling.yarn_log_multiplier";

/// Likewise in a `config.json`.
const IN_CONFIG: [(&str, &[f64]); 11] = [
    ("logit_scale", &[1.0]),
    ("logits_scaling", &[1.0]),
    ("embedding_multiplier", &[1.0]),
    ("residual_multiplier", &[1.0]),
    ("attention_multiplier", &[]),
    ("clip_qkv", &[0.0]),
    ("qkv_clip", &[0.0]),
    ("rotary_pct", &[1.0]),
    // In these families transformers turns all of a head.
    (PARTIAL, &[1.0]),
    ("rope_parameters.partial_rotary_factor", &[1.0]),
    ("rope_scaling.partial_rotary_factor", &[1.0]),
];
const PARTIAL: &str = "partial_rotary_factor";

/// Of compressed-tensors: weights that were turned as well do not show it.
const TRANSFORMS: &str = "quantization_config.transform_config.config_groups";

/// What is known of a rotation, or says nothing.
const OF_ROTATIONS: [&str; 20] = [
    "type",
    "rope_type",
    "rope_theta",
    "factor",
    "original_max_position_embeddings",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "truncate",
    "low_freq_factor",
    "high_freq_factor",
    "partial_rotary_factor",
    "mrope_section",
    "mrope_interleaved",
    "finetuned",
    "max_position_embeddings",
    // Rotations of some layers.
    "full_attention",
    "sliding_attention",
];

/// The notices of a GGUF.
pub(super) fn in_gguf(metadata: &Metadata, architecture: &str) -> Vec<String> {
    let family = Family::of_gguf(architecture);
    let scaling = metadata.get_str(&format!("{architecture}.rope.scaling.type")).ok().flatten();
    let is_read = |name: &str| match name {
        ATTENTION_FACTOR => scaling == Some("yarn"),
        LOG_MULTIPLIER => family == Family::Mla,
        _ => false,
    };
    let told = |(name, neutral): &(&str, &[f32])| {
        let key = format!("{architecture}.{name}");
        let value = metadata.get_f32(&key).ok().flatten()?;
        (!neutral.contains(&value) && !is_read(name)).then(|| ignored(&key, &value.to_string(), architecture))
    };
    let mut notices: Vec<String> = IN_GGUF.iter().filter_map(told).collect();
    for (name, neutral) in [("attention.causal", true), ("use_parallel_residual", false)] {
        let key = format!("{architecture}.{name}");
        if let Ok(Some(value)) = metadata.get_bool(&key)
            && value != neutral
        {
            notices.push(ignored(&key, &value.to_string(), architecture));
        }
    }
    notices
}

/// The notices of a `config.json`.
pub(super) fn in_config(config: &str) -> Vec<String> {
    let Ok(keys) = ConfigKeys::parse(config) else { return Vec::new() };
    let architecture = keys.at("model_type").and_then(Value::as_str).unwrap_or_default();
    let family = Family::of_config(config);
    let mut notices = Vec::new();
    let is_told = |name| keys.at(name).and_then(Value::as_object).is_some_and(|rotation| !rotation.is_empty());
    if is_told("rope_parameters") && is_told("rope_scaling") {
        notices.push("rope_parameters and rope_scaling are both there: the latter scales the rotation".to_owned());
    }
    // The others turn a part of each head.
    let is_read = |name: &str| family != Family::Grouped && name.ends_with(PARTIAL);
    for (name, neutral) in IN_CONFIG.iter().filter(|(name, _)| !is_read(name)) {
        if let Some(value) = keys.at(name).filter(|value| value.as_f64().is_some_and(|n| !neutral.contains(&n))) {
            notices.push(ignored(name, &value.to_string(), architecture));
        }
    }
    if keys.at(TRANSFORMS).and_then(Value::as_object).is_some_and(|groups| !groups.is_empty()) {
        notices.push(ignored(TRANSFORMS, "how activations are turned", architecture));
    }
    // V4 has rotations by name, and checks them itself.
    for room in ["rope_parameters", "rope_scaling"].into_iter().filter(|_| family != Family::V4) {
        let Some(rotation) = keys.at(room).and_then(Value::as_object) else { continue };
        for (name, value) in rotation.iter().filter(|(name, _)| !OF_ROTATIONS.contains(&name.as_str())).take(8) {
            notices.push(ignored(&format!("{room}.{name}"), &value.to_string(), architecture));
        }
        let is_told = |name: &str| rotation.get(name).and_then(Value::as_f64).is_some_and(|value| value != 0.0);
        let alone = match (is_told("mscale"), is_told("mscale_all_dim")) {
            (true, false) => Some("mscale"),
            (false, true) if family != Family::Mla => Some("mscale_all_dim"),
            _ => None,
        };
        if let Some(name) = alone {
            notices.push(format!("{room}.{name} stands without the other of mscale and mscale_all_dim: it is ignored"));
        }
    }
    notices
}

fn ignored(key: &str, value: &str, architecture: &str) -> String {
    let value: String = value.chars().take(60).collect();
    format!("{key} is {value}: nothing of the architecture {architecture} reads it, and it is ignored")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_reads_is_told_of_unless_it_says_nothing() {
        let of = |more: &str| in_config(&format!(r#"{{"model_type": "llama", {more}}}"#));
        for silent in [
            r#""logits_scaling": 1.0"#,
            r#""rope_scaling": {"rope_type": "yarn", "factor": 2, "truncate": false}"#,
            r#""rope_scaling": {"type": "yarn", "mscale": 1.0, "mscale_all_dim": 0.5}"#,
            r#""clip_qkv": null"#,
        ] {
            assert_eq!(of(silent), [""; 0], "{silent}");
        }
        for (told, word) in [
            (r#""residual_multiplier": 0.22"#, "residual_multiplier is 0.22"),
            (r#""rope_scaling": {"type": "yarn", "attn_factor": 2.0}"#, "rope_scaling.attn_factor is 2.0"),
            (r#""rope_scaling": {"type": "yarn", "mscale": 0.7}"#, "rope_scaling.mscale stands without"),
        ] {
            let notices = of(told);
            assert!(notices.len() == 1 && notices[0].contains(word), "{told}: {notices:?}");
        }
    }
}
