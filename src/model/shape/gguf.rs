//! The shape in the keys of a GGUF of architecture `deepseek4`. Missing keys, but for the core ones, are taken to
//! be as in V4-Flash. Source: llama.cpp's loader and converter for `deepseek4` (spec 11.2).

use super::Shape;
use super::check::MOST_LAYERS;
use super::keys::{self, Key, Keys, Rest};
use crate::error::{Error, Result};
use crate::format::directory::{Directory, shown};
use crate::format::gguf::{Gguf, Metadata, Value};
use std::collections::BTreeSet;

pub(in crate::model) const ARCHITECTURE: &str = "general.architecture";
/// The layers of multi-token prediction among the blocks.
const N_MTP: Key = Key { gguf: "nextn_predict_layers", config: &[] };
pub(super) const LIMIT_SHARED: Key = Key { gguf: "swiglu_clamp_shexp", config: &[] };
/// How the router scores: 4 is sqrt(softplus).
pub(in crate::model) const GATING: Key = Key { gguf: "expert_gating_func", config: &[] };

pub(in crate::model) struct GgufKeys<'a> {
    pub(in crate::model) metadata: &'a Metadata,
    pub(in crate::model) architecture: &'a str,
}

impl GgufKeys<'_> {
    pub(in crate::model) fn name(&self, key: &Key) -> String {
        format!("{}.{}", self.architecture, key.gguf)
    }
}

impl Keys for GgufKeys<'_> {
    fn whole(&self, key: &Key) -> Result<Option<u32>> {
        self.metadata.get_u32(&self.name(key))
    }

    fn number(&self, key: &Key) -> Result<Option<f64>> {
        Ok(self.metadata.get_f32(&self.name(key))?.map(f64::from))
    }

    fn flag(&self, key: &Key) -> Result<Option<bool>> {
        self.metadata.get_bool(&self.name(key))
    }

    fn flags(&self, key: &Key, n: usize) -> Option<Vec<bool>> {
        let name = self.name(key);
        let is_list = matches!(self.metadata.get(&name), Some(Value::Scalars(_)));
        is_list.then(|| self.metadata.get_bool_for_each(&name, n).ok().flatten()).flatten()
    }

    fn text(&self, key: &Key) -> Result<Option<String>> {
        Ok(self.metadata.get_str(&self.name(key))?.map(str::to_owned))
    }

    fn thing(&self, key: &Key) -> String {
        format!("{}: key {}", self.metadata.file(), shown(&self.name(key)))
    }
}

impl Shape {
    /// Reads and checks the shape of a GGUF. Fails, naming the key, for another architecture, for a core key that is
    /// missing, and for values outside what V4 allows.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let metadata = &gguf.metadata;
        let architecture = metadata.require_str(ARCHITECTURE)?;
        keys::require_v4(&format!("{}: key {ARCHITECTURE:?}", metadata.file()), architecture)?;
        let keys = GgufKeys { metadata, architecture };
        keys.refuse_other(&GATING, 4)?;
        let n_layers = n_layers(&keys, &gguf.directory)?;
        let ratios = metadata.get_u32_for_each(&keys.name(&keys::RATIOS), n_layers)?;
        let swiglu_limit = limits(&keys, &keys::LIMIT, n_layers)?;
        let swiglu_limit_shared = limits(&keys, &LIMIT_SHARED, n_layers)?;
        let default = Self::v4_flash();
        // Without a limit of its own, each kind of expert has the default or the other's.
        let swiglu_limit = swiglu_limit.unwrap_or_else(|| vec![default.swiglu_limit[0]; n_layers]);
        let rest = Rest {
            n_vocab: n_vocab(&keys, &gguf.directory)?,
            ratios: ratios.ok_or_else(|| keys.missing(&keys::RATIOS))?,
            n_hash_layers: keys.whole(&keys::N_HASH_LAYERS)?,
            swiglu_limit_shared: swiglu_limit_shared.unwrap_or_else(|| swiglu_limit.clone()),
            swiglu_limit,
            rope_dims: keys.whole(&keys::ROPE_DIMS)?.unwrap_or(default.rope_dims),
            yarn_by_default: true,
            bos: metadata.get_id("tokenizer.ggml.bos_token_id")?,
            eos: metadata.get_id("tokenizer.ggml.eos_token_id")?,
        };
        keys::read(&keys, rest)
    }
}

fn limits(keys: &GgufKeys<'_>, key: &Key, n_layers: usize) -> Result<Option<Vec<f32>>> {
    let limits = keys.metadata.get_f32_for_each(&keys.name(key), n_layers)?;
    Ok(limits.map(|limits| limits.into_iter().map(keys::limit).collect()))
}

/// The vocabulary's size, by the rows of the embedding or else by its key: where the two differ, the rows are there.
pub(in crate::model) fn n_vocab(keys: &GgufKeys<'_>, directory: &Directory) -> Result<u32> {
    let n_rows = directory.get("token_embd.weight").map(crate::format::TensorInfo::n_rows);
    if let Some(n_rows) = n_rows.and_then(|n_rows| u32::try_from(n_rows).ok()) {
        return Ok(n_rows);
    }
    keys.whole(&keys::N_VOCAB)?.ok_or_else(|| keys.missing(&keys::N_VOCAB))
}

/// The blocks, less those of multi-token prediction. Files count these in or not, with the key or without, so the
/// tensors decide, by their names; where the last block has none here, the key does.
pub(in crate::model) fn n_layers(keys: &GgufKeys<'_>, directory: &Directory) -> Result<usize> {
    let n_blocks = keys.require(&keys::N_LAYERS)?;
    if n_blocks == 0 || n_blocks > MOST_LAYERS {
        return Err(
            Error::file(keys.thing(&keys::N_LAYERS), n_blocks.to_string()).expected(format!("from 1 to {MOST_LAYERS}"))
        );
    }
    let mut mtp_blocks = BTreeSet::new();
    let mut last_is_here = false;
    for tensor in directory.tensors() {
        let Some((block, rest)) = tensor.name.strip_prefix("blk.").and_then(|name| name.split_once('.')) else {
            continue;
        };
        let Ok(block) = block.parse::<u32>() else { continue };
        last_is_here |= block == n_blocks - 1;
        if rest.starts_with("nextn.") {
            mtp_blocks.insert(block);
        }
    }
    let n_mtp = if last_is_here {
        (0..n_blocks).rev().take_while(|block| mtp_blocks.contains(block)).count() as u32
    } else {
        keys.whole(&N_MTP)?.unwrap_or(0)
    };
    match n_blocks.checked_sub(n_mtp) {
        Some(n_layers) if n_layers > 0 => Ok(n_layers as usize),
        _ => Err(Error::file(keys.thing(&N_MTP), n_mtp.to_string())
            .expected(format!("fewer than the {n_blocks} blocks of {:?}", keys::N_LAYERS.gguf))),
    }
}
