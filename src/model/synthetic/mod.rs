//! Models that have a shape and no file: a published one, or whatever a `config.json` says, whole or a few layers of it,
//! with random weights that the executor makes up where they are needed. What it says of speed and memory is true of the
//! real model; what it writes means nothing.

mod name;
pub mod published;

use super::weights::take::{Made, Place};
use super::{AnyShape, Filling, Model, Named, Shape};
use crate::error::Result;
use crate::format::Format;
use std::collections::HashMap;
use std::ops::Range;

pub use name::SyntheticName;

/// A model of random weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Synthetic {
    /// What to call it: the name that asks for it, a path in it cut down to the file's name.
    pub name: String,
    /// The shape of the layers that are there.
    pub shape: AnyShape,
    /// The shape of the model that they are cut from.
    pub whole: AnyShape,
    /// Which of its layers are there.
    pub layers: Range<u32>,
    /// The format of its matrices, where rows are whole blocks of it; of a V4's routed experts.
    pub format: Format,
    /// The begin of the random numbers.
    pub seed: u32,
}

impl Synthetic {
    /// The model of that name; `None` where no published model has it.
    ///
    /// # Errors
    /// When the model has no such layers, or fewer experts or tokens.
    pub fn of(name: &SyntheticName) -> Result<Option<Self>> {
        name.published()?.map(|whole| name.with_shape(whole)).transpose()
    }

    /// What there is of it, its tensors bound to their fields, and the tensors as a GGUF would have them. The `source_index`
    /// of a piece stands for its tensor, and its offset for the row.
    fn bound(&self) -> Result<(Model, Vec<Named>)> {
        let made = Made { format: self.format, first_layer: self.layers.start };
        self.shape.clone().bind_named(Place::Made(made))
    }

    /// What there is of it, its tensors bound to their fields.
    ///
    /// # Errors
    /// None for a shape that passed its checks.
    pub fn model(&self) -> Result<Model> {
        Ok(self.bound()?.0)
    }

    /// Its tensors as a GGUF would have them.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub fn tensors(&self) -> Result<Vec<Named>> {
        Ok(self.bound()?.1)
    }

    /// With what its tensors are filled, by the `source_index` of their pieces.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub fn fillings(&self) -> Result<HashMap<usize, Filling>> {
        let of = |named: &Named| Some((named.tensor.pieces.first()?.source_index, named.filling));
        Ok(self.tensors()?.iter().filter_map(of).collect())
    }

    /// The whole model that it is cut from.
    #[must_use]
    pub fn uncut(&self) -> Self {
        Self { shape: self.whole.clone(), layers: 0..self.whole.n_layers(), ..self.clone() }
    }

    /// Whether layers are left out.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.n_layers() < self.whole.n_layers()
    }

    /// Its layers.
    #[must_use]
    pub fn n_layers(&self) -> u32 {
        self.shape.n_layers()
    }

    /// Parameters that take part in a token: of the routed experts those used, and an embedding only where it is the head
    /// as well, since of one that is not a row is read.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub fn n_active_parameters(&self) -> Result<u64> {
        let tensors = self.tensors()?;
        let has_head = tensors.iter().any(|named| named.name == "output.weight");
        let (n_experts, n_used) = self.shape.experts();
        let active = |named: &Named| match named.name.as_str() {
            "token_embd.weight" if has_head => 0,
            name if name.contains("_exps.") => named.n_parameters() / u64::from(n_experts) * u64::from(n_used),
            _ => named.n_parameters(),
        };
        Ok(tensors.iter().map(active).sum())
    }

    /// Bytes of its weights, as a file would have them.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub fn bytes(&self) -> Result<u64> {
        Ok(self.tensors()?.iter().map(|named| named.tensor.bytes()).sum())
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
    use crate::format::Format;
    use crate::model::weights::{Layer, Route, TensorRef, Weights};
    use std::collections::HashSet;

    fn model(name: &str) -> Synthetic {
        let name = SyntheticName::parse(&format!("synthetic:{name}")).expect("a name");
        Synthetic::of(&name).expect("layers").expect("a known model")
    }

    fn weights(model: &Synthetic) -> Weights {
        let Model::V4(_, weights) = model.model().expect("a model") else { panic!("a V4") };
        weights
    }

    /// As they are told, in thousand millions, all and those of a token.
    #[test]
    fn models_have_the_parameters_that_are_told_of_them() {
        for (name, billions, active) in [
            ("deepseek-v4-flash", 284.3, 13.3),
            ("deepseek-v4-pro", 1573.1, 49.0),
            ("llama-8b", 8.030, 7.50),
            ("R1-Distill-Qwen-1.5B", 1.777, 1.54),
            ("qwen3-30b-a3b", 30.532, 3.04),
            ("lfm2-1.2b", 1.170, 1.17),
            ("deepseek-v2-lite", 15.7, 2.45),
            ("DeepSeek-R1", 671.0, 36.6),
            ("deepseek-v3.2", 671.9, 37.4),
            ("qwen3.5-9b", 8.95, 7.93),
            ("Qwen3.5-35B-A3B", 34.66, 2.95),
        ] {
            let model = model(name);
            let n: u64 = model.tensors().expect("tensors").iter().map(Named::n_parameters).sum();
            assert_eq!(n, model.model().expect("a model").outline().n_parameters, "{name}");
            let is_about = |n: u64, billions: f64| (n as f64 / 1e9 / billions - 1.0).abs() < 0.01;
            let n_active = model.n_active_parameters().expect("tensors");
            assert!(is_about(n, billions) && is_about(n_active, active), "{name}: {n}, {n_active} in a token");
        }
        let exactly = |name: &str| model(name).model().expect("a model").outline().n_parameters;
        assert_eq!(exactly("llama-8b"), 8_030_261_248);
        assert_eq!(exactly("r1-distill-qwen-1.5b"), 1_777_088_000);
        assert_eq!(exactly("qwen3-30b-a3b"), 30_532_122_624);
        assert_eq!(exactly("lfm2-1.2b"), 1_170_340_608);
        let two = exactly("llama-8b:layers=0..2");
        assert_eq!(exactly("llama-8b") - two, 30 * (exactly("llama-8b:layers=1..") - two) / 29);
    }

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
        for (name, kinds) in [
            ("deepseek-r1:layers=0..2", ["dense", "dense"]),
            ("deepseek-r1:layers=2..4", ["dense", "experts"]),
            ("deepseek-r1:layers=3..5", ["experts", "experts"]),
            ("qwen3.5-9b:layers=2..4", ["delta net", "attention"]),
            ("lfm2-1.2b:layers=1..3", ["convolution", "dense"]),
        ] {
            assert_eq!(model(name).model().expect("a model").outline().layer_kinds, kinds, "{name}");
        }
    }

    #[test]
    fn layers_that_there_are_not_are_refused() {
        let flash = AnyShape::from(Shape::v4_flash());
        assert!(!model("deepseek-v4-flash").is_cut() && model("deepseek-v4-flash:layers=2..4").is_cut());
        for layers in [4..4, 43..44, 0..44, 0..u32::MAX, u32::MAX - 1..u32::MAX] {
            let error = flash.cut(&layers).expect_err("no such layers").to_string();
            assert!(error.contains("0..43"), "{error}");
        }
        for (name, there) in [("deepseek-r1:layers=60..62", "0..61"), ("qwen3.5-9b:layers=30..33", "0..32")] {
            let name = SyntheticName::parse(&format!("synthetic:{name}")).expect("a name");
            assert!(Synthetic::of(&name).expect_err("layers").to_string().contains(there), "{there}");
        }
    }

    #[test]
    fn formats_are_those_of_the_published_files_or_the_one_asked_for() {
        let weights_of = |name: &str| weights(&model(name));
        let published = weights_of("deepseek-v4-flash:layers=0..4");
        let sparse = &published.layers[2];
        assert_eq!(sparse.ffn.experts.down.format, Format::MXFP4);
        assert_eq!((sparse.attn.q_b.format, sparse.ffn.shared.up.format), (Format::Q8_0, Format::Q8_0));
        assert_eq!((published.embed.format, sparse.ffn.gate.format), (Format::BF16, Format::BF16));
        assert_eq!((sparse.hyper_attn.fn_.format, sparse.attn.sinks.format), (Format::F32, Format::F32));
        assert!(matches!(sparse.ffn.route, Route::Table(_)) && matches!(published.layers[3].ffn.route, Route::Bias(_)));

        let small = weights_of("deepseek-v4-flash:layers=2..4:format=q4_k");
        assert_eq!((small.embed.format, small.layers[0].attn.o_a.format), (Format::Q4_K, Format::Q4_K));
        assert_eq!((small.layers[0].ffn.gate.format, small.hyper_head.fn_.format), (Format::BF16, Format::F32));

        // What chooses is f32, whatever the rest is.
        let tensors = model("deepseek-v3.2:layers=3..4").tensors().expect("tensors");
        let of = |name: &str| tensors.iter().find(|named| named.name == name).expect(name).tensor.format;
        let chooses = ["blk.0.ffn_gate_inp.weight", "blk.0.indexer.proj.weight", "blk.0.exp_probs_b.bias"];
        assert_eq!(chooses.map(of), [Format::F32; 3]);
        assert_eq!(of("blk.0.ffn_down_exps.weight"), Format::Q8_0);
    }

    /// By hand from the spec, for 43 layers: 256 · 3 · 2048 · 4096 weights of routed experts in 17 bytes for 32.
    #[test]
    fn the_whole_of_flash_has_the_bytes_of_its_checkpoint() {
        let weights = weights(&model("deepseek-v4-flash"));
        // Every number is in some tensor once, those of the tables besides.
        let tables = 3 * 129_280 * 6;
        let n_elements: u64 = weights.tensors().map(TensorRef::n_elements).sum();
        assert_eq!(n_elements, weights.n_parameters + tables);
        let experts = |layer: &Layer| {
            let experts = &layer.ffn.experts;
            experts.gate.bytes() + experts.up.bytes() + experts.down.bytes()
        };
        let routed: u64 = weights.layers.iter().map(experts).sum();
        assert_eq!(routed, 43 * 256 * 3 * 2048 * 4096 / 32 * 17);
        assert_eq!(weights.embed.bytes() + weights.head.bytes(), 2 * 129_280 * 4096 * 2);
    }

    #[test]
    fn a_tensor_is_the_same_whichever_layers_stand_beside_it() {
        let (two, four) = (model("deepseek-v4-flash:layers=2..4"), model("deepseek-v4-flash:layers=0..4"));
        let index = |tensor: &TensorRef| tensor.pieces[0].source_index;
        let (of_two, of_four) = (weights(&two), weights(&four));
        let norm = |weights: &Weights, layer: usize| index(&weights.layers[layer].attn.kv_norm);
        assert_eq!(norm(&of_two, 1), norm(&of_four, 3));
        let filling = |tensor: &TensorRef| two.fillings().expect("tensors")[&index(tensor)];
        assert_eq!(filling(&of_two.layers[1].attn.kv_norm), Filling::NearOne);
        let Route::Table(table) = &of_two.layers[0].ffn.route else { panic!("a layer routed by a table") };
        assert_eq!(filling(table), Filling::Experts);
        assert_eq!(filling(&of_two.embed), Filling::Product);
        assert_eq!(filling(&of_two.hyper_head.base), Filling::Small);
        // No two tensors are the same source, in the largest model either.
        for name in ["deepseek-v4-pro", "deepseek-v3.2", "qwen3.5-35b-a3b"] {
            let tensors = model(name).tensors().expect("tensors");
            let all: HashSet<usize> = tensors.iter().map(|named| index(&named.tensor)).collect();
            assert_eq!(all.len(), tensors.len(), "{name}");
        }
    }
}
