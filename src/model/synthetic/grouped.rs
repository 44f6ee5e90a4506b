//! Published models with grouped-query attention, by value, and their tensors as a GGUF would have them. Sources: the
//! `config.json` of each, Llama 3 8B's, DeepSeek-R1-Distill-Qwen-1.5B's, Qwen3-30B-A3B's and LFM2-1.2B's.

use super::name::SyntheticName;
use super::weights::Filling;
use super::{SyntheticTensor, matrix, network, tensor};
use crate::error::{Error, Result};
use crate::format::{Directory, Format, Stored, TensorInfo};
use crate::model::Model;
use crate::model::grouped::{ExpertsShape, Shape};
use std::ops::Range;

/// Names, and what their `config.json` says.
const PUBLISHED: [(&str, &str); 4] = [
    (
        "llama-8b",
        r#"{"model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": false}"#,
    ),
    (
        "r1-distill-qwen-1.5b",
        r#"{"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960,
        "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
        "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": false}"#,
    ),
    (
        "qwen3-30b-a3b",
        r#"{"model_type": "qwen3_moe", "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144,
        "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128,
        "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768, "norm_topk_prob": true,
        "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
        "tie_word_embeddings": false}"#,
    ),
    (
        "lfm2-1.2b",
        r#"{"model_type": "lfm2", "vocab_size": 65536, "hidden_size": 2048, "block_ff_dim": 12288,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "conv_L_cache": 3,
        "full_attn_idxs": [2, 5, 8, 10, 12, 14], "max_position_embeddings": 128000, "norm_eps": 1e-5,
        "rope_theta": 1000000.0}"#,
    ),
];

/// The names of these models.
pub fn names() -> impl Iterator<Item = &'static str> {
    PUBLISHED.iter().map(|(name, _)| *name)
}

/// A model with grouped-query attention and random weights.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticGrouped {
    /// The name that asks for it.
    pub name: String,
    /// Its shape, with the layers, experts and tokens that were asked for.
    pub shape: Shape,
    /// The shape of the model that it is cut from.
    pub whole: Shape,
    /// The format of its matrices, where rows are whole blocks of it.
    pub format: Format,
    /// The begin of the random numbers.
    pub seed: u32,
}

/// The layers that a name asks for, of a model that has so many.
///
/// # Errors
/// When it has no such layers.
pub(super) fn layers_of(name: &SyntheticName, n_layers: u32) -> Result<Range<u32>> {
    let Some(layers) = &name.layers else { return Ok(0..n_layers) };
    let end = if layers.end == u32::MAX { n_layers } else { layers.end };
    if layers.start >= end || end > n_layers {
        return Err(Error::usage("layers", format!("{}..{end}", layers.start))
            .expected(format!("a first and a later end within 0..{n_layers}")));
    }
    Ok(layers.start..end)
}

/// The tensors as a directory, each a source of its own.
///
/// # Errors
/// When two have one name.
pub(super) fn directory_of(tensors: Vec<SyntheticTensor>) -> Result<Directory> {
    let info = |(source_index, tensor): (usize, SyntheticTensor)| {
        let (stored, bytes) = (Stored::Supported(tensor.format), tensor.bytes());
        TensorInfo { name: tensor.name, stored, shape: tensor.shape, offset: 0, bytes, source_index }
    };
    Directory::new(tensors.into_iter().enumerate().map(info).collect())
}

impl SyntheticGrouped {
    /// The model of that name, if one of them has it. Layers are alike, so that a cut is as many of them; but one with a
    /// convolution keeps it.
    ///
    /// # Errors
    /// When it has no such layers.
    pub fn of(name: &SyntheticName) -> Result<Option<Self>> {
        let Some((_, config)) = PUBLISHED.iter().find(|(known, _)| name.model.eq_ignore_ascii_case(known)) else {
            return Ok(None);
        };
        let whole = Shape::from_config(config)?;
        let mut shape = whole.clone();
        let layers = layers_of(name, shape.n_layers)?;
        shape.n_layers = layers.end - layers.start;
        shape.n_vocab = name.fewer("vocab", name.n_vocab, whole.n_vocab)?;
        if let Some(experts) = &mut shape.experts {
            experts.layers.truncate(shape.n_layers as usize);
            experts.n_experts = name.fewer("experts", name.n_experts, experts.n_experts)?.max(experts.n_used);
        }
        if let Some(convolutions) = &mut shape.convolutions {
            convolutions.layers = convolutions.layers[layers.start as usize..layers.end as usize].to_vec();
        }
        let format = name.format.unwrap_or(Format::Q4_0);
        Ok(Some(Self { name: name.shown(), shape, whole, format, seed: name.seed }))
    }

    /// All of the model that it is cut from.
    #[must_use]
    pub fn uncut(&self) -> Self {
        Self { shape: self.whole.clone(), ..self.clone() }
    }

    /// Parameters that take part in a token: all but the embedding and the experts that are not chosen.
    #[must_use]
    pub fn n_active_parameters(&self) -> u64 {
        let shape = &self.shape;
        let idle = |of: &ExpertsShape| {
            let each = 3 * u64::from(of.n_hidden) * u64::from(shape.n_embd);
            (0..shape.n_layers as usize).filter(|layer| shape.has_experts(*layer)).count() as u64
                * u64::from(of.n_experts.saturating_sub(of.n_used))
                * each
        };
        let embedding = u64::from(shape.n_vocab) * u64::from(shape.n_embd);
        shape.n_parameters(false) - embedding - shape.experts.as_ref().map_or(0, idle)
    }

    /// The tensors bound to their fields, each a source of its own: a piece's `source_index` is its tensor's place in
    /// [`Self::tensors`].
    ///
    /// # Errors
    /// None for a model of [`Self::of`].
    pub fn model(&self) -> Result<Model> {
        Model::bind_grouped(self.shape.clone(), &directory_of(self.tensors())?)
    }

    /// Its tensors in the order of a file.
    #[must_use]
    pub fn tensors(&self) -> Vec<SyntheticTensor> {
        let shape = &self.shape;
        let (n_vocab, n_embd) = (shape.n_vocab, shape.n_embd);
        let norm = if shape.convolutions.is_some() { "token_embd_norm.weight" } else { "output_norm.weight" };
        let mut tensors = vec![
            matrix("token_embd.weight".into(), &[n_vocab, n_embd], self.format),
            tensor(norm.into(), &[n_embd], Format::F32, Filling::NearOne),
        ];
        tensors.extend((!shape.is_tied).then(|| matrix("output.weight".into(), &[n_vocab, n_embd], self.format)));
        (0..shape.n_layers).for_each(|layer| self.layer(layer, &mut tensors));
        tensors
    }

    fn layer(&self, layer: u32, tensors: &mut Vec<SyntheticTensor>) {
        let shape = &self.shape;
        let name = |what: &str| format!("blk.{layer}.{what}");
        let plain = |what: &str, dims: &[u32], filling| tensor(name(what), dims, Format::F32, filling);
        let matrix = |what: &str, dims: &[u32]| matrix(name(what), dims, self.format);
        let (n_embd, q, kv) = (shape.n_embd, shape.q_width(), shape.kv_width());
        tensors.extend([
            plain("attn_norm.weight", &[n_embd], Filling::NearOne),
            plain("ffn_norm.weight", &[n_embd], Filling::NearOne),
        ]);
        let convolution = shape.convolutions.as_ref().filter(|_| shape.convolves(layer as usize));
        tensors.extend(match convolution {
            None => vec![
                matrix("attn_q.weight", &[q, n_embd]),
                matrix("attn_k.weight", &[kv, n_embd]),
                matrix("attn_v.weight", &[kv, n_embd]),
                matrix("attn_output.weight", &[n_embd, q]),
            ],
            Some(of) => vec![
                matrix("shortconv.in_proj.weight", &[3 * n_embd, n_embd]),
                plain("shortconv.conv.weight", &[n_embd, of.n_taps], Filling::Product),
                matrix("shortconv.out_proj.weight", &[n_embd, n_embd]),
            ],
        });
        if shape.has_bias {
            let widths = [("attn_q.bias", q), ("attn_k.bias", kv), ("attn_v.bias", kv)];
            tensors.extend(widths.map(|(what, width)| plain(what, &[width], Filling::Small)));
        }
        if shape.has_head_norm && convolution.is_none() {
            let norms = ["attn_q_norm.weight", "attn_k_norm.weight"];
            tensors.extend(norms.map(|what| plain(what, &[shape.head_dim], Filling::NearOne)));
        }
        match shape.experts.as_ref().filter(|_| shape.has_experts(layer as usize)) {
            Some(of) => tensors.extend([
                plain("ffn_gate_inp.weight", &[of.n_experts, n_embd], Filling::Product),
                matrix("ffn_gate_exps.weight", &[of.n_experts, of.n_hidden, n_embd]),
                matrix("ffn_up_exps.weight", &[of.n_experts, of.n_hidden, n_embd]),
                matrix("ffn_down_exps.weight", &[of.n_experts, n_embd, of.n_hidden]),
            ]),
            None => {
                let part = |part: &str| name(&format!("ffn_{part}.weight"));
                tensors.extend(network(part, shape.n_hidden, n_embd, self.format));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n_parameters(name: &str) -> u64 {
        let name = SyntheticName::parse(name).expect("a name");
        let model = SyntheticGrouped::of(&name).expect("layers").expect("a known model");
        model.tensors().iter().map(|tensor| tensor.shape.iter().product::<u64>()).sum()
    }

    #[test]
    fn models_have_the_parameters_that_are_told_of_them() {
        assert_eq!(n_parameters("synthetic:llama-8b"), 8_030_261_248);
        assert_eq!(n_parameters("synthetic:R1-Distill-Qwen-1.5B"), 1_777_088_000);
        assert_eq!(n_parameters("synthetic:qwen3-30b-a3b"), 30_532_122_624);
        assert_eq!(n_parameters("synthetic:lfm2-1.2b"), 1_170_340_608);
        // As their names say, 3 of the 30 thousand million are in a token.
        let name = SyntheticName::parse("synthetic:qwen3-30b-a3b").expect("a name");
        let active = SyntheticGrouped::of(&name).expect("layers").expect("known").n_active_parameters();
        assert!((2_900_000_000..3_200_000_000).contains(&active), "{active}");
        let two = n_parameters("synthetic:llama-8b:layers=0..2");
        assert_eq!(
            n_parameters("synthetic:llama-8b") - two,
            30 * (n_parameters("synthetic:llama-8b:layers=1..") - two) / 29
        );
    }
}
