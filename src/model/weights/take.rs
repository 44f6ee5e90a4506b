//! Taking tensors out of a directory by name, each checked for its extent and its format, and each remembered, so that
//! what nobody asked for can be told.

use super::Piece;
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::random::hash;
use crate::format::{Directory, Format, TensorInfo};
use crate::model::part::{Extent, Kind};
use std::collections::HashSet;

/// Which rows of a tensor are taken, where several matrices, or stacks of them, may lie in one. Of a vector: which elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::model) enum Rows {
    Whole,
    /// Of the `n_all` rows of each expert those behind the first `n_before`.
    Behind {
        n_before: u32,
        n_all: u32,
    },
}

impl Rows {
    /// The first half of each expert's rows, where a half has so many.
    pub(in crate::model) const fn first_half(n_rows: u32) -> Self {
        Self::Behind { n_before: 0, n_all: 2 * n_rows }
    }

    /// The second half.
    pub(in crate::model) const fn second_half(n_rows: u32) -> Self {
        Self::Behind { n_before: n_rows, n_all: 2 * n_rows }
    }
}

/// Where the tensors of a model are taken from.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// From files, each checked for its extent and format.
    Files(&'a Directory),
    /// From nowhere: whatever is asked for is there.
    Made(Made),
}

/// Tensors that no file has: each is there under its name in a GGUF, as a source of its own. What a binder asks for here is
/// all that a model of some shape consists of.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// The format of matrices, where rows are whole blocks of it.
    pub format: Format,
    /// Which layer of the whole model the first one is. A tensor is the same source whichever layers stand beside it.
    pub first_layer: u32,
}

impl Made {
    /// How a tensor is kept, as converters do it: vectors and routers as f32.
    pub(in crate::model) fn stored(self, extent: Extent) -> Format {
        match extent.kind {
            Kind::Matrix => fitting(self.format, extent.n_in),
            Kind::Router | Kind::Plain => Format::F32,
            Kind::Table => Format::I32,
        }
    }

    /// All rows of a tensor of that name, in which layers are counted from the first that is there.
    pub(in crate::model) fn piece(self, name: &str, extent: Extent) -> Piece {
        let of_layer = |name: &str| {
            let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
            Some(format!("blk.{}.{rest}", layer.parse::<u32>().ok()? + self.first_layer))
        };
        let whole = of_layer(name).unwrap_or_else(|| name.to_owned());
        let source_index = whole.bytes().fold(0, |sum, byte| hash(u32::from(byte), sum)) as usize;
        Piece { source_index, offset: 0, n_rows: extent.n_stacked * extent.n_rows, scales: None, of_all: None }
    }
}

/// The format, or the next one whose blocks the rows are made of; in the end the one in which checkpoints are published.
pub(in crate::model) fn fitting(format: Format, n_in: u32) -> Format {
    format.or_finer_for(n_in.into()).unwrap_or(Format::BF16)
}

/// A [`Place`] from which tensors are being taken.
pub(in crate::model) enum Origin<'a> {
    Files(Taker<'a>),
    Nowhere(Made),
}

impl<'a> Origin<'a> {
    pub(in crate::model) fn new(place: Place<'a>) -> Self {
        match place {
            Place::Files(directory) => Self::Files(Taker::new(directory)),
            Place::Made(made) => Self::Nowhere(made),
        }
    }
}

/// A directory, and which of its tensors found their place.
pub(in crate::model) struct Taker<'a> {
    directory: &'a Directory,
    used: HashSet<&'a str>,
}

impl<'a> Taker<'a> {
    pub(in crate::model) fn new(directory: &'a Directory) -> Self {
        Self { directory, used: HashSet::new() }
    }

    pub(in crate::model) fn directory(&self) -> &'a Directory {
        self.directory
    }

    /// Remembers that a tensor found its place.
    pub(in crate::model) fn mark(&mut self, tensor: &'a TensorInfo) {
        self.used.insert(&tensor.name);
    }

    /// Whether a tensor of that name was taken.
    pub(in crate::model) fn has(&self, name: &str) -> bool {
        self.used.contains(name)
    }

    /// The tensors that were not.
    pub(in crate::model) fn rest(&self) -> impl Iterator<Item = &'a TensorInfo> {
        self.directory.tensors().iter().filter(|tensor| !self.has(&tensor.name))
    }

    /// The experts of a stack, each a tensor of its own; all of one format.
    pub(in crate::model) fn take_each(&mut self, name: &str, extent: Extent) -> Result<(Format, Vec<Piece>)> {
        let one = Extent { n_stacked: 1, ..extent };
        let mut pieces = Vec::new();
        let mut first = None;
        for expert in 0..extent.n_stacked {
            let name = name.replace('*', &expert.to_string());
            let (format, rows) = self.take_rows(&name, one, Rows::Whole)?;
            let common = *first.get_or_insert(format);
            if format != common {
                return Err(tensor_error(&name, format.name())
                    .expected(format!("{common}, the format of the first expert"))
                    .advice("All routed experts of a layer must be of one format."));
            }
            pieces.extend(rows);
        }
        // A shape that passed its checks has an expert at least.
        Ok((first.unwrap_or(Format::F32), pieces))
    }

    /// The rows of one tensor, its dims and format checked, with the scales beside it if it has any.
    pub(in crate::model) fn take_rows(
        &mut self,
        name: &str,
        extent: Extent,
        which: Rows,
    ) -> Result<(Format, Vec<Piece>)> {
        let Extent { kind, n_stacked, n_rows, n_in } = extent;
        let (of_each, before) = match which {
            Rows::Whole => (n_rows, 0),
            Rows::Behind { n_before, n_all } => (n_all, n_before),
        };
        if matches!(kind, Kind::Plain) && which != Rows::Whole {
            let (format, tensor) = self.take(name, extent, &[of_each.into()])?;
            return Ok((format, vec![piece(tensor, format.row_bytes(before.into()), 1)]));
        }
        if matches!(kind, Kind::Matrix | Kind::Router)
            && let Some(scaled) = self.take_scaled(name, [n_stacked, of_each, n_in])?
        {
            let pieces = (0..n_stacked).map(|expert| scaled.rows(expert * of_each + before, n_rows)).collect();
            return Ok((scaled.format, pieces));
        }
        let (format, tensor) = self.take(name, extent, &[n_stacked, of_each, n_in].map(u64::from))?;
        if which == Rows::Whole {
            return Ok((format, vec![piece(tensor, 0, n_stacked * n_rows)]));
        }
        let begins = (0..n_stacked).map(|expert| u64::from(expert * of_each + before) * format.row_bytes(n_in.into()));
        Ok((format, begins.map(|begin| piece(tensor, begin, n_rows)).collect()))
    }

    /// One tensor, its dims and format checked.
    pub(in crate::model) fn take(
        &mut self,
        name: &str,
        extent: Extent,
        dims: &[u64],
    ) -> Result<(Format, &'a TensorInfo)> {
        let tensor = self.directory.require(name)?;
        let expected = significant(dims);
        if significant(&tensor.shape) != expected {
            return Err(tensor_error(name, format!("of shape {:?}", tensor.shape))
                .expected(format!("{expected:?} (rows first), as the model's keys say"))
                .advice("The file is damaged, or its keys belong to another model."));
        }
        let format = tensor.require_supported()?;
        let formats = match extent.kind {
            Kind::Matrix | Kind::Router => &Format::WEIGHTS[..],
            Kind::Plain => &[Format::F32, Format::F16, Format::BF16],
            Kind::Table => &[Format::I32, Format::I64],
        };
        if !formats.contains(&format) {
            let names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
            return Err(tensor_error(name, format!("stored as {format}"))
                .expected(format!("one of {}", names.join(", ")))
                .advice("Get another quantization of the model."));
        }
        self.used.insert(&tensor.name);
        Ok((format, tensor))
    }
}

/// Dims without leading ones, which come and go: a GGUF does not keep them.
pub(super) fn significant(dims: &[u64]) -> Vec<u64> {
    dims.iter().copied().skip_while(|&n| n == 1).collect()
}

/// Rows of a tensor, from so many bytes after its begin on.
pub(in crate::model) fn piece(tensor: &TensorInfo, begin: u64, n_rows: u32) -> Piece {
    Piece { source_index: tensor.source_index, offset: tensor.offset + begin, n_rows, scales: None, of_all: None }
}

/// Something about a tensor that cannot be.
pub(in crate::model) fn tensor_error(name: &str, found: impl Into<String>) -> Error {
    Error::file(format!("tensor {}", shown(name)), found)
}
