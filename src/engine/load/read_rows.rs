//! Rows of a tensor, read from the pieces of its sources that hold them, as the blocks of its format.

use std::rc::Rc;

use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::scaled;
use crate::format::{Format, Source, quant};
use crate::model::weights::{Piece, ScaleOfAll, Scales, TensorRef};

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
        match (piece.scales, piece.of_all) {
            (None, None) => sources[piece.source_index].read_at(piece.offset, part).await?,
            (scales, of_all) => read_scaled(sources, tensor, &piece, (scales, of_all), part).await?,
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
    (scales, of_all): (Option<Scales>, Option<ScaleOfAll>),
    to: &mut [u8],
) -> Result<()> {
    let row_bytes = piece.row_bytes(tensor.format, tensor.n_in) as usize;
    let mut weights = vec![0; piece.n_rows as usize * row_bytes];
    sources[piece.source_index].read_at(piece.offset, &mut weights).await?;
    let of_all = match of_all {
        Some(of_all) => read_scale_of_all(sources, of_all).await?,
        None => 1.0,
    };
    let mut rows = weights.chunks_exact(row_bytes).zip(to.chunks_exact_mut(tensor.row_bytes() as usize));
    let Some(Scales { stored, layout, source_index, offset, first_row }) = scales else {
        return rows
            .try_for_each(|(weights, blocks)| scaled::join_nvfp4(weights, None, of_all, blocks))
            .map_err(|error| named(tensor, tensor.format, error));
    };

    let scale_row_bytes = u64::from(layout.scales_per_row(tensor.n_in)) * stored.bytes();
    let first = first_row / layout.scale_rows;
    let last = (first_row + piece.n_rows - 1) / layout.scale_rows;
    let mut factors = vec![0; (u64::from(last - first + 1) * scale_row_bytes) as usize];
    sources[source_index].read_at(offset + u64::from(first) * scale_row_bytes, &mut factors).await?;
    for (row, (weights, blocks)) in (first_row..).zip(rows) {
        let at = (u64::from(row / layout.scale_rows - first) * scale_row_bytes) as usize;
        let factors = &factors[at..at + scale_row_bytes as usize];
        match tensor.format {
            Format::NVFP4_F32 => scaled::join_nvfp4(weights, Some(factors), of_all, blocks),
            format => scaled::join_row(format, layout, stored, weights, factors, blocks),
        }
        .map_err(|error| named(tensor, tensor.format, error))?;
    }
    Ok(())
}

async fn read_scale_of_all(sources: &[Rc<dyn Source>], of_all: ScaleOfAll) -> Result<f32> {
    let mut bytes = [0; 4];
    sources[of_all.source_index].read_at(of_all.offset, &mut bytes).await?;
    let number = f32::from_le_bytes(bytes);
    Ok(if of_all.divides { 1.0 / number } else { number })
}

/// The same error, naming the tensor.
fn named(tensor: &TensorRef, format: Format, error: Error) -> Error {
    Error { thing: format!("tensor {} ({format}): {}", shown(&tensor.name), error.thing), ..error }
}
