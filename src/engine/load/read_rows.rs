//! Rows of a tensor, read from the pieces of its sources that hold them, as the blocks of its format.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::scaled;
use crate::format::{Format, Source, quant};
use crate::model::weights::{Piece, Scales, TensorRef};

/// Fills `to` with the rows of these pieces of a tensor, one after the other.
///
/// # Errors
/// When a source cannot be read, or scales and weights beside each other hold what is no number.
pub(in crate::engine) async fn read_rows(
    sources: &[Rc<dyn Source>],
    tensor: &TensorRef,
    pieces: impl Iterator<Item = Piece>,
    mut to: &mut [u8],
) -> Result<()> {
    for piece in pieces {
        let (part, rest) = to.split_at_mut((u64::from(piece.n_rows) * tensor.row_bytes()) as usize);
        match piece.scales {
            Some(scales) => read_scaled(sources, tensor, &piece, &scales, part).await?,
            None => sources[piece.source_index].read_at(piece.offset, part).await?,
        }
        to = rest;
    }
    Ok(())
}

/// The numbers of a small tensor, as they are meant.
///
/// # Errors
/// As [`read_rows`].
pub(in crate::engine) async fn read_vector(sources: &[Rc<dyn Source>], tensor: &TensorRef) -> Result<Vec<f32>> {
    let mut bytes = vec![0; tensor.bytes() as usize];
    read_rows(sources, tensor, tensor.pieces.iter().copied(), &mut bytes).await?;
    let mut values = vec![0.0f32; tensor.n_elements() as usize];
    quant::decode_row(tensor.format, &bytes, &mut values)?;
    values.iter_mut().for_each(|value| *value = tensor.mapped.meaning(*value));
    Ok(values)
}

/// Reads weights and the scales beside them, and joins them row by row.
async fn read_scaled(
    sources: &[Rc<dyn Source>],
    tensor: &TensorRef,
    piece: &Piece,
    scales: &Scales,
    to: &mut [u8],
) -> Result<()> {
    let layout = scales.layout;
    let row_bytes = layout.row_bytes(tensor.n_in);
    let mut weights = vec![0; (u64::from(piece.n_rows) * row_bytes) as usize];
    sources[piece.source_index].read_at(piece.offset, &mut weights).await?;

    let scale_row_bytes = u64::from(layout.scales_per_row(tensor.n_in)) * scales.stored.bytes();
    let first = scales.first_row / layout.scale_rows;
    let last = (scales.first_row + piece.n_rows - 1) / layout.scale_rows;
    let mut factors = vec![0; (u64::from(last - first + 1) * scale_row_bytes) as usize];
    sources[scales.source_index].read_at(scales.offset + u64::from(first) * scale_row_bytes, &mut factors).await?;

    let rows = weights.chunks_exact(row_bytes as usize).zip(to.chunks_exact_mut(tensor.row_bytes() as usize));
    for (row, (weights, blocks)) in (scales.first_row..).zip(rows) {
        let at = (u64::from(row / layout.scale_rows - first) * scale_row_bytes) as usize;
        let factors = &factors[at..at + scale_row_bytes as usize];
        scaled::join_row(tensor.format, layout, scales.stored, weights, factors, blocks)
            .map_err(|error| named(tensor, tensor.format, error))?;
    }
    Ok(())
}

/// The same error, naming the tensor.
fn named(tensor: &TensorRef, format: Format, error: Error) -> Error {
    Error { thing: format!("tensor {} ({format}): {}", shown(&tensor.name), error.thing), ..error }
}
