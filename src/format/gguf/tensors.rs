//! The directory part of a GGUF header, and the checks that every tensor lies where it can.

use super::super::directory::{elements_of, shown};
use super::super::{Format, Source, Stored, TensorInfo};
use super::header::{DAMAGED, Header, cut_short};
use crate::error::{Error, Result};

/// The bytes of the shortest entry: an empty name, no dimension, type and offset.
pub(super) const SMALLEST: u64 = 8 + 4 + 4 + 8;
/// ggml itself stops at 63.
const LONGEST_NAME: u64 = 1024;
const MOST_DIMENSIONS: u32 = 4;

/// The formats that are known but not used: type number, name, elements and bytes of a block. Their tensors are
/// kept in the directory and checked like the others. Source: `ggml.h` and gguf-py's `GGML_QUANT_SIZES`.
const OTHERS: [(u32, &str, u64, u64); 4] =
    [(15, "Q8_K", 256, 292), (24, "I8", 1, 1), (25, "I16", 1, 2), (28, "F64", 1, 8)];

/// How a tensor is stored, with the elements and bytes of a block where they are known.
fn stored_as(id: u32) -> (Stored, Option<(u64, u64)>) {
    if let Some(format) = Format::from_ggml_id(id) {
        return (Stored::Supported(format), Some((format.block_len() as u64, format.block_bytes() as u64)));
    }
    match OTHERS.iter().find(|other| other.0 == id) {
        Some(&(_, name, block_len, block_bytes)) => (Stored::Other(name.to_owned()), Some((block_len, block_bytes))),
        None => (Stored::Other(format!("type {id}")), None),
    }
}

/// The type number of what [`stored_as`] gives; `None` for a format whose blocks are unknown.
#[must_use]
pub fn type_id(stored: &Stored) -> Option<u32> {
    match stored {
        Stored::Supported(format) => format.ggml_id(),
        Stored::Other(name) => OTHERS.iter().find(|other| other.1 == name).map(|other| other.0),
    }
}

/// Reads the entries. Their offsets still count from where the data begins.
pub(super) async fn read(header: &mut Header<'_>, count: u64, source_index: usize) -> Result<Vec<TensorInfo>> {
    let mut tensors = Vec::new();
    for index in 0..count {
        let name = header.text(&format!("the name of tensor {index}"), LONGEST_NAME).await?;
        let what = format!("the entry of tensor {}", shown(&name));
        let n_dimensions = header.u32(&what).await?;
        if n_dimensions > MOST_DIMENSIONS {
            let found = format!("{n_dimensions} dimensions in {what}");
            return Err(header.error(found, format!("at most {MOST_DIMENSIONS}")).advice(DAMAGED));
        }
        let mut shape = Vec::new();
        for _ in 0..n_dimensions {
            shape.push(header.u64(&what).await?);
        }
        shape.reverse();
        let (stored, block) = stored_as(header.u32(&what).await?);
        let offset = header.u64(&what).await?;
        let bytes = bytes_of(&shape, &stored, block).map_err(|reason| {
            header.error(format!("shape {shape:?} of {} in {what}", stored.name()), reason).advice(DAMAGED)
        })?;
        tensors.push(TensorInfo { name, stored, shape, offset, bytes, source_index });
    }
    Ok(tensors)
}

/// The bytes of a tensor, zero where the block is unknown; or what was expected of its shape.
fn bytes_of(shape: &[u64], stored: &Stored, block: Option<(u64, u64)>) -> Result<u64, String> {
    let too_large = || "a product that fits in 64 bits".to_owned();
    let elements = elements_of(shape).ok_or_else(too_large)?;
    let Some((block_len, block_bytes)) = block else { return Ok(0) };
    let n_in = shape.last().copied().unwrap_or(1);
    if !n_in.is_multiple_of(block_len) {
        return Err(format!("rows of a multiple of {block_len} elements, the block of {}", stored.name()));
    }
    (elements / block_len).checked_mul(block_bytes).ok_or_else(too_large)
}

/// Makes the offsets count from the beginning of the source, and checks them against alignment and length.
pub(super) fn place(
    source: &dyn Source,
    mut tensors: Vec<TensorInfo>,
    data_begin: u64,
    alignment: u64,
) -> Result<Vec<TensorInfo>> {
    for tensor in &mut tensors {
        let thing = || format!("{}: tensor {}", source.name(), shown(&tensor.name));
        if !tensor.offset.is_multiple_of(alignment) {
            return Err(Error::file(thing(), format!("lies at offset {}", tensor.offset))
                .expected(format!("a multiple of the alignment {alignment}"))
                .advice(DAMAGED));
        }
        let begin = data_begin.checked_add(tensor.offset);
        let end = begin.and_then(|begin| begin.checked_add(tensor.bytes));
        match (begin, end) {
            (Some(begin), Some(end)) if end <= source.bytes() => tensor.offset = begin,
            _ => {
                let (offset, bytes) = (tensor.offset, tensor.bytes);
                return Err(Error::file(thing(), format!("{bytes} bytes at offset {offset} of the data"))
                    .expected(format!("an end inside the {} bytes of the file", source.bytes()))
                    .advice(cut_short(source.name())));
            }
        }
    }
    Ok(tensors)
}
