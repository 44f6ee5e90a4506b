//! What sets the attention of one layer apart from another's: how far back it looks, and how its heads turn. Files say
//! it as a list of kinds, as "every n-th layer", or not at all where the architecture has one way.
//!
//! # Easy to get wrong
//!
//! * Layers are counted from 1: of every six the last sees all, of every four the last does not turn.
//! * A window counts the token itself.
//! * gpt-oss: of every two layers the last sees all, so that the first layer has a window.
//! * `no_rope_layers` of a `config.json` holds 1 for the layers that do turn.
//! * In a GGUF of LFM2 a layer has a convolution where it has no key heads; there is no other mark.

use super::{Convolutions, MOST_LAYERS, Shape};
use crate::error::{Error, Result};
use crate::model::shape::config::ConfigKeys;
use crate::model::shape::gguf::GgufKeys;
use crate::model::shape::keys::{self, Key, Keys, key};

/// The attention of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerKind {
    /// Keys that a token sees at most, its own among them; all when `None`.
    pub window: Option<u32>,
    /// How its heads turn.
    pub turn: Turn,
}

/// How the heads of a layer turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// By the model's rotation.
    Main,
    /// By that of layers with a window.
    Local,
    /// Not at all.
    Not,
}

impl LayerKind {
    /// What most layers of most models are.
    pub const PLAIN: Self = Self { window: None, turn: Turn::Main };
}

/// Of every so many layers the last one sees all, the others have a window; or in a GGUF whether each has one.
pub(super) const PATTERN: Key =
    key("attention.sliding_window_pattern", &["sliding_window_pattern", "_sliding_window_pattern"]);
/// Of every so many layers the last one does not turn.
const NO_ROPE: Key = key("", &["no_rope_layer_interval"]);

/// Tokens that a convolution spans.
pub(super) const N_TAPS: Key = key("shortconv.l_cache", &["conv_L_cache"]);

/// The way of an architecture, where a file does not say.
#[derive(Clone, Copy)]
pub(super) struct Custom {
    /// See [`PATTERN`]; `None` where no layer has a window.
    pub(super) full_each: Option<u32>,
    /// See [`NO_ROPE`]; `None` where all turn.
    pub(super) still_each: Option<u32>,
    /// Whether layers with a window turn by a rotation of their own.
    pub(super) turns_apart: bool,
    /// Whether a file without a window is not whole.
    pub(super) needs_window: bool,
    /// Whether a window in a GGUF is that of all layers with attention.
    pub(super) all_slide: bool,
}

impl Custom {
    /// All layers alike.
    pub(super) const NONE: Self =
        Self { full_each: None, still_each: None, turns_apart: false, needs_window: false, all_slide: false };
}

/// The kinds of all layers; none where they are all alike. `config` has the lists that only a `config.json` has, and
/// `window` is what one means that names none.
pub(super) fn read(
    keys: &dyn Keys,
    config: Option<&ConfigKeys>,
    custom: &Custom,
    window: Option<u32>,
) -> Result<Vec<LayerKind>> {
    let n_layers = keys.require(&keys::N_LAYERS)?.min(MOST_LAYERS + 1);
    let mut kinds = Vec::new();
    if let Some(each) = custom.full_each {
        let window = keys.whole(&keys::WINDOW)?.or(window);
        // Of some architectures a GGUF without a window has none, as llama.cpp reads it.
        if config.is_some() || custom.needs_window || window.is_some_and(|window| window > 0) {
            let slides = match keys.flags(&PATTERN, n_layers as usize) {
                Some(told) => told,
                None => {
                    let each = interval(keys, &PATTERN, each)?;
                    (1..=n_layers).map(|layer| layer % each != 0).collect()
                }
            };
            kinds = windows(keys, config, custom.turns_apart, window, slides)?;
        }
    }
    if custom.all_slide && config.is_none() {
        let window = keys.whole(&keys::WINDOW)?.filter(|window| *window > 0);
        let kind = |window| vec![LayerKind { window: Some(window), ..LayerKind::PLAIN }; n_layers as usize];
        kinds = window.map(kind).unwrap_or_default();
    }
    if let Some(each) = custom.still_each {
        let each = interval(keys, &NO_ROPE, each)?;
        let flag = |value: &serde_json::Value| value.as_u64().filter(|turns| *turns <= 1).map(|turns| turns == 1);
        let told = config.map(|config| config.list("no_rope_layers", n_layers as usize, "0 or 1", flag)).transpose()?;
        let turns = told.flatten().unwrap_or_else(|| (1..=n_layers).map(|layer| layer % each != 0).collect());
        kinds = turns
            .into_iter()
            .map(|turns| LayerKind { turn: if turns { Turn::Main } else { Turn::Not }, ..LayerKind::PLAIN })
            .collect();
    }
    Ok(kinds)
}

fn windows(
    keys: &dyn Keys,
    config: Option<&ConfigKeys>,
    turns_apart: bool,
    window: Option<u32>,
    slides: Vec<bool>,
) -> Result<Vec<LayerKind>> {
    let window = window.ok_or_else(|| keys.missing(&keys::WINDOW))?;
    if window == 0 {
        return Err(Error::file(keys.thing(&keys::WINDOW), "0").expected("a window of at least 1 token"));
    }
    let kind = |value: &serde_json::Value| match value.as_str()? {
        "sliding_attention" => Some(true),
        "full_attention" => Some(false),
        _ => None,
    };
    let kinds = "\"sliding_attention\" or \"full_attention\"";
    let told = config.map(|config| config.list("layer_types", slides.len(), kinds, kind)).transpose()?;
    let slides = told.flatten().unwrap_or(slides);
    let turn = if turns_apart { Turn::Local } else { Turn::Main };
    let kind = |slides| if slides { LayerKind { window: Some(window), turn } } else { LayerKind::PLAIN };
    Ok(slides.into_iter().map(kind).collect())
}

impl Convolutions {
    /// Those of a GGUF, and the key heads of the layers with attention.
    pub(super) fn of_gguf(keys: &GgufKeys<'_>) -> Result<(Self, u32)> {
        let n_layers = keys.require(&keys::N_LAYERS)?.min(MOST_LAYERS + 1) as usize;
        let kv_heads = keys.metadata.get_u32_for_each(&keys.name(&keys::N_KV_HEADS), n_layers)?;
        let kv_heads = kv_heads.ok_or_else(|| keys.missing(&keys::N_KV_HEADS))?;
        let most = kv_heads.iter().copied().max().unwrap_or(0);
        if let Some(other) = kv_heads.iter().find(|n| **n != 0 && **n != most) {
            return Err(Error::file(keys.thing(&keys::N_KV_HEADS), format!("{other} and {most} for different layers"))
                .expected("0, or one number in all layers with attention")
                .advice("Models whose layers differ here are not supported."));
        }
        let layers = kv_heads.into_iter().map(|n| n == 0).collect();
        Ok((Self { n_taps: keys.require(&N_TAPS)?, layers }, most))
    }

    /// Those of a `config.json`: a list of kinds, or as they were first published, the layers with attention.
    pub(super) fn of_config(keys: &ConfigKeys) -> Result<Self> {
        let n_layers = keys.require(&keys::N_LAYERS)?.min(MOST_LAYERS + 1) as usize;
        let kind = |value: &serde_json::Value| match value.as_str()? {
            "conv" => Some(true),
            "full_attention" => Some(false),
            _ => None,
        };
        let mut layers = keys.list("layer_types", n_layers, "\"conv\" or \"full_attention\"", kind)?;
        let path = "full_attn_idxs";
        if let (None, Some(told)) = (&layers, keys.at(path)) {
            let index = |value: &serde_json::Value| usize::try_from(value.as_u64()?).ok();
            let n = told.as_array().map_or(1, Vec::len);
            let convolves = layers.insert(vec![true; n_layers]);
            for layer in keys.list(path, n, "a layer", index)?.unwrap_or_default() {
                // transformers passes over layers that there are not.
                if let Some(convolves) = convolves.get_mut(layer) {
                    *convolves = false;
                }
            }
        }
        // It takes attention in all layers where nothing is said.
        let layers = layers.unwrap_or_else(|| vec![false; n_layers]);
        Ok(Self { n_taps: keys.whole(&N_TAPS)?.unwrap_or(3), layers })
    }
}

fn interval(keys: &dyn Keys, key: &Key, default: u32) -> Result<u32> {
    match keys.whole(key)? {
        Some(0) => Err(Error::file(keys.thing(key), "0").expected("every so many layers: at least 1")),
        told => Ok(told.unwrap_or(default)),
    }
}

impl Shape {
    /// The attention of a layer.
    #[must_use]
    pub fn kind(&self, layer: usize) -> LayerKind {
        self.kinds.get(layer).copied().unwrap_or(LayerKind::PLAIN)
    }
}
