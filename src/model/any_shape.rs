//! The shape of a model of whichever architecture, and what can be asked of each: from its config, the tensors that it
//! consists of, a cut of it.

use super::family::Family;
use super::weights::take::{Made, Place};
use super::weights::{Named, Weights};
use super::{Model, Shape, delta, grouped, mla};
use crate::error::{Error, Result};
use crate::format::gguf::Value;
use crate::format::{Directory, Format};
use std::ops::Range;

/// A shape, see [`Model`] for the architectures of each.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there are few at a time")]
pub enum AnyShape {
    /// DeepSeek V4.
    V4(Shape),
    /// Grouped-query attention.
    Grouped(grouped::Shape),
    /// Multi-head latent attention.
    Mla(mla::Shape),
    /// Gated delta nets.
    Delta(delta::Shape),
}

impl From<Shape> for AnyShape {
    fn from(shape: Shape) -> Self {
        Self::V4(shape)
    }
}

impl AnyShape {
    /// Reads a `config.json`; what is odd but harmless goes to `notices`.
    ///
    /// # Errors
    /// When a key is missing, contradicts another, or is not supported.
    pub fn from_config(config: &str, notices: &mut Vec<String>) -> Result<Self> {
        Ok(match Family::of_config(config) {
            Family::V4 => Self::V4(Shape::from_config(config)?),
            Family::Grouped => Self::Grouped(grouped::Shape::from_config_with(config, notices)?),
            Family::Mla => Self::Mla(mla::Shape::from_config(config)?),
            Family::Delta => Self::Delta(delta::Shape::from_config(config, notices)?),
        })
    }

    /// Finds every weight of the model in these files.
    ///
    /// # Errors
    /// When a tensor is missing, of another extent, or of a format that does not suit it.
    pub fn bind(self, tensors: &Directory) -> Result<Model> {
        Ok(self.bind_named(Place::Files(tensors))?.0)
    }

    /// As [`Self::bind`], and every tensor under the name that a GGUF has for it.
    ///
    /// # Errors
    /// As [`Self::bind`]; none where tensors are made.
    pub fn bind_named(self, place: Place<'_>) -> Result<(Model, Vec<Named>)> {
        Ok(match self {
            Self::V4(shape) => {
                let (weights, named) = Weights::bind_named(&shape, place)?;
                (Model::V4(shape, weights), named)
            }
            Self::Grouped(shape) => {
                let (weights, named) = grouped::Weights::bind_named(&shape, place)?;
                (Model::Grouped(shape, weights), named)
            }
            Self::Mla(shape) => {
                let (weights, named) = mla::Weights::bind_named(&shape, place)?;
                (Model::Mla(shape, weights), named)
            }
            Self::Delta(shape) => {
                let (weights, named) = delta::Weights::bind_named(&shape, place)?;
                (Model::Delta(shape, weights), named)
            }
        })
    }

    /// Every tensor that a GGUF of the model has, with matrices in a format.
    ///
    /// # Errors
    /// None for a shape that passed its checks.
    pub fn tensors(&self, format: Format) -> Result<Vec<Named>> {
        Ok(self.clone().bind_named(Place::Made(Made { format, first_layer: 0 }))?.1)
    }

    /// Numbers that were learned; an embedding that serves twice counts once.
    ///
    /// # Errors
    /// As [`Self::tensors`].
    pub fn n_parameters(&self) -> Result<u64> {
        Ok(self.tensors(Format::F32)?.iter().map(Named::n_parameters).sum())
    }

    /// As a GGUF of the model would give it: norms with the 1 in them, value heads in the order of a GGUF.
    #[must_use]
    pub fn as_gguf(mut self) -> Self {
        match &mut self {
            Self::V4(_) | Self::Mla(_) => {}
            Self::Grouped(shape) => shape.norms_less_one = false,
            Self::Delta(shape) => shape.is_gguf = true,
        }
        self
    }

    /// The name of the architecture in a GGUF.
    #[must_use]
    pub fn architecture(&self) -> &str {
        match self {
            Self::V4(_) => "deepseek4",
            Self::Grouped(shape) => &shape.architecture,
            Self::Mla(shape) => shape.architecture(),
            Self::Delta(shape) => shape.architecture,
        }
    }

    /// The keys of the architecture in a GGUF, with its prefix.
    #[must_use]
    pub fn gguf_keys(&self) -> Vec<(String, Value)> {
        match self {
            Self::V4(shape) => shape.gguf_keys(),
            Self::Grouped(shape) => shape.gguf_keys(),
            Self::Mla(shape) => shape.gguf_keys(),
            Self::Delta(shape) => shape.gguf_keys(),
        }
    }

    /// Layers, those of multi-token prediction not counted.
    #[must_use]
    pub fn n_layers(&self) -> u32 {
        match self {
            Self::V4(shape) => shape.n_layers() as u32,
            Self::Grouped(shape) => shape.n_layers,
            Self::Mla(shape) => shape.n_layers,
            Self::Delta(shape) => shape.n_layers(),
        }
    }

    /// Tokens in the vocabulary.
    #[must_use]
    pub fn n_vocab(&self) -> u32 {
        match self {
            Self::V4(shape) => shape.n_vocab,
            Self::Grouped(shape) => shape.n_vocab,
            Self::Mla(shape) => shape.n_vocab,
            Self::Delta(shape) => shape.n_vocab,
        }
    }

    /// Experts of a layer, and how many of them a token uses; 0 where there are none.
    #[must_use]
    pub fn experts(&self) -> (u32, u32) {
        let of = match self {
            Self::V4(shape) => return (shape.n_experts, shape.n_used),
            Self::Grouped(shape) => &shape.experts,
            Self::Mla(shape) => &shape.experts,
            Self::Delta(shape) => &shape.experts,
        };
        of.as_ref().map_or((0, 0), |of| (of.n_experts, of.n_used))
    }

    /// The longest context, in tokens, that the model was made for.
    #[must_use]
    pub fn context_length(&self) -> u32 {
        match self {
            Self::V4(shape) => shape.context_length,
            Self::Grouped(shape) => shape.context_length,
            Self::Mla(shape) => shape.context_length,
            Self::Delta(shape) => shape.context_length,
        }
    }

    /// Bytes of what one layer keeps of a text, which has to be bound in one piece: the keys of so many tokens, in elements of
    /// so many bytes, or whatever stands for them.
    #[must_use]
    pub fn key_bytes(&self, n_context: u64, element_bytes: u64) -> u64 {
        let width = match self {
            // A stream's keys are f32, of every token within the window and of one in four beyond.
            Self::V4(shape) => return u64::from(shape.head_dim).saturating_mul(n_context),
            Self::Grouped(shape) => shape.kv_width(),
            Self::Mla(shape) => shape.row_dim(),
            Self::Delta(shape) => shape.kv_width(),
        };
        (u64::from(width) * element_bytes).saturating_mul(n_context)
    }

    /// About the bytes of all that is kept of a text of so many tokens, with keys and values in elements of so many bytes.
    #[must_use]
    pub fn cache_bytes(&self, n_context: u64, element_bytes: u64) -> u64 {
        let keys = self.key_bytes(n_context, element_bytes);
        let (n_layers, states) = match self {
            Self::V4(shape) => {
                let [head_dim, index] = [shape.head_dim, shape.index_head_dim].map(u64::from);
                let of_layer = |ratio: &u32| match u64::from(*ratio) {
                    0 => 0,
                    4 => (head_dim + index) * 4 * n_context / 4,
                    ratio => head_dim * 4 * n_context / ratio,
                };
                let window = u64::from(shape.window) * head_dim * 4;
                return shape.ratios.iter().map(|ratio| of_layer(ratio) + window).sum();
            }
            Self::Grouped(shape) => {
                let n_convolving = (0..shape.n_layers as usize).filter(|layer| shape.convolves(*layer)).count() as u64;
                let n_taps = shape.convolutions.as_ref().map_or(1, |of| u64::from(of.n_taps));
                let back = n_convolving * (n_taps - 1) * u64::from(shape.n_embd) * 4;
                (2 * (u64::from(shape.n_layers) - n_convolving), back)
            }
            Self::Mla(shape) => {
                let index_keys = shape.indexer.map_or(0, |of| u64::from(of.head_dim) * 4 * n_context);
                (u64::from(shape.n_layers), u64::from(shape.n_layers) * index_keys)
            }
            Self::Delta(shape) => {
                let n_attending = shape.attends.iter().filter(|attends| **attends).count() as u64;
                let [heads, key, value, channels, taps] = [
                    shape.net.n_value_heads,
                    shape.net.key_dim,
                    shape.net.value_dim,
                    shape.net.n_channels(),
                    shape.net.n_taps - 1,
                ]
                .map(u64::from);
                let state = (heads * key * value + channels * taps) * 4;
                (2 * n_attending, (u64::from(shape.n_layers()) - n_attending) * state)
            }
        };
        keys.saturating_mul(n_layers).saturating_add(states)
    }

    /// The same model with only these layers, each of its own kind.
    ///
    /// # Errors
    /// When it has no such layers.
    pub fn cut(&self, layers: &Range<u32>) -> Result<Self> {
        let n_layers = self.n_layers();
        if layers.is_empty() || layers.end > n_layers {
            return Err(Error::usage("layers", format!("{}..{}", layers.start, layers.end))
                .expected(format!("a first and a later end within 0..{n_layers}, the model's layers")));
        }
        let range = layers.start as usize..layers.end as usize;
        let mut cut = self.clone();
        let experts = match &mut cut {
            Self::V4(shape) => {
                *shape = shape.cut(range);
                return Ok(cut);
            }
            Self::Grouped(shape) => {
                shape.n_layers = layers.len() as u32;
                shape.kinds = shape.kinds.get(range.clone()).unwrap_or_default().to_vec();
                if let Some(of) = &mut shape.convolutions {
                    of.layers = of.layers.get(range.clone()).unwrap_or_default().to_vec();
                }
                &mut shape.experts
            }
            Self::Mla(shape) => {
                shape.n_layers = layers.len() as u32;
                &mut shape.experts
            }
            Self::Delta(shape) => {
                shape.attends = shape.attends[range.clone()].to_vec();
                &mut shape.experts
            }
        };
        if let Some(of) = experts {
            of.layers = of.layers.get(range).unwrap_or_default().to_vec();
        }
        // Dense layers alone are a model without experts.
        *experts = experts.take().filter(|of| of.layers.contains(&true));
        Ok(cut)
    }

    /// The same layers with fewer experts to choose from and a smaller vocabulary: a step reads as many bytes of the
    /// layers as before, of a model that takes less memory.
    ///
    /// # Errors
    /// When a V4 would have fewer experts than a token uses; the others keep as many.
    pub fn with_fewer(mut self, n_experts: u32, n_vocab: u32) -> Result<Self> {
        let (experts, of_vocab) = match &mut self {
            Self::V4(shape) => {
                let shape = Shape { n_experts, n_vocab, ..shape.clone() };
                shape.check()?;
                return Ok(Self::V4(shape));
            }
            Self::Grouped(shape) => (&mut shape.experts, &mut shape.n_vocab),
            Self::Mla(shape) => (&mut shape.experts, &mut shape.n_vocab),
            Self::Delta(shape) => (&mut shape.experts, &mut shape.n_vocab),
        };
        *of_vocab = n_vocab;
        if let Some(of) = experts {
            // A router of groups compares the best two of each.
            let least = if of.n_groups > 1 { of.n_used.max(2 * of.n_groups) } else { of.n_used };
            of.n_experts = n_experts.max(least).next_multiple_of(of.n_groups.max(1));
        }
        Ok(self)
    }

    /// Tokens in the vocabulary, where rows of the embedding may say otherwise.
    pub(super) fn n_vocab_of_config(&mut self) -> Option<&mut u32> {
        match self {
            Self::V4(_) => None,
            Self::Grouped(shape) => Some(&mut shape.n_vocab),
            Self::Mla(shape) => Some(&mut shape.n_vocab),
            Self::Delta(shape) => Some(&mut shape.n_vocab),
        }
    }
}
