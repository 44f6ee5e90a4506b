//! The weights of a V4 model as typed fields: what each tensor is for, how it is stored and where it lies. Offsets
//! only; the bytes are read when they are uploaded. Shapes and formats in [`Weights`] need not be checked again.

pub(in crate::model) mod bind;
mod names;
mod scaled;
pub mod take;

pub use names::Scheme;
pub use scaled::{ScaleOfAll, Scales, nvfp4_with_its_number};

use super::part::{Extent, Kind};
use crate::format::Format;
use std::ops::Range;

/// All weights of a model, and what else its directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Whose names the file uses.
    pub scheme: Scheme,
    /// `[n_vocab, n_embd]`
    pub embed: TensorRef,
    /// `[n_vocab, n_embd]`
    pub head: TensorRef,
    /// `[n_embd]`
    pub norm: TensorRef,
    /// What makes one stream of four at the end: `fn_` `[4, 4 * n_embd]`, `base` `[4]`, `scale` `[1]`.
    pub hyper_head: Hyper,
    /// The layers in order.
    pub layers: Vec<Layer>,
    /// Numbers that were learned; tables of token ids and multi-token prediction are not counted.
    pub n_parameters: u64,
    /// How many tensors belong to multi-token prediction and are left alone.
    pub n_mtp_tensors: usize,
    /// Names of tensors that mean nothing here.
    pub ignored: Vec<String>,
}

impl Weights {
    /// The bytes of all of them in the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tensors().map(TensorRef::bytes).sum()
    }

    /// Every tensor, in the order of the fields.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorRef> {
        let global = [&self.embed, &self.head, &self.norm].into_iter().chain(self.hyper_head.tensors());
        global.chain(self.layers.iter().flat_map(Layer::tensors))
    }
}

/// The weights of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// `[n_embd]`
    pub attn_norm: TensorRef,
    /// `[n_embd]`
    pub ffn_norm: TensorRef,
    /// Around the attention: `fn_` `[24, 4 * n_embd]`, `base` `[24]`, `scale` `[3]`.
    pub hyper_attn: Hyper,
    /// Around the experts; as `hyper_attn`.
    pub hyper_ffn: Hyper,
    /// The attention.
    pub attn: Attention,
    /// The experts.
    pub ffn: Ffn,
}

impl Layer {
    /// Every tensor, in the order of the fields.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorRef> {
        let Self { attn_norm, ffn_norm, hyper_attn, hyper_ffn, attn, ffn } = self;
        let compressors = [attn.compressor.as_ref(), attn.indexer.as_ref().map(|indexer| &indexer.compressor)];
        let route = match &ffn.route {
            Route::Bias(tensor) | Route::Table(tensor) => tensor,
        };
        let (experts, shared) = (&ffn.experts, &ffn.shared);
        [attn_norm, ffn_norm]
            .into_iter()
            .chain(hyper_attn.tensors())
            .chain(hyper_ffn.tensors())
            .chain([&attn.q_a, &attn.q_norm, &attn.q_b, &attn.kv, &attn.kv_norm, &attn.o_a, &attn.o_b, &attn.sinks])
            .chain(compressors.into_iter().flatten().flat_map(|c| [&c.kv, &c.gate, &c.ape, &c.norm]))
            .chain(attn.indexer.iter().flat_map(|indexer| [&indexer.q_b, &indexer.weights]))
            .chain([&ffn.gate, route, &experts.gate, &experts.up, &experts.down])
            .chain([&shared.gate, &shared.up, &shared.down])
    }
}

/// The weights of a hyper-connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hyper {
    /// Takes all streams to the mixing coefficients.
    pub fn_: TensorRef,
    /// Added to them.
    pub base: TensorRef,
    /// Multiplies each kind of them.
    pub scale: TensorRef,
}

impl Hyper {
    fn tensors(&self) -> [&TensorRef; 3] {
        [&self.fn_, &self.base, &self.scale]
    }
}

/// The weights of a layer's attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    /// `[q_lora, n_embd]`
    pub q_a: TensorRef,
    /// `[q_lora]`
    pub q_norm: TensorRef,
    /// `[n_heads * head_dim, q_lora]`
    pub q_b: TensorRef,
    /// `[head_dim, n_embd]`
    pub kv: TensorRef,
    /// `[head_dim]`
    pub kv_norm: TensorRef,
    /// `[o_groups * o_lora, n_heads / o_groups * head_dim]`: `o_lora` rows for each group, one after the other.
    pub o_a: TensorRef,
    /// `[n_embd, o_groups * o_lora]`
    pub o_b: TensorRef,
    /// `[n_heads]`
    pub sinks: TensorRef,
    /// In layers of a ratio other than 0.
    pub compressor: Option<Compressor>,
    /// In layers of ratio 4.
    pub indexer: Option<Indexer>,
}

/// The weights of a compressor for entries of some width: `head_dim`, or `index_head_dim` in an indexer. `wide` is
/// that width times [`super::Shape::overlap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compressor {
    /// `[wide, n_embd]`
    pub kv: TensorRef,
    /// `[wide, n_embd]`
    pub gate: TensorRef,
    /// `[ratio, wide]`: added to the gate by the token's place in its block.
    pub ape: TensorRef,
    /// `[width]`
    pub norm: TensorRef,
}

/// The weights of an indexer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexer {
    /// `[index_heads * index_head_dim, q_lora]`
    pub q_b: TensorRef,
    /// `[index_heads, n_embd]`
    pub weights: TensorRef,
    /// Makes its keys.
    pub compressor: Compressor,
}

/// The weights of a layer's experts, and of what chooses among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ffn {
    /// `[n_experts, n_embd]`
    pub gate: TensorRef,
    /// How experts are chosen.
    pub route: Route,
    /// The routed experts.
    pub experts: Experts,
    /// The shared expert.
    pub shared: Mlp,
}

/// How a layer chooses experts. Their weights come from the scores without bias either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The highest scores, each with this added: `[n_experts]`.
    Bias(TensorRef),
    /// Whatever this says of the token: `[n_vocab, n_used]` integers. The values are not checked yet.
    Table(TensorRef),
}

/// The routed experts of a layer, their rows one expert after the other. Gate and up are of one format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experts {
    /// How many there are.
    pub n_experts: u32,
    /// `[n_experts * n_hidden, n_embd]`
    pub gate: TensorRef,
    /// `[n_experts * n_hidden, n_embd]`
    pub up: TensorRef,
    /// `[n_experts * n_embd, n_hidden]`
    pub down: TensorRef,
}

impl Experts {
    /// The rows of one expert in one of the three tensors.
    #[must_use]
    pub fn rows_of(&self, tensor: &TensorRef, expert: u32) -> Range<u32> {
        let each = tensor.n_rows / self.n_experts;
        expert * each..(expert + 1) * each
    }
}

/// The weights of the shared expert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mlp {
    /// `[n_hidden, n_embd]`
    pub gate: TensorRef,
    /// `[n_hidden, n_embd]`
    pub up: TensorRef,
    /// `[n_embd, n_hidden]`
    pub down: TensorRef,
}

/// One tensor: how it is stored, and where its rows lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorRef {
    /// The name in the file; `*` stands for the expert where each is a tensor of its own.
    pub name: String,
    /// How the elements are stored. Matrices: any weight format; vectors and `ape`: F32, F16 or BF16; tables: I32
    /// or I64.
    pub format: Format,
    /// Rows, those of all experts together; 1 for a vector.
    pub n_rows: u32,
    /// Elements in a row; the length of a vector.
    pub n_in: u32,
    /// Where the rows lie, in their order.
    pub pieces: Vec<Piece>,
    /// What becomes of the numbers of a small tensor when they are read.
    pub mapped: Mapped,
}

/// What becomes of the numbers of a small tensor when they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mapped {
    /// They are used as they are.
    #[default]
    AsIs,
    /// They are what is added to 1.
    PlusOne,
    /// They are logarithms of what is meant, with the other sign.
    MinusExp,
}

impl Mapped {
    /// What a number of the file means.
    #[must_use]
    pub fn meaning(self, number: f32) -> f32 {
        match self {
            Self::AsIs => number,
            Self::PlusOne => 1.0 + number,
            Self::MinusExp => -number.exp(),
        }
    }
}

/// Rows of a tensor that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which source they lie in.
    pub source_index: usize,
    /// Where the first begins, in bytes.
    pub offset: u64,
    /// How many there are.
    pub n_rows: u32,
    /// Where their scales lie, if they do not lie in blocks with them.
    pub scales: Option<Scales>,
    /// Where the number lies by which all of them are scaled besides, if there is one (NVFP4).
    pub of_all: Option<ScaleOfAll>,
}

/// What the numbers of a tensor are like: with what it is filled in a model of random weights.
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

/// A tensor under the name that llama.cpp has for it, and with the dims that it has there, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name in a GGUF.
    pub name: String,
    /// `[n_experts, n_out, n_in]`, `[n_out, n_in]` or `[n]`.
    pub shape: Vec<u64>,
    /// What its numbers are like.
    pub filling: Filling,
    /// Where it lies.
    pub tensor: TensorRef,
}

impl Named {
    pub(in crate::model) fn new(name: String, extent: Extent, filling: Filling, tensor: TensorRef) -> Self {
        let Extent { kind, n_stacked, n_rows, n_in } = extent;
        let dims = [n_stacked, n_rows, n_in].map(u64::from);
        // A single expert is a stack of one; a matrix of one row is a matrix.
        let outer = match kind {
            _ if n_stacked > 1 || name.contains("_exps.") => 0,
            Kind::Plain if n_rows == 1 => 2,
            _ => 1,
        };
        Self { shape: dims[outer..].to_vec(), name, filling, tensor }
    }

    /// Numbers that were learned; those of a table were not.
    #[must_use]
    pub fn n_parameters(&self) -> u64 {
        if self.filling == Filling::Experts { 0 } else { self.tensor.n_elements() }
    }
}

impl Piece {
    /// The bytes of a row of `n_in` elements as they lie there: where scales lie apart, fewer than the blocks'.
    pub(crate) fn row_bytes(&self, format: Format, n_in: u32) -> u64 {
        match (self.scales, self.of_all) {
            (Some(scales), _) => scales.layout.row_bytes(n_in),
            (None, Some(_)) => Format::NVFP4.row_bytes(n_in.into()),
            (None, None) => format.row_bytes(n_in.into()),
        }
    }
}

impl TensorRef {
    /// The bytes of a row, as blocks of the format.
    #[must_use]
    pub fn row_bytes(&self) -> u64 {
        self.format.row_bytes(u64::from(self.n_in))
    }

    /// The bytes of all rows, as blocks of the format.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.row_bytes() * u64::from(self.n_rows)
    }

    /// The elements of all rows.
    #[must_use]
    pub fn n_elements(&self) -> u64 {
        u64::from(self.n_rows) * u64::from(self.n_in)
    }

    /// The same numbers as rows of one each, as long as they lie in no blocks.
    #[must_use]
    pub fn as_column(&self) -> Self {
        let pieces = self.pieces.iter().map(|piece| Piece { n_rows: piece.n_rows * self.n_in, ..*piece }).collect();
        Self { n_rows: self.n_rows * self.n_in, n_in: 1, pieces, ..self.clone() }
    }

    /// The same, and after its rows those of another of its format and row length.
    #[must_use]
    pub fn followed_by(mut self, next: &Self) -> Self {
        self.n_rows += next.n_rows;
        self.pieces.extend(&next.pieces);
        self
    }

    /// Where the rows of a range lie, in their order. Rows that there are not are left out.
    pub fn pieces_of(&self, rows: Range<u32>) -> impl Iterator<Item = Piece> {
        let starts = self.pieces.iter().scan(0, |start, piece| {
            let here = *start;
            *start += piece.n_rows;
            Some(here)
        });
        self.pieces.iter().zip(starts).filter_map(move |(piece, start)| {
            let first = rows.start.max(start) - start;
            let n_rows = rows.end.min(start + piece.n_rows).checked_sub(start + first).filter(|&n_rows| n_rows > 0)?;
            let offset = piece.offset + u64::from(first) * piece.row_bytes(self.format, self.n_in);
            let scales = piece.scales.map(|scales| Scales { first_row: scales.first_row + first, ..scales });
            Some(Piece { offset, n_rows, scales, ..*piece })
        })
    }
}
