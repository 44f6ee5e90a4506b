//! A model of any supported architecture, and what all of them have in common.

use super::{Shape, Weights, delta, grouped, mla};
use crate::format::directory::shown;

/// A model as its files tell it: shape and weights, checked against each other.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Model {
    /// DeepSeek V4.
    V4(Shape, Weights),
    /// Llama, Qwen2, Qwen3, Qwen3-MoE, SmolLM3, Gemma 3, gpt-oss, LFM2: grouped-query attention.
    Grouped(grouped::Shape, grouped::Weights),
    /// DeepSeek V2, V3, R1, V3.2: multi-head latent attention.
    Mla(mla::Shape, mla::Weights),
    /// Qwen3.5: gated delta nets, and attention every few layers.
    Delta(delta::Shape, delta::Weights),
}

/// What is known of every model, for running, measuring and showing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The architecture by the name that GGUF files give it.
    pub architecture: String,
    /// Tokens in the vocabulary.
    pub n_vocab: u32,
    /// Width of the model.
    pub n_embd: u32,
    /// Parameters.
    pub n_parameters: u64,
    /// The longest context, in tokens, that the model was made for.
    pub context_length: u32,
    /// The kind of each layer: `ratio 4`, `dense`, `experts`.
    pub layer_kinds: Vec<String>,
    /// Experts of a layer, and how many of them a token uses, where there are any.
    pub experts: Option<(u32, u32)>,
    /// The token that begins a text, where there is one.
    pub bos: Option<u32>,
    /// The token that ends one, where there is one.
    pub eos: Option<u32>,
}

impl Model {
    /// All of its shape as text: the same weights in another one compute something else.
    #[must_use]
    pub fn shape_text(&self) -> String {
        match self {
            Self::V4(shape, _) => format!("{shape:?}"),
            Self::Grouped(shape, _) => format!("{shape:?}"),
            Self::Mla(shape, _) => format!("{shape:?}"),
            Self::Delta(shape, _) => format!("{shape:?}"),
        }
    }

    /// What is known of it.
    #[must_use]
    pub fn outline(&self) -> Outline {
        match self {
            Self::V4(shape, weights) => Outline {
                architecture: "deepseek4".to_owned(),
                n_vocab: shape.n_vocab,
                n_embd: shape.n_embd,
                n_parameters: weights.n_parameters,
                context_length: shape.context_length,
                layer_kinds: shape.ratios.iter().map(|ratio| format!("ratio {ratio}")).collect(),
                experts: Some((shape.n_experts, shape.n_used)),
                bos: Some(shape.bos).filter(|id| *id < shape.n_vocab),
                eos: Some(shape.eos).filter(|id| *id < shape.n_vocab),
            },
            Self::Grouped(shape, weights) => {
                let kind = |layer| match (shape.convolves(layer), shape.has_experts(layer)) {
                    (true, _) => "convolution",
                    (false, true) => "experts",
                    (false, false) => "dense",
                };
                Outline {
                    architecture: shape.architecture.clone(),
                    n_vocab: shape.n_vocab,
                    n_embd: shape.n_embd,
                    n_parameters: weights.n_parameters,
                    context_length: shape.context_length,
                    layer_kinds: (0..shape.n_layers as usize).map(|layer| kind(layer).to_owned()).collect(),
                    experts: shape.experts.as_ref().map(|of| (of.n_experts, of.n_used)),
                    bos: shape.bos.filter(|id| *id < shape.n_vocab),
                    eos: shape.eos.filter(|id| *id < shape.n_vocab),
                }
            }
            Self::Mla(shape, weights) => {
                let kind = |layer| if shape.has_experts(layer) { "experts" } else { "dense" };
                Outline {
                    architecture: shape.architecture().to_owned(),
                    n_vocab: shape.n_vocab,
                    n_embd: shape.n_embd,
                    n_parameters: weights.n_parameters,
                    context_length: shape.context_length,
                    layer_kinds: (0..shape.n_layers as usize).map(|layer| kind(layer).to_owned()).collect(),
                    experts: shape.experts.as_ref().map(|of| (of.n_experts, of.n_used)),
                    bos: shape.bos.filter(|id| *id < shape.n_vocab),
                    eos: shape.eos.filter(|id| *id < shape.n_vocab),
                }
            }
            Self::Delta(shape, weights) => Outline {
                architecture: shape.architecture.to_owned(),
                n_vocab: shape.n_vocab,
                n_embd: shape.n_embd,
                n_parameters: weights.n_parameters,
                context_length: shape.context_length,
                layer_kinds: (0..shape.attends.len()).map(|layer| shape.kind(layer).to_owned()).collect(),
                experts: shape.experts.as_ref().map(|of| (of.n_experts, of.n_used)),
                bos: shape.bos.filter(|id| *id < shape.n_vocab),
                eos: shape.eos.filter(|id| *id < shape.n_vocab),
            },
        }
    }

    /// Counts of tensors that are passed over, and what they are for.
    #[must_use]
    pub fn left_out(&self) -> [(usize, &'static str); 2] {
        let (n_mtp, n_vision) = match self {
            Self::V4(_, weights) => (weights.n_mtp_tensors, 0),
            Self::Grouped(..) => (0, 0),
            Self::Mla(_, weights) => (weights.n_mtp_tensors, 0),
            Self::Delta(_, weights) => (weights.n_mtp_tensors, weights.n_vision_tensors),
        };
        [(n_mtp, "of multi-token prediction"), (n_vision, "for pictures")]
    }

    /// What a person should know that was left out of the files.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let (n_mtp, ignored, n_vocab, ends) = match self {
            Self::V4(shape, weights) => {
                (weights.n_mtp_tensors, &weights.ignored, shape.n_vocab, [Some(shape.bos), Some(shape.eos)])
            }
            Self::Grouped(shape, weights) => (0, &weights.ignored, shape.n_vocab, [shape.bos, shape.eos]),
            Self::Mla(shape, weights) => {
                (weights.n_mtp_tensors, &weights.ignored, shape.n_vocab, [shape.bos, shape.eos])
            }
            Self::Delta(shape, weights) => {
                (weights.n_mtp_tensors, &weights.ignored, shape.n_vocab, [shape.bos, shape.eos])
            }
        };
        let mut notices = match self {
            Self::Mla(shape, _) => shape.notices.clone(),
            _ => Vec::new(),
        };
        for (name, id) in ["bos_token_id", "eos_token_id"].into_iter().zip(ends) {
            if let Some(id) = id.filter(|id| *id >= n_vocab) {
                notices.push(format!("{name} is {id}, which is none of the {n_vocab} tokens: it is left out"));
            }
        }
        if n_mtp > 0 {
            notices.push(format!("{n_mtp} tensors of the multi-token prediction block are skipped"));
        }
        if let Self::Delta(_, delta::Weights { n_vision_tensors: n @ 1.., .. }) = self {
            notices.push(format!("{n} tensors that see pictures are skipped: texts only"));
        }
        // Training leaves a head behind that nothing reads.
        let is_tied = match self {
            Self::Grouped(shape, _) => shape.is_tied,
            Self::Delta(shape, _) => shape.is_tied,
            Self::V4(..) | Self::Mla(..) => false,
        };
        let is_stale = |name: &&String| is_tied && *name == "lm_head.weight";
        if ignored.iter().any(|name| is_stale(&name)) {
            notices.push("lm_head.weight is left out: the file says that the embedding is the head".to_owned());
        }
        let mut unknown = ignored.iter().filter(|name| !is_stale(name));
        if let Some(first) = unknown.next() {
            let (n, first) = (1 + unknown.count(), shown(first));
            notices.push(format!("{n} unknown tensors are ignored, the first of them {first}"));
        }
        notices
    }
}
