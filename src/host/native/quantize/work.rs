//! A tensor on its way from the old file to the new one: read, decoded, encoded on all cores and written, a piece at a
//! time.

use super::super::new_file::NewFile;
use super::plan::{Fate, Planned};
use super::tally::Tally;
use crate::error::{Error, Result};
use crate::format::directory::shown;
use crate::format::{Format, Source, quant};
use std::rc::Rc;
use std::thread;

/// Elements of a piece: whole blocks of every format, and 4 MiB as F32.
const PIECE: u64 = 1 << 20;
/// Bytes copied at a time.
const COPIED: u64 = 4 << 20;

/// Writes the data of a tensor. `progress` hears of the bytes that were read, and says whether to stop; returns whether
/// the tensor was finished.
pub(super) fn write(
    sources: &[Rc<dyn Source>],
    planned: &Planned,
    to: &mut NewFile,
    tally: &mut Tally,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<bool> {
    let tensor = &planned.tensor;
    let mut bytes = Vec::new();
    let per_read = tensor.piece_bytes(match planned.fate {
        Fate::Copied { .. } | Fate::Narrowed { .. } => COPIED,
        // The rows are whole blocks of both formats, so the tensor is one run of blocks, and so is a piece.
        Fate::Encoded { from, to, .. } => {
            tally.begin(to);
            from.row_bytes(PIECE)
        }
    });
    let mut at = 0;
    while at < tensor.bytes() {
        let n = per_read.min(tensor.bytes() - at);
        bytes.resize(n as usize, 0);
        pollster::block_on(tensor.read(sources, at, &mut bytes))?;
        let named = |error: Error, element: u64| Error {
            thing: format!("tensor {}, from element {element}: {}", shown(&tensor.name), error.thing),
            ..error
        };
        match planned.fate {
            Fate::Copied { .. } => {
                tally.add_copied(n);
                to.write(&bytes)?;
            }
            Fate::Narrowed { .. } => {
                let narrow = narrowed(&bytes).map_err(|error| named(error, at / 8))?;
                tally.add_copied(narrow.len() as u64);
                to.write(&narrow)?;
            }
            Fate::Encoded { from, to: format, .. } => {
                let element = at / from.block_bytes() as u64 * from.block_len() as u64;
                let piece = encode(&bytes, from, format).map_err(|error| named(error, element))?;
                tally.add(format, piece.bytes.len(), &piece.before, &piece.after);
                to.write(&piece.bytes)?;
            }
        }
        at += n;
        if progress(n) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Integers of 64 bits in 32, where they fit.
fn narrowed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut integers = Vec::new();
    quant::decode_integers(Format::I64, bytes, &mut integers)?;
    Ok(integers.iter().flat_map(|integer| integer.to_le_bytes()).collect())
}

/// What became of a piece.
struct Piece {
    before: Vec<f32>,
    after: Vec<f32>,
    bytes: Vec<u8>,
}

/// Decodes the blocks of one format and encodes them in another, and decodes them again.
fn encode(blocks: &[u8], from: Format, to: Format) -> Result<Piece> {
    let n = blocks.len() / from.block_bytes() * from.block_len();
    let mut before = vec![0.0f32; n];
    quant::decode_row(from, blocks, &mut before)?;
    // Each core takes whole blocks of every format; the last takes the rest.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = n.div_ceil(cores).next_multiple_of(256);
    let parts: Vec<Result<Vec<u8>>> = thread::scope(|scope| {
        let encode_part = |values| {
            scope.spawn(move || {
                let mut bytes = Vec::new();
                quant::encode_row(to, values, &mut bytes).map(|()| bytes)
            })
        };
        let workers: Vec<_> = before.chunks(share).map(encode_part).collect();
        let joined =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.collect()
    });
    let bytes = parts.into_iter().collect::<Result<Vec<_>>>()?.concat();
    let mut after = vec![0.0f32; n];
    quant::decode_row(to, &bytes, &mut after)?;
    // F16 ends at 65504, and so do the scales of most block formats, which are kept finite: what is beyond comes out small.
    let is_cut = |(before, after): (&f32, &f32)| {
        before.is_finite() && (!after.is_finite() || before.abs() > 65504.0 && after.abs() < before.abs() / 2.0)
    };
    if let Some(at) = before.iter().zip(&after).position(is_cut) {
        return Err(Error::file(format!("element {at} of these"), format!("{}", before[at]))
            .expected(format!("a number that {to} can hold"))
            .advice("Take a format with the range of F32, such as BF16."));
    }
    Ok(Piece { before, after, bytes })
}
