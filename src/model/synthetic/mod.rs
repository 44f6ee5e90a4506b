//! Models that have a shape and no file: V4-Flash, V4-Pro, or whatever a `config.json` says, whole or a few layers of it,
//! with random weights that the executor makes up where they are needed. What it says of speed and memory is true of the
//! real model; what it writes means nothing.

mod any;
mod delta;
mod grouped;
mod mla;
mod name;
mod published;
mod weights;

use super::Shape;
use crate::error::{Error, Result};
use crate::format::Format;
use std::ops::Range;

pub use any::Synthetic;
pub use delta::{SyntheticDelta, names as delta_names};
pub use grouped::{SyntheticGrouped, names as grouped_names};
pub use mla::{SyntheticMla, names as mla_names};
pub use name::SyntheticName;
pub use weights::Filling;
use weights::fitting;

/// A model of random weights.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticModel {
    /// What to call it: the name that asks for it, a path in it cut down to the file's name.
    pub name: String,
    /// The shape of the layers that are there.
    pub shape: Shape,
    /// The shape of the model that they are cut from.
    pub whole: Shape,
    /// Which of its layers are there.
    pub layers: Range<u32>,
    /// The format of the routed experts; [`Self::weights`] says what the rest have.
    pub format: Format,
    /// The begin of the random numbers.
    pub seed: u32,
}

/// A tensor of a model of random weights, as a GGUF would have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntheticTensor {
    /// The name in a GGUF.
    pub name: String,
    /// The dims in a GGUF, outermost first.
    pub shape: Vec<u64>,
    /// How the elements are kept.
    pub format: Format,
    /// With what it is filled.
    pub filling: Filling,
}

/// A matrix of a product.
fn matrix(name: String, dims: &[u32], format: Format) -> SyntheticTensor {
    let n_in = dims.last().copied().unwrap_or(1);
    tensor(name, dims, fitting(format, n_in), Filling::Product)
}

/// What stands before and behind the layers: embedding, head and last norm.
fn ends(n_vocab: u32, n_embd: u32, format: Format) -> Vec<SyntheticTensor> {
    vec![
        matrix("token_embd.weight".into(), &[n_vocab, n_embd], format),
        matrix("output.weight".into(), &[n_vocab, n_embd], format),
        tensor("output_norm.weight".into(), &[n_embd], Format::F32, Filling::NearOne),
    ]
}

/// The matrices of a network; `part` gives the names of `gate`, `up` and `down`.
fn network(part: impl Fn(&str) -> String, n_hidden: u32, n_embd: u32, format: Format) -> [SyntheticTensor; 3] {
    [("gate", [n_hidden, n_embd]), ("up", [n_hidden, n_embd]), ("down", [n_embd, n_hidden])]
        .map(|(of, dims)| matrix(part(of), &dims, format))
}

fn tensor(name: String, dims: &[u32], format: Format, filling: Filling) -> SyntheticTensor {
    SyntheticTensor { name, shape: dims.iter().copied().map(u64::from).collect(), format, filling }
}

impl SyntheticTensor {
    /// The length of a row.
    #[must_use]
    pub fn n_in(&self) -> u64 {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The rows over all outer dims.
    #[must_use]
    pub fn n_rows(&self) -> u64 {
        self.shape.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    /// Bytes that it takes in a file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.n_rows() * self.format.row_bytes(self.n_in())
    }
}

impl SyntheticModel {
    /// Layers `layers` of a model of shape `whole`; all of them by default. Each keeps its ratio and its kind of routing.
    ///
    /// # Errors
    /// When the shape does not pass its checks, or has no such layers.
    pub fn new(name: String, whole: Shape, layers: Option<Range<u32>>, format: Format, seed: u32) -> Result<Self> {
        whole.check()?;
        // A shape that passed has at most 1024 layers.
        let n_layers = whole.n_layers() as u32;
        let layers = layers.unwrap_or(0..n_layers);
        if layers.is_empty() || layers.end > n_layers {
            return Err(Error::usage("layers", format!("{}..{}", layers.start, layers.end))
                .expected(format!("a first and a later end within 0..{n_layers}, the model's layers")));
        }
        let shape = whole.cut(layers.start as usize..layers.end as usize);
        Ok(Self { name, shape, whole, layers, format, seed })
    }

    /// Whether layers are left out.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.layers.len() < self.whole.n_layers()
    }

    /// The same layers with fewer experts to choose from and a smaller vocabulary: a step reads as many bytes of the
    /// layers as before, of a model that takes less memory.
    ///
    /// # Errors
    /// When what is left does not pass the checks of a shape, as with fewer experts than a token uses.
    pub fn with_fewer(self, n_experts: u32, n_vocab: u32) -> Result<Self> {
        let shape = Shape { n_experts, n_vocab, ..self.shape };
        shape.check()?;
        Ok(Self { shape, ..self })
    }
}

impl Shape {
    /// The same model with only these layers, each of its own kind: those that route by token id still do.
    ///
    /// # Panics
    /// When there are no such layers.
    #[must_use]
    pub fn cut(&self, layers: Range<usize>) -> Self {
        let n_hash = (self.n_hash_layers as usize).clamp(layers.start, layers.end) - layers.start;
        Self {
            ratios: self.ratios[layers.clone()].to_vec(),
            swiglu_limit: self.swiglu_limit[layers.clone()].to_vec(),
            swiglu_limit_shared: self.swiglu_limit_shared[layers].to_vec(),
            n_hash_layers: n_hash as u32,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_each_layers_kind() {
        let flash = Shape::v4_flash();
        for (begin, end) in [(0, 43), (1, 4), (2, 4), (3, 5), (42, 43)] {
            let cut = flash.cut(begin..end);
            assert!(cut.check().is_ok(), "{begin}..{end}");
            assert_eq!(cut.n_layers(), end - begin);
            for layer in begin..end {
                assert_eq!(cut.ratios[layer - begin], flash.ratios[layer]);
                assert_eq!(cut.is_hash_layer(layer - begin), flash.is_hash_layer(layer), "{begin}..{end} {layer}");
            }
        }
    }

    #[test]
    fn layers_that_there_are_not_are_refused() {
        let model = |layers| SyntheticModel::new("x".into(), Shape::v4_flash(), layers, Format::MXFP4, 0);
        assert!(!model(None).expect("all").is_cut());
        assert!(model(Some(2..4)).expect("two").is_cut());
        for layers in [4..4, 43..44, 0..44, 0..u32::MAX, u32::MAX - 1..u32::MAX] {
            let error = model(Some(layers)).expect_err("no such layers").to_string();
            assert!(error.contains("0..43"), "{error}");
        }
    }
}
