//! The directory of a file, or of several shards: which tensors there are, of which shape and format, and where.
//! It holds no weights. Both readers build it, and it refuses two tensors of one name, and two in one place.

use super::Format;
use crate::error::{Error, Result};

/// The format of a tensor as its file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A format that the program can use.
    Supported(Format),
    /// A format that it cannot, by its name in the file. Such a tensor does no harm until somebody needs it.
    Other(String),
}

impl Stored {
    /// The name of the format.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Supported(format) => format.name(),
            Self::Other(name) => name,
        }
    }
}

/// One tensor: everything but its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the file.
    pub name: String,
    /// How the elements are stored.
    pub stored: Stored,
    /// The dimensions, outermost first: `[n_out, n_in]` or `[n_expert, n_out, n_in]`. Their product fits
    /// in 64 bits, and is zero in a tensor of no elements. A scalar has none.
    pub shape: Vec<u64>,
    /// Where the data begins, in bytes from the beginning of its source.
    pub offset: u64,
    /// How many bytes the data takes; they lie inside the source. Zero where the size of an unknown format cannot
    /// be told.
    pub bytes: u64,
    /// Which source it lies in, where a model has several.
    pub source_index: usize,
}

impl TensorInfo {
    /// The format, or an error that names the tensor, its format and those supported.
    pub fn require_supported(&self) -> Result<Format> {
        match &self.stored {
            Stored::Supported(format) => Ok(*format),
            Stored::Other(name) => {
                Err(Error::file(format!("tensor {}", shown(&self.name)), format!("stored as {name}"))
                    .expected(format!("one of {}", Format::supported_names()))
                    .advice("Convert the file to one of these formats, or get another quantization of the model."))
            }
        }
    }

    /// The length of a row, the innermost dimension; 1 for a scalar.
    #[must_use]
    pub fn n_in(&self) -> u64 {
        self.shape.last().copied().unwrap_or(1)
    }

    /// How many rows there are over all outer dimensions; 1 for a vector.
    #[must_use]
    pub fn n_rows(&self) -> u64 {
        self.shape.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }

    /// The first byte after the data.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes)
    }
}

/// Tensors in the order of the file, with a look-up by name.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    tensors: Vec<TensorInfo>,
    /// Indexes into `tensors`, sorted by name.
    by_name: Vec<usize>,
}

impl Directory {
    /// Collects tensors. Fails if two have one name, or share a byte of one source.
    pub fn new(tensors: Vec<TensorInfo>) -> Result<Self> {
        let mut by_name: Vec<usize> = (0..tensors.len()).collect();
        by_name.sort_unstable_by_key(|&index| tensors[index].name.as_str());
        if let Some(pair) = by_name.windows(2).find(|pair| tensors[pair[0]].name == tensors[pair[1]].name) {
            return Err(Error::file(format!("tensor {}", shown(&tensors[pair[0]].name)), "its name occurs twice")
                .expected("every tensor once")
                .advice("The file is damaged: download or convert it again."));
        }
        refuse_overlap(&tensors)?;
        Ok(Self { tensors, by_name })
    }

    /// The same tensors under other names; as they are where two would then have one name.
    #[must_use]
    pub fn renamed(self, rename: fn(&str) -> Option<String>) -> Self {
        let new_name = |tensor: &TensorInfo| rename(&tensor.name);
        if !self.tensors.iter().any(|tensor| new_name(tensor).is_some()) {
            return self;
        }
        let renamed = |tensor: &TensorInfo| match new_name(tensor) {
            Some(name) => TensorInfo { name, ..tensor.clone() },
            None => tensor.clone(),
        };
        Self::new(self.tensors.iter().map(renamed).collect()).unwrap_or(self)
    }

    /// The tensor of that name, if there is one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        let place = self.by_name.binary_search_by_key(&name, |&index| self.tensors[index].name.as_str());
        place.ok().map(|place| &self.tensors[self.by_name[place]])
    }

    /// The tensor of that name, or an error that names it.
    pub fn require(&self, name: &str) -> Result<&TensorInfo> {
        self.get(name).ok_or_else(|| {
            Error::file(format!("tensor {}", shown(name)), "missing")
                .advice("The file is not complete, or not of this architecture.")
        })
    }

    /// Every tensor, in the order of the file.
    #[must_use]
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }
}

/// The product of dimensions, of which each may be zero; `None` where it does not fit in 64 bits. Zeros do not hide what
/// does not fit.
pub(super) fn elements_of(shape: &[u64]) -> Option<u64> {
    let product = shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n.max(1)))?;
    Some(if shape.contains(&0) { 0 } else { product })
}

/// Fails if two tensors of one source share a byte.
fn refuse_overlap(tensors: &[TensorInfo]) -> Result<()> {
    // A tensor of no bytes overlaps nothing, whatever its offset.
    let mut in_order: Vec<&TensorInfo> = tensors.iter().filter(|tensor| tensor.bytes > 0).collect();
    in_order.sort_unstable_by_key(|tensor| (tensor.source_index, tensor.offset, tensor.bytes));
    for pair in in_order.windows(2) {
        let [first, second] = pair else { continue };
        if first.source_index == second.source_index && first.end() > second.offset {
            let found = format!(
                "begins at byte {}, inside {} which ends at {}",
                second.offset,
                shown(&first.name),
                first.end()
            );
            return Err(Error::file(format!("tensor {}", shown(&second.name)), found)
                .expected("tensors that do not overlap")
                .advice("The file is damaged: download or convert it again."));
        }
    }
    Ok(())
}

/// The same error, naming the file it was found in.
pub(super) fn in_file(file: &str, error: Error) -> Error {
    Error { thing: format!("{file}: {}", error.thing), ..error }
}

/// A name from a file as a message shows it: quoted, escaped, and cut where it is long.
#[must_use]
pub(crate) fn shown(name: &str) -> String {
    const LONGEST: usize = 120;
    match name.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{:?}…", &name[..cut]),
        None => format!("{name:?}"),
    }
}
