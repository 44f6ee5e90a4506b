//! The binding of a directory's tensors to their fields. Every tensor that the shape asks for must be there, with
//! the extent of [`Part::extent`] and a format of its [`Kind`]; what is left over is sorted here as well.

use super::names::{self, Scheme};
use super::scaled::scaled_by;
use super::take::{Origin, Place, Rows, Taker, tensor_error};
use super::{
    Attention, Compressor, Experts, Ffn, Hyper, Indexer, Layer, Mapped, Mlp, Named, Piece, Route, TensorRef, Weights,
};
use crate::error::Result;
use crate::format::directory::shown;
use crate::format::{Directory, Format, TensorInfo};
use crate::model::Shape;
use crate::model::part::{Extent, Part};
use std::collections::BTreeSet;

impl Weights {
    /// Finds every weight of a model of that shape, which must have passed its checks, each under whichever of its
    /// names the directory has. Fails, naming the tensor, what was found and what was expected, if one
    /// is missing, of another extent, or of a format that does not suit it.
    pub fn bind(shape: &Shape, directory: &Directory) -> Result<Self> {
        Ok(Self::bind_named(shape, Place::Files(directory))?.0)
    }

    /// As [`Self::bind`], and every tensor under the name that a GGUF has for it.
    pub fn bind_named(shape: &Shape, place: Place<'_>) -> Result<(Self, Vec<Named>)> {
        let scheme = match place {
            Place::Files(directory) => Scheme::of(directory)?,
            Place::Made(_) => Scheme::Gguf,
        };
        let mut binder = Binder { shape, scheme, origin: Origin::new(place), named: Vec::new() };
        let layers = (0..shape.n_layers()).map(|layer| binder.layer(layer)).collect::<Result<_>>()?;
        let mut weights = Self {
            scheme: binder.scheme,
            embed: binder.require(Part::Embed, 0)?,
            head: binder.require(Part::Head, 0)?,
            norm: binder.require(Part::Norm, 0)?,
            hyper_head: binder.hyper([Part::HyperHeadFn, Part::HyperHeadBase, Part::HyperHeadScale], 0)?,
            layers,
            n_parameters: 0,
            n_mtp_tensors: 0,
            ignored: Vec::new(),
        };
        weights.n_parameters = binder.named.iter().map(Named::n_parameters).sum();
        binder.sort_the_rest(&mut weights)?;
        Ok((weights, binder.named))
    }
}

struct Binder<'a> {
    shape: &'a Shape,
    scheme: Scheme,
    origin: Origin<'a>,
    /// What was bound so far.
    named: Vec<Named>,
}

impl<'a> Binder<'a> {
    fn layer(&mut self, layer: usize) -> Result<Layer> {
        Ok(Layer {
            attn_norm: self.require(Part::AttnNorm, layer)?,
            ffn_norm: self.require(Part::FfnNorm, layer)?,
            hyper_attn: self.hyper([Part::HyperAttnFn, Part::HyperAttnBase, Part::HyperAttnScale], layer)?,
            hyper_ffn: self.hyper([Part::HyperFfnFn, Part::HyperFfnBase, Part::HyperFfnScale], layer)?,
            attn: self.attention(layer)?,
            ffn: self.ffn(layer)?,
        })
    }

    fn hyper(&mut self, [fn_, base, scale]: [Part; 3], layer: usize) -> Result<Hyper> {
        Ok(Hyper {
            fn_: self.require(fn_, layer)?,
            base: self.require(base, layer)?,
            scale: self.require(scale, layer)?,
        })
    }

    fn attention(&mut self, layer: usize) -> Result<Attention> {
        Ok(Attention {
            q_a: self.require(Part::QA, layer)?,
            q_norm: self.require(Part::QNorm, layer)?,
            q_b: self.require(Part::QB, layer)?,
            kv: self.require(Part::Kv, layer)?,
            kv_norm: self.require(Part::KvNorm, layer)?,
            o_a: self.require(Part::OA, layer)?,
            o_b: self.require(Part::OB, layer)?,
            sinks: self.require(Part::Sinks, layer)?,
            compressor: if self.shape.is_compressed(layer) {
                let parts = [Part::CompressKv, Part::CompressGate, Part::CompressApe, Part::CompressNorm];
                Some(self.compressor(parts, layer)?)
            } else {
                None
            },
            indexer: if self.shape.has_indexer(layer) { Some(self.indexer(layer)?) } else { None },
        })
    }

    fn compressor(&mut self, [kv, gate, ape, norm]: [Part; 4], layer: usize) -> Result<Compressor> {
        Ok(Compressor {
            kv: self.require(kv, layer)?,
            gate: self.require(gate, layer)?,
            ape: self.require(ape, layer)?,
            norm: self.require(norm, layer)?,
        })
    }

    fn indexer(&mut self, layer: usize) -> Result<Indexer> {
        let parts = [Part::IndexCompressKv, Part::IndexCompressGate, Part::IndexCompressApe, Part::IndexCompressNorm];
        Ok(Indexer {
            q_b: self.require(Part::IndexQB, layer)?,
            weights: self.require(Part::IndexWeights, layer)?,
            compressor: self.compressor(parts, layer)?,
        })
    }

    fn ffn(&mut self, layer: usize) -> Result<Ffn> {
        let experts = Experts {
            n_experts: self.shape.n_experts,
            gate: self.require(Part::ExpertsGate, layer)?,
            up: self.require(Part::ExpertsUp, layer)?,
            down: self.require(Part::ExpertsDown, layer)?,
        };
        if experts.gate.format != experts.up.format {
            return Err(tensor_error(&experts.up.name, experts.up.format.name())
                .expected(format!("{}, the format of {}", experts.gate.format, shown(&experts.gate.name)))
                .advice("Gate and up of the routed experts must be of one format: get another quantization."));
        }
        Ok(Ffn {
            gate: self.require(Part::Router, layer)?,
            route: if self.shape.is_hash_layer(layer) {
                Route::Table(self.require(Part::RouterTable, layer)?)
            } else {
                Route::Bias(self.require(Part::RouterBias, layer)?)
            },
            experts,
            shared: Mlp {
                gate: self.require(Part::SharedGate, layer)?,
                up: self.require(Part::SharedUp, layer)?,
                down: self.require(Part::SharedDown, layer)?,
            },
        })
    }

    /// The tensor, or tensors, of a part that the layer has.
    fn require(&mut self, part: Part, layer: usize) -> Result<TensorRef> {
        let found = match &self.origin {
            Origin::Files(taker) => names::find(taker.directory(), part, layer),
            Origin::Nowhere(_) => None,
        };
        let (scheme, name) = found.unwrap_or_else(|| (self.scheme, self.scheme.name(part, layer)));
        let Some(extent) = part.extent(self.shape, layer) else {
            return Err(tensor_error(&name, "asked for, but not of this layer"));
        };
        let Extent { n_stacked, n_rows, n_in, .. } = extent;
        let (format, pieces) = match &mut self.origin {
            Origin::Files(taker) => taken(taker, scheme, part, &name, extent)?,
            Origin::Nowhere(made) => (part.stored(extent, made.format), vec![made.piece(&name, extent)]),
        };
        let tensor = TensorRef { name, format, n_rows: n_stacked * n_rows, n_in, pieces, mapped: Mapped::AsIs };
        self.named.push(Named::new(Scheme::Gguf.name(part, layer), extent, part.filling(), tensor.clone()));
        Ok(tensor)
    }

    /// Counts the tensors of multi-token prediction, and lists those that nobody asked for. Fails for what would
    /// change the model if it were ignored: a scale beside a weight in use, a layer beyond the last.
    fn sort_the_rest(&self, weights: &mut Weights) -> Result<()> {
        let Origin::Files(taker) = &self.origin else { return Ok(()) };
        let rest = || taker.rest();
        let mtp_blocks: BTreeSet<u64> =
            rest().filter(|tensor| is_draft(&tensor.name)).filter_map(|tensor| Self::block(&tensor.name)).collect();
        for TensorInfo { name, .. } in rest() {
            let block = Self::block(name).filter(|&block| block >= self.shape.n_layers() as u64);
            if name.starts_with("mtp.")
                || name.starts_with("model.mtp.")
                || block.is_some_and(|b| mtp_blocks.contains(&b))
            {
                weights.n_mtp_tensors += 1;
            } else if block.is_some() {
                return Err(tensor_error(name, "a tensor of a layer beyond the last")
                    .expected(format!("layers 0 to {}, as the model's keys say", self.shape.n_layers() - 1))
                    .advice("The file's keys belong to another model."));
            } else if let Some(weight) = scaled_by(name, |weight| taker.has(weight)) {
                return Err(tensor_error(name, format!("a scale for {weight}"))
                    .expected("weights in FP8 or FP4 with the scales that belong to them, or weights that carry their scales in their blocks")
                    .advice("Convert the model to one of the supported formats."));
            } else {
                weights.ignored.push(name.clone());
            }
        }
        Ok(())
    }

    /// The number of the layer that a name belongs to.
    fn block(name: &str) -> Option<u64> {
        names::in_layer(name).map(|(layer, _)| layer)
    }
}

/// A part from files, whose experts lie in one tensor or in one for each, beside others or alone.
fn taken(
    taker: &mut Taker<'_>,
    scheme: Scheme,
    part: Part,
    name: &str,
    extent: Extent,
) -> Result<(Format, Vec<Piece>)> {
    match (scheme, part) {
        (Scheme::Official, Part::ExpertsGate | Part::ExpertsUp | Part::ExpertsDown) => taker.take_each(name, extent),
        (Scheme::Transformers, Part::ExpertsGate) => taker.take_rows(name, extent, Rows::first_half(extent.n_rows)),
        (Scheme::Transformers, Part::ExpertsUp) => taker.take_rows(name, extent, Rows::second_half(extent.n_rows)),
        _ => taker.take_rows(name, extent, Rows::Whole),
    }
}

/// Whether a name is one that only the blocks of multi-token prediction have.
pub(in crate::model) fn is_draft(name: &str) -> bool {
    const MARKS: [&str; 5] = [".nextn.", ".eh_proj.", ".e_proj.", ".h_proj.", ".enorm."];
    MARKS.iter().any(|mark| name.contains(mark))
}
