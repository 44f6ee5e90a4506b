//! The shape in a `config.json` as published with safetensors, in DeepSeek's spelling (`compress_ratios`,
//! `rope_scaling`) or in that of transformers (`layer_types`, `rope_parameters`).

use super::check::MOST_LAYERS;
use super::keys::{self, Key, Keys, Rest};
use super::{RATIO_HEAVY, RATIO_SPARSE, Shape};
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::loose_json;
use serde_json::{Value, json};

/// What to do about a value that makes no sense.
const ADVICE: &str = "Is this the config.json of a supported model?";

pub(in crate::model) struct ConfigKeys {
    config: Value,
}

impl ConfigKeys {
    /// Of a `config.json`'s text.
    pub(in crate::model) fn parse(json: &str) -> Result<Self> {
        let mut config: Value = serde_json::from_str(&loose_json::strict(json))
            .map_err(|error| Error::file("config.json", error.to_string()).expected("JSON").advice(ADVICE))?;
        // A model that also sees has the settings of its text part in a room of their own.
        if let Some(Value::Object(text)) = config.get_mut("text_config").map(Value::take)
            && let Value::Object(all) = &mut config
        {
            all.extend(text);
        }
        name_by_class(&mut config);
        // Where rotations stand by the kinds of layers, the usual one is that of full attention.
        for name in ["rope_parameters", "rope_scaling"] {
            if let Some(Value::Object(all)) = config.get_mut(name)
                && let Some(Value::Object(full)) = all.remove("full_attention")
            {
                all.extend(full);
            }
        }
        one_rotation(&mut config)?;
        Ok(Self { config })
    }

    /// The settings of texts, which stand apart in the config of a model that also sees pictures.
    pub(in crate::model) fn of_texts(self) -> Self {
        let texts = self.at("text_config").filter(|texts| texts.is_object()).cloned();
        texts.map_or(self, |config| Self { config })
    }

    /// The value at a path of names with dots between; `null` counts as nothing.
    pub(in crate::model) fn at(&self, path: &str) -> Option<&Value> {
        let found = path.split('.').try_fold(&self.config, |value, name| value.get(name));
        found.filter(|value| !value.is_null())
    }

    /// Whether a path is there, and holds nothing.
    pub(in crate::model) fn is_null(&self, path: &str) -> bool {
        let found = path.split('.').try_fold(&self.config, |value, name| value.get(name));
        found.is_some_and(Value::is_null)
    }

    /// The kind of a rotation, which was once called `type`, with its path.
    fn kind(&self, rotation: &str) -> (String, Option<&Value>) {
        let [usual, older] = ["rope_type", "type"].map(|name| format!("{rotation}.{name}"));
        match (self.at(&usual), self.at(&older)) {
            (None, Some(kind)) => (older, Some(kind)),
            (kind, _) => (usual, kind),
        }
    }

    /// Fails for a rotation that is scaled.
    pub(in crate::model) fn refuse_scaled(&self, rotation: &str) -> Result<()> {
        self.refuse_other(&self.kind(rotation).0, &"default".into())
    }

    /// The value under the first of a key's paths that holds one.
    fn get<T>(&self, key: &Key, expected: &str, convert: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        let Some((path, value)) = key.config.iter().find_map(|path| Some((path, self.at(path)?))) else {
            return Ok(None);
        };
        convert(value).map(Some).ok_or_else(|| wrong(path, value, expected))
    }

    /// The list at a path, of at least `n` items, of which the first `n` are converted.
    pub(in crate::model) fn list<T>(
        &self,
        path: &str,
        n: usize,
        expected: &str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(value) = self.at(path) else { return Ok(None) };
        let items = value.as_array().filter(|items| items.len() >= n);
        let converted = items.and_then(|items| items.iter().take(n).map(convert).collect());
        converted.map(Some).ok_or_else(|| wrong(path, value, &format!("a list of {n}, each {expected}")))
    }

    /// Fails unless the value at a path is absent or the one that every V4 has.
    pub(in crate::model) fn refuse_other(&self, path: &str, only: &Value) -> Result<()> {
        // Of what is on or off, nothing is as good as off.
        let off = || (only.is_boolean() && self.is_null(path)).then_some(&Value::Bool(false));
        match self.at(path).or_else(off) {
            Some(value) if value != only => {
                Err(wrong(path, value, &format!("{only}: models that differ are not supported")))
            }
            _ => Ok(()),
        }
    }
}

/// The model's type by the name of its class, where a file leaves the type out.
fn name_by_class(config: &mut Value) {
    let class = config["architectures"][0].as_str().unwrap_or_default();
    let name = class.split_once("For").map_or(class, |(name, _)| name);
    if name.is_empty() || config.get("model_type").is_some_and(|name| !name.is_null()) {
        return;
    }
    // A capital begins a word, unless another one stands before it.
    let mut snake = String::new();
    let mut after_small = false;
    for c in name.chars().take(64) {
        if c.is_ascii_uppercase() && after_small {
            snake.push('_');
        }
        after_small = !c.is_ascii_uppercase();
        snake.push(c.to_ascii_lowercase());
    }
    let name = match snake.as_str() {
        "smol_lm3" => "smollm3",
        "gemma3" => "gemma3_text",
        other => other,
    };
    config["model_type"] = name.into();
}

/// `rope_scaling` is what `rope_parameters` was called before; where a file has both, transformers takes the former, and of the
/// latter what turns layers with a window.
fn one_rotation(config: &mut Value) -> Result<()> {
    let scaling = config.get("rope_scaling").cloned().unwrap_or_default();
    match &scaling {
        Value::Null | Value::Bool(false) => return Ok(()),
        Value::Object(scaling) if scaling.is_empty() => return Ok(()),
        Value::Object(_) => {}
        other => return Err(wrong("rope_scaling", other, "an object, or null")),
    }
    if let Some(theta) = scaling.get("rope_theta").filter(|theta| !theta.is_null()) {
        config["rope_theta"] = theta.clone();
    }
    let Some(parameters) = config.get_mut("rope_parameters").filter(|value| value.is_object()) else { return Ok(()) };
    let (theta, of_windows) = (parameters["rope_theta"].take(), parameters["sliding_attention"].take());
    *parameters = json!({"sliding_attention": of_windows});
    if !theta.is_null() && config["rope_theta"].is_null() {
        config["rope_theta"] = theta;
    }
    Ok(())
}

pub(in crate::model) fn thing(path: &str) -> String {
    format!("config.json: key {path:?}")
}

fn wrong(path: &str, value: &Value, expected: &str) -> Error {
    Error::file(thing(path), shown(&value.to_string())).expected(expected).advice(ADVICE)
}

/// A whole number, which may be written as `2048.0`.
fn to_u32(value: &Value) -> Option<u32> {
    let written = value.as_f64().filter(|wide| wide.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(wide));
    value.as_u64().and_then(|wide| u32::try_from(wide).ok()).or(written.map(|wide| wide as u32))
}

impl Keys for ConfigKeys {
    fn whole(&self, key: &Key) -> Result<Option<u32>> {
        self.get(key, "a whole number", to_u32)
    }

    fn number(&self, key: &Key) -> Result<Option<f64>> {
        self.get(key, "a number", Value::as_f64)
    }

    fn flag(&self, key: &Key) -> Result<Option<bool>> {
        // To transformers nothing is as good as false.
        let is_null = || key.config.iter().any(|path| self.is_null(path)).then_some(false);
        Ok(self.get(key, "true or false", Value::as_bool)?.or_else(is_null))
    }

    fn text(&self, key: &Key) -> Result<Option<String>> {
        self.get(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    fn thing(&self, key: &Key) -> String {
        let path = key.config.iter().find(|path| self.at(path).is_some());
        thing(path.or(key.config.last()).copied().unwrap_or_default())
    }
}

impl Shape {
    /// Reads and checks the shape of a `config.json`, given as text. Fails, naming the key, for text that is no
    /// JSON, for another architecture, for a core key that is missing, and for values outside what V4 allows.
    pub fn from_config(json: &str) -> Result<Self> {
        let keys = ConfigKeys::parse(json)?;
        let architecture = keys.at("model_type").and_then(Value::as_str).unwrap_or("nothing");
        keys::require_v4(&thing("model_type"), architecture)?;
        refuse_variants(&keys)?;

        let n_layers = keys.require(&keys::N_LAYERS)?;
        if n_layers == 0 || n_layers > MOST_LAYERS {
            return Err(Error::file(keys.thing(&keys::N_LAYERS), n_layers.to_string())
                .expected(format!("from 1 to {MOST_LAYERS}")));
        }
        let n_layers = n_layers as usize;
        let default = Self::v4_flash();
        let limit = keys.number(&keys::LIMIT)?.map_or(default.swiglu_limit[0], |limit| keys::limit(limit as f32));
        let rest = Rest {
            n_vocab: keys.require(&keys::N_VOCAB)?,
            ratios: ratios(&keys, n_layers)?,
            n_hash_layers: n_hash_layers(&keys, n_layers)?,
            swiglu_limit: vec![limit; n_layers],
            swiglu_limit_shared: vec![limit; n_layers],
            rope_dims: rope_dims(&keys, &default)?,
            yarn_by_default: false,
            bos: token(&keys, &keys::BOS)?,
            eos: token(&keys, &keys::EOS)?,
        };
        keys::read(&keys, rest)
    }
}

/// Fails for settings that transformers would let differ, and that no V4 does.
fn refuse_variants(keys: &ConfigKeys) -> Result<()> {
    keys.refuse_other("scoring_func", &"sqrtsoftplus".into())?;
    keys.refuse_other("hidden_act", &"silu".into())?;
    keys.refuse_other("attention_bias", &false.into())?;
    keys.refuse_other("mlp_bias", &false.into())?;
    keys.refuse_other("tie_word_embeddings", &false.into())?;
    keys.refuse_scaled("rope_parameters.main")?;
    refuse_amplitudes(keys)?;
    for (path, ratio) in [
        ("compress_rates.compressed_sparse_attention", RATIO_SPARSE),
        ("compress_rates.heavily_compressed_attention", RATIO_HEAVY),
        ("compress_rate_csa", RATIO_SPARSE),
        ("compress_rate_hca", RATIO_HEAVY),
    ] {
        keys.refuse_other(path, &ratio.into())?;
    }
    Ok(())
}

/// Fails for cosines and sines that are multiplied by something.
fn refuse_amplitudes(keys: &ConfigKeys) -> Result<()> {
    for rotation in ["rope_parameters.compress", "rope_parameters", "rope_scaling"] {
        let path = format!("{rotation}.attention_factor");
        // transformers takes one of its own for YaRN in its own spelling.
        let is_missing = || rotation.ends_with("compress") && keys.kind(rotation).1.is_some_and(|kind| kind == "yarn");
        let factor = match keys.at(&path).and_then(Value::as_f64) {
            None if is_missing() => "missing".to_owned(),
            Some(factor) if factor != 1.0 => factor.to_string(),
            _ => continue,
        };
        return Err(Error::file(thing(&path), factor)
            .expected("1.0, as in every published V4")
            .advice("Without it transformers computes something else; models that differ here are not supported."));
    }
    Ok(())
}

/// The ratio of each layer; entries beyond the layers belong to multi-token prediction.
fn ratios(keys: &ConfigKeys, n_layers: usize) -> Result<Vec<u32>> {
    let by_type = |value: &Value| match value.as_str()? {
        "sliding_attention" => Some(0),
        "compressed_sparse_attention" => Some(RATIO_SPARSE),
        "heavily_compressed_attention" => Some(RATIO_HEAVY),
        _ => None,
    };
    let types = "\"sliding_attention\", \"compressed_sparse_attention\" or \"heavily_compressed_attention\"";
    if let Some(ratios) = keys.list("layer_types", n_layers, types, by_type)? {
        return Ok(ratios);
    }
    keys.list(keys::RATIOS.config[0], n_layers, "0, 4 or 128", to_u32)?.ok_or_else(|| {
        Error::file(thing("compress_ratios"), "missing").expected("it, or \"layer_types\"").advice(ADVICE)
    })
}

/// How many layers route by token id: a number, or a list of kinds that begins with those.
fn n_hash_layers(keys: &ConfigKeys, n_layers: usize) -> Result<Option<u32>> {
    let path = "mlp_layer_types";
    let is_hash = |value: &Value| match value.as_str()? {
        "hash_moe" => Some(true),
        "moe" => Some(false),
        _ => None,
    };
    let Some(kinds) = keys.list(path, n_layers, "\"hash_moe\" or \"moe\"", is_hash)? else {
        return keys.whole(&keys::N_HASH_LAYERS);
    };
    let n_hash = kinds.iter().take_while(|&&hash| hash).count();
    if kinds[n_hash..].contains(&true) {
        return Err(Error::file(thing(path), "\"hash_moe\" after \"moe\"")
            .expected("every \"hash_moe\" before the first \"moe\"")
            .advice(ADVICE));
    }
    Ok(Some(n_hash as u32))
}

/// The rotated dims: as such, or as a part of the head.
fn rope_dims(keys: &ConfigKeys, default: &Shape) -> Result<u32> {
    if let Some(rope_dims) = keys.whole(&keys::ROPE_DIMS)? {
        return Ok(rope_dims);
    }
    let part = Key { gguf: "", config: &["partial_rotary_factor", "rope_parameters.compress.partial_rotary_factor"] };
    let part = keys.number(&part)?.unwrap_or(f64::from(default.rope_dims) / f64::from(default.head_dim));
    // What does not fit saturates, and fails the check of the shape.
    Ok((f64::from(keys.require(&keys::HEAD_DIM)?) * part) as u32)
}

/// A token's id: a number, or a list of which the first is the one. An empty list, `null` and a number below zero name none.
pub(in crate::model) fn token(keys: &ConfigKeys, key: &Key) -> Result<Option<u32>> {
    let first = |value: &Value| match value {
        Value::Array(ids) => ids.iter().find(|id| !id.is_null()).cloned(),
        one => Some(one.clone()),
    };
    let id = keys.get(key, "a token's id", |value| match first(value) {
        Some(id) if id.as_i64().is_some_and(|id| id < 0) => Some(None),
        Some(id) => to_u32(&id).map(Some),
        None => Some(None),
    })?;
    Ok(id.flatten())
}
