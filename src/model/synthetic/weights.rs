//! The weights of a synthetic model as if a file held them: every tensor of its shape, in the formats that the published
//! checkpoints and their conversions use, and what random words should fill it.
//!
//! The published checkpoints keep routed experts in FP4, the other large matrices in FP8, embedding, head, compressors,
//! router and the indexer's weights in BF16, and the hyper-connections in F32 (spec 11.1). Without conversion that is
//! MXFP4, Q8_0 (as wide as FP8), BF16 and F32. Another format is given to every matrix but those of the router and the
//! hyper-connections, which no converter makes smaller, as long as rows are whole blocks of it.

use super::{SyntheticModel, SyntheticTensor};
use crate::error::Result;
use crate::format::{Directory, Format, Stored, TensorInfo};
use crate::model::part::{Extent, Kind, Part};
use crate::model::weights::{Named, Scheme, Weights};

/// With what a tensor is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    /// Weights of a product, around zero, of size about `1/sqrt(n_in)`: the product of a vector of size 1 has size 1.
    Product,
    /// Numbers a little above 1: what norms multiply with.
    NearOne,
    /// Numbers a little below -1: how fast a state is forgotten.
    NearMinusOne,
    /// Numbers of either sign, a little off zero: biases, sinks, position embeddings and mixing scales.
    Small,
    /// Ids of experts, all valid and those of a token all different.
    Experts,
}

impl SyntheticModel {
    /// The tensors, each a source of its own, so that a piece's `source_index` names the tensor and its offset the row.
    /// A layer's tensors have the same index whichever layers stand beside it.
    ///
    /// # Errors
    /// None for a shape that passed its checks.
    pub fn weights(&self) -> Result<Weights> {
        Weights::bind(&self.shape, &self.directory()?)
    }

    /// The tensors as a GGUF would have them.
    ///
    /// # Errors
    /// As [`Self::weights`].
    pub fn tensors(&self) -> Result<Vec<SyntheticTensor>> {
        let (_, named) = Weights::bind_named(&self.shape, &self.directory()?)?;
        let of = |Named { name, shape, tensor }: Named| {
            let filling = tensor.pieces.first().map_or(Filling::Product, |piece| self.filling(piece.source_index));
            SyntheticTensor { name, shape, format: tensor.format, filling }
        };
        Ok(named.into_iter().map(of).collect())
    }

    fn directory(&self) -> Result<Directory> {
        let global = Part::GLOBAL.iter().enumerate().map(|(index, part)| (index, 0, *part));
        let layers = (0..self.shape.n_layers()).flat_map(|layer| {
            let first = Part::GLOBAL.len() + (self.layers.start as usize + layer) * Part::LAYER.len();
            Part::LAYER.iter().enumerate().map(move |(index, part)| (first + index, layer, *part))
        });
        let tensor = |(source_index, layer, part): (usize, usize, Part)| {
            let extent = part.extent(&self.shape, layer)?;
            let format = self.stored(part, extent);
            let shape: Vec<u64> = [extent.n_stacked, extent.n_rows, extent.n_in].map(u64::from).to_vec();
            let bytes = shape[0] * shape[1] * format.row_bytes(shape[2]);
            let name = Scheme::Gguf.name(part, layer);
            Some(TensorInfo { name, stored: Stored::Supported(format), shape, offset: 0, bytes, source_index })
        };
        Directory::new(global.chain(layers).filter_map(tensor).collect())
    }

    /// With what the tensor of a piece is filled.
    #[must_use]
    pub fn filling(&self, source_index: usize) -> Filling {
        let in_layer = |index: usize| Part::LAYER[index % Part::LAYER.len()];
        let part = source_index.checked_sub(Part::GLOBAL.len()).map_or_else(|| Part::GLOBAL[source_index], in_layer);
        match part {
            Part::Norm
            | Part::AttnNorm
            | Part::FfnNorm
            | Part::QNorm
            | Part::KvNorm
            | Part::CompressNorm
            | Part::IndexCompressNorm => Filling::NearOne,
            Part::HyperHeadBase
            | Part::HyperHeadScale
            | Part::HyperAttnBase
            | Part::HyperAttnScale
            | Part::HyperFfnBase
            | Part::HyperFfnScale
            | Part::Sinks
            | Part::CompressApe
            | Part::IndexCompressApe
            | Part::RouterBias => Filling::Small,
            Part::RouterTable => Filling::Experts,
            _ => Filling::Product,
        }
    }

    fn stored(&self, part: Part, extent: Extent) -> Format {
        match (extent.kind, part) {
            (Kind::Table, _) => Format::I32,
            (Kind::Plain, _) | (_, Part::HyperHeadFn | Part::HyperAttnFn | Part::HyperFfnFn) => Format::F32,
            (_, Part::Router) => Format::BF16,
            (_, Part::ExpertsGate | Part::ExpertsUp | Part::ExpertsDown) => fitting(self.format, extent.n_in),
            (_, part) if self.format == Format::MXFP4 => match part {
                Part::Embed
                | Part::Head
                | Part::CompressKv
                | Part::CompressGate
                | Part::IndexWeights
                | Part::IndexCompressKv
                | Part::IndexCompressGate => Format::BF16,
                _ => fitting(Format::Q8_0, extent.n_in),
            },
            _ => fitting(self.format, extent.n_in),
        }
    }
}

/// The format, or the next one whose blocks the rows are made of.
pub(super) fn fitting(format: Format, n_in: u32) -> Format {
    let fits = |format: &Format| (n_in as usize).is_multiple_of(format.block_len());
    [format, Format::Q8_0].into_iter().find(fits).unwrap_or(Format::BF16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Shape;
    use crate::model::weights::{Route, TensorRef};
    use std::collections::HashSet;

    fn model(format: Format, layers: std::ops::Range<u32>) -> SyntheticModel {
        SyntheticModel::new("x".into(), Shape::v4_flash(), Some(layers), format, 0).expect("a model")
    }

    #[test]
    fn formats_are_those_of_the_published_files_or_the_one_asked_for() -> Result<()> {
        let published = model(Format::MXFP4, 0..4);
        let weights = published.weights()?;
        let sparse = &weights.layers[2];
        assert_eq!(sparse.ffn.experts.down.format, Format::MXFP4);
        assert_eq!((sparse.attn.q_b.format, sparse.ffn.shared.up.format), (Format::Q8_0, Format::Q8_0));
        assert_eq!((weights.embed.format, sparse.ffn.gate.format), (Format::BF16, Format::BF16));
        assert_eq!((sparse.hyper_attn.fn_.format, sparse.attn.sinks.format), (Format::F32, Format::F32));
        assert!(matches!(sparse.ffn.route, Route::Table(_)) && matches!(weights.layers[3].ffn.route, Route::Bias(_)));

        let weights = model(Format::Q4_K, 2..4).weights()?;
        assert_eq!((weights.embed.format, weights.layers[0].attn.o_a.format), (Format::Q4_K, Format::Q4_K));
        assert_eq!((weights.layers[0].ffn.gate.format, weights.hyper_head.fn_.format), (Format::BF16, Format::F32));
        assert_eq!(fitting(Format::Q4_K, 96), Format::Q8_0);
        assert_eq!(fitting(Format::Q4_K, 36), Format::BF16);
        Ok(())
    }

    /// By hand from the spec, for 43 layers: 256 · 3 · 2048 · 4096 weights of routed experts in 17 bytes for 32.
    #[test]
    fn the_whole_of_flash_has_the_bytes_of_its_checkpoint() -> Result<()> {
        let flash = model(Format::MXFP4, 0..43);
        let weights = flash.weights()?;
        // Every number is in some tensor once, those of the tables besides.
        let tables = 3 * 129_280 * 6;
        let n_elements: u64 = weights.tensors().map(TensorRef::n_elements).sum();
        assert_eq!(n_elements, Shape::v4_flash().n_parameters() + tables);
        let experts = |layer: &crate::model::Layer| {
            let experts = &layer.ffn.experts;
            experts.gate.bytes() + experts.up.bytes() + experts.down.bytes()
        };
        let routed: u64 = weights.layers.iter().map(experts).sum();
        assert_eq!(routed, 43 * 256 * 3 * 2048 * 4096 / 32 * 17);
        assert_eq!(weights.embed.bytes() + weights.head.bytes(), 2 * 129_280 * 4096 * 2);
        Ok(())
    }

    #[test]
    fn a_tensor_is_the_same_whichever_layers_stand_beside_it() -> Result<()> {
        let (two, four) = (model(Format::MXFP4, 2..4), model(Format::MXFP4, 0..4));
        let index = |weights: &Weights, layer: usize| weights.layers[layer].attn.kv_norm.pieces[0].source_index;
        let (of_two, of_four) = (two.weights()?, four.weights()?);
        assert_eq!(index(&of_two, 1), index(&of_four, 3));
        assert_eq!(two.filling(index(&of_two, 1)), Filling::NearOne);
        let all: HashSet<usize> = (0..4).map(|layer| index(&of_four, layer)).collect();
        assert_eq!(all.len(), 4);
        let Route::Table(table) = &of_two.layers[0].ffn.route else { panic!("a layer routed by a table") };
        assert_eq!(two.filling(table.pieces[0].source_index), Filling::Experts);
        assert_eq!(two.filling(of_two.embed.pieces[0].source_index), Filling::Product);
        assert_eq!(two.filling(of_two.hyper_head.base.pieces[0].source_index), Filling::Small);
        Ok(())
    }
}
