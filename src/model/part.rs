//! Every tensor of a V4 model by the part it runs, with the extent it must have in a model of a given shape. The
//! names are in `weights::names`; parameter counts and the check of a file's tensors both come from here.

use super::shape::{N_STREAMS, Shape};
use super::weights::Filling;
use super::weights::take::fitting;
use crate::format::Format;

/// The part that a tensor runs. A layer has those for which [`Part::extent`] is not `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Embed,
    Head,
    Norm,
    HyperHeadFn,
    HyperHeadBase,
    HyperHeadScale,
    AttnNorm,
    FfnNorm,
    HyperAttnFn,
    HyperAttnBase,
    HyperAttnScale,
    HyperFfnFn,
    HyperFfnBase,
    HyperFfnScale,
    QA,
    QNorm,
    QB,
    Kv,
    KvNorm,
    OA,
    OB,
    Sinks,
    CompressKv,
    CompressGate,
    CompressApe,
    CompressNorm,
    IndexQB,
    IndexWeights,
    IndexCompressKv,
    IndexCompressGate,
    IndexCompressApe,
    IndexCompressNorm,
    Router,
    RouterBias,
    RouterTable,
    ExpertsGate,
    ExpertsUp,
    ExpertsDown,
    SharedGate,
    SharedUp,
    SharedDown,
}

/// Which formats a tensor may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Weights of a product, in any weight format.
    Matrix,
    /// The same, but few and deciding much, such as a router's: no converter makes them smaller.
    Router,
    /// Few numbers that are used as they are: F32, F16 or BF16.
    Plain,
    /// Integers: I32 or I64.
    Table,
}

/// The extent of a tensor: `[n_stacked, n_rows, n_in]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) kind: Kind,
    /// Experts; 1 where there are none.
    pub(super) n_stacked: u32,
    /// Rows, of one expert; 1 for a vector.
    pub(super) n_rows: u32,
    pub(super) n_in: u32,
}

fn extent(kind: Kind, n_rows: u32, n_in: u32) -> Extent {
    Extent { kind, n_stacked: 1, n_rows, n_in }
}

fn matrix(n_rows: u32, n_in: u32) -> Extent {
    extent(Kind::Matrix, n_rows, n_in)
}

fn vector(n_in: u32) -> Extent {
    extent(Kind::Plain, 1, n_in)
}

impl Part {
    /// The parts outside the layers.
    pub(super) const GLOBAL: [Self; 6] =
        [Self::Embed, Self::Head, Self::Norm, Self::HyperHeadFn, Self::HyperHeadBase, Self::HyperHeadScale];

    /// The extent of a part outside the layers; `layer` does not matter there. `None` where the layer has no such
    /// part.
    pub(super) fn extent(self, shape: &Shape, layer: usize) -> Option<Extent> {
        let s = shape;
        let streams = N_STREAMS * s.n_embd;
        Some(match self {
            Self::Embed | Self::Head => matrix(s.n_vocab, s.n_embd),
            Self::Norm | Self::AttnNorm | Self::FfnNorm => vector(s.n_embd),
            Self::HyperHeadFn => matrix(N_STREAMS, streams),
            Self::HyperHeadBase => vector(N_STREAMS),
            Self::HyperHeadScale => vector(1),
            // Weights before, weights after, and the matrix between the streams.
            Self::HyperAttnFn | Self::HyperFfnFn => matrix(N_STREAMS * (2 + N_STREAMS), streams),
            Self::HyperAttnBase | Self::HyperFfnBase => vector(N_STREAMS * (2 + N_STREAMS)),
            Self::HyperAttnScale | Self::HyperFfnScale => vector(3),
            Self::QA => matrix(s.q_lora, s.n_embd),
            Self::QNorm => vector(s.q_lora),
            Self::QB => matrix(s.q_width(), s.q_lora),
            Self::Kv => matrix(s.head_dim, s.n_embd),
            Self::KvNorm => vector(s.head_dim),
            Self::OA => matrix(s.o_width(), s.group_width()),
            Self::OB => matrix(s.n_embd, s.o_width()),
            Self::Sinks => vector(s.n_heads),
            Self::CompressKv | Self::CompressGate | Self::CompressApe | Self::CompressNorm => {
                return self.compress_extent(s, layer, s.head_dim);
            }
            _ if self.is_index() && !s.has_indexer(layer) => return None,
            Self::IndexQB => matrix(s.index_width(), s.q_lora),
            Self::IndexWeights => matrix(s.index_heads, s.n_embd),
            Self::IndexCompressKv | Self::IndexCompressGate | Self::IndexCompressApe | Self::IndexCompressNorm => {
                return self.compress_extent(s, layer, s.index_head_dim);
            }
            Self::Router => matrix(s.n_experts, s.n_embd),
            Self::RouterBias if !s.is_hash_layer(layer) => vector(s.n_experts),
            Self::RouterTable if s.is_hash_layer(layer) => extent(Kind::Table, s.n_vocab, s.n_used),
            Self::RouterBias | Self::RouterTable => return None,
            Self::ExpertsGate | Self::ExpertsUp => Extent { n_stacked: s.n_experts, ..matrix(s.n_hidden, s.n_embd) },
            Self::ExpertsDown => Extent { n_stacked: s.n_experts, ..matrix(s.n_embd, s.n_hidden) },
            Self::SharedGate | Self::SharedUp => matrix(s.n_hidden, s.n_embd),
            Self::SharedDown => matrix(s.n_embd, s.n_hidden),
        })
    }

    /// The extent of a compressor's part, whose entries are `width` wide.
    fn compress_extent(self, shape: &Shape, layer: usize, width: u32) -> Option<Extent> {
        let wide = shape.overlap(layer) * width;
        (wide > 0).then(|| match self {
            Self::CompressNorm | Self::IndexCompressNorm => vector(width),
            Self::CompressApe | Self::IndexCompressApe => extent(Kind::Plain, shape.ratios[layer], wide),
            _ => matrix(wide, shape.n_embd),
        })
    }

    /// What its numbers are like.
    pub(super) fn filling(self) -> Filling {
        match self {
            Self::Norm
            | Self::AttnNorm
            | Self::FfnNorm
            | Self::QNorm
            | Self::KvNorm
            | Self::CompressNorm
            | Self::IndexCompressNorm => Filling::NearOne,
            Self::HyperHeadBase
            | Self::HyperHeadScale
            | Self::HyperAttnBase
            | Self::HyperAttnScale
            | Self::HyperFfnBase
            | Self::HyperFfnScale
            | Self::Sinks
            | Self::CompressApe
            | Self::IndexCompressApe
            | Self::RouterBias => Filling::Small,
            Self::RouterTable => Filling::Experts,
            _ => Filling::Product,
        }
    }

    /// How the published checkpoints and their conversions keep it, where routed experts are in `format`.
    ///
    /// The checkpoints keep routed experts in FP4, the other large matrices in FP8, embedding, head, compressors, router
    /// and the indexer's weights in BF16, and the hyper-connections in F32 (spec 11.1). Without conversion that is MXFP4,
    /// Q8_0 (as wide as FP8), BF16 and F32. Another format is given to every matrix but those of the router and the
    /// hyper-connections, which no converter makes smaller, as long as rows are whole blocks of it.
    pub(super) fn stored(self, extent: Extent, format: Format) -> Format {
        match (extent.kind, self) {
            (Kind::Table, _) => Format::I32,
            (Kind::Plain, _) | (_, Self::HyperHeadFn | Self::HyperAttnFn | Self::HyperFfnFn) => Format::F32,
            (_, Self::Router) => Format::BF16,
            (_, Self::ExpertsGate | Self::ExpertsUp | Self::ExpertsDown) => fitting(format, extent.n_in),
            (_, part) if format == Format::MXFP4 => match part {
                Self::Embed
                | Self::Head
                | Self::CompressKv
                | Self::CompressGate
                | Self::IndexWeights
                | Self::IndexCompressKv
                | Self::IndexCompressGate => Format::BF16,
                _ => fitting(Format::Q8_0, extent.n_in),
            },
            _ => fitting(format, extent.n_in),
        }
    }

    fn is_index(self) -> bool {
        matches!(
            self,
            Self::IndexQB
                | Self::IndexWeights
                | Self::IndexCompressKv
                | Self::IndexCompressGate
                | Self::IndexCompressApe
                | Self::IndexCompressNorm
        )
    }
}
