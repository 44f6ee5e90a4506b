//! From the blocks of a file to the planes that the GPU reads. Blocks of 17, 18, 34 or 210 bytes lie across words;
//! here every matrix becomes two arrays of whole words, loss-free and never expanded:
//!
//! a **quants plane** of `vec4<u32>` and a **scales plane** of `u32`, both row-major over blocks of 32 elements,
//! `ceil(n_in / 32)` blocks to a row.
//!
//! How a block lies in them is said in the file of its format.
//!
//! Scales of two or four to a word run on over the whole matrix, from row to row without a gap. Element i has bit i of a
//! word of third or fifth bits. Rows of F32, F16 and BF16 that end inside a block are filled up with zeros.

use super::Format;
use super::quant::row::Blocks;
use super::quant::weights_of;
use crate::error::{Error, Result};

/// The elements of a block in the planes, whatever the file's block is.
pub const BLOCK_LEN: usize = 32;

/// The blocks of 32 that a row of `n_in` elements takes.
#[must_use]
pub const fn blocks_per_row(n_in: u64) -> u64 {
    n_in.div_ceil(BLOCK_LEN as u64)
}

/// The words of the quants plane of a matrix `[n_rows, n_in]`, four for each `vec4`. None for tables of integers.
#[must_use]
pub const fn quant_words(format: Format, n_rows: u64, n_in: u64) -> u64 {
    let Some(weights) = &format.row().weights else { return 0 };
    let (blocks, of_eight) = (n_rows.saturating_mul(blocks_per_row(n_in)), weights.planes.quants as u64);
    (blocks / 8).saturating_mul(of_eight).saturating_add(blocks % 8 * of_eight / 8)
}

/// The table that the scales plane of a matrix begins with, before what [`repack_rows`] appends; empty for most formats.
#[must_use]
pub const fn grid_of(format: Format) -> &'static [u32] {
    match &format.row().weights {
        Some(weights) => weights.planes.grid,
        None => &[],
    }
}

/// The words of the scales plane of a matrix `[n_rows, n_in]`, the table at its beginning included; the last one may be
/// filled in part.
#[must_use]
pub const fn scale_words(format: Format, n_rows: u64, n_in: u64) -> u64 {
    let Some(weights) = &format.row().weights else { return 0 };
    let planes = &weights.planes;
    let units = n_rows.saturating_mul(blocks_per_row(n_in)).div_ceil(planes.unit as u64);
    units.saturating_mul(planes.scales as u64).saturating_add(planes.grid.len() as u64)
}

/// After how many rows both planes stand at a whole word: 1, 2 or 4. A matrix that is repacked in
/// pieces is cut at multiples of this.
#[must_use]
pub const fn row_quantum(format: Format, n_in: u64) -> u64 {
    let Some(weights) = &format.row().weights else { return 1 };
    let (unit, blocks) = (weights.planes.unit, blocks_per_row(n_in));
    // A unit is a power of two, of which a row may have a part.
    let rest = unit.trailing_zeros().saturating_sub(blocks.trailing_zeros());
    1 << rest
}

/// Repacks `n_rows` whole rows of `n_in` elements and appends them to the planes, of which the scales begin with the
/// [table](grid_of) of the format.
///
/// `bytes` holds exactly those rows as in the file. All pieces of a matrix but the last have a multiple of
/// [`row_quantum`] rows. Fails where the bytes do not fit the shape, and for the tables of integers.
pub fn repack_rows(
    format: Format,
    bytes: &[u8],
    n_rows: u64,
    n_in: u64,
    quants: &mut Vec<u32>,
    scales: &mut Vec<u32>,
) -> Result<()> {
    let row_bytes = format.row_bytes(n_in);
    if n_in == 0
        || !n_in.is_multiple_of(format.block_len() as u64)
        || n_rows.checked_mul(row_bytes) != Some(bytes.len() as u64)
    {
        return Err(Error::usage(
            format!("rows of {format} to repack"),
            format!("{} bytes for {n_rows} rows of {n_in}", bytes.len()),
        )
        .expected(format!("{row_bytes} bytes a row, in blocks of {} elements", format.block_len())));
    }
    match &weights_of(format)?.blocks {
        Blocks::Packed(packed) => packed.repack(bytes, format.block_bytes(), quants, scales),
        Blocks::Own { repack, .. } if format.block_len() < BLOCK_LEN => {
            // The rows are inside a slice, so their length fits in a usize.
            for row in bytes.chunks_exact(row_bytes as usize) {
                let filled = quants.len() + quant_words(format, 1, n_in) as usize;
                repack(row, quants, scales);
                quants.resize(filled, 0);
            }
        }
        Blocks::Own { repack, .. } => repack(bytes, quants, scales),
    }
    Ok(())
}

/// Little-endian words of bytes that are a multiple of four.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word))
}

/// Appends scales, `per_word` of them to a word from the low bits up.
pub(super) fn extend_scales(scales: &mut Vec<u32>, per_word: usize, values: impl Iterator<Item = u32>) {
    for (index, value) in values.enumerate() {
        let place = index % per_word;
        match scales.last_mut() {
            Some(word) if place > 0 => *word |= value << (32 / per_word * place),
            _ => scales.push(value),
        }
    }
}

/// The low nibbles of 32 bytes in the order of Q4_0: byte i takes element i and element i + 16.
pub(super) fn low_nibbles(chunk: &[u8; 32]) -> [u32; 4] {
    nibbles(chunk, |front, back| front & 0x0f0f_0f0f | (back & 0x0f0f_0f0f) << 4)
}

/// The high nibbles of 32 bytes in the order of Q4_0.
pub(super) fn high_nibbles(chunk: &[u8; 32]) -> [u32; 4] {
    nibbles(chunk, |front, back| front >> 4 & 0x0f0f_0f0f | back & 0xf0f0_f0f0)
}

fn nibbles(chunk: &[u8; 32], join: impl Fn(u32, u32) -> u32) -> [u32; 4] {
    let bytes = chunk.as_chunks().0;
    [0, 1, 2, 3].map(|i| join(u32::from_le_bytes(bytes[i]), u32::from_le_bytes(bytes[i + 4])))
}

/// The two-bit fields of 64 bytes in the order of their elements, 16 to a word: element 128h + 32s + l has the bits
/// from 2s on of byte 32h + l.
pub(super) fn two_bit_words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<32>().0.iter().flat_map(|half| {
        let sixteens = half.as_chunks::<16>().0;
        [0, 2, 4, 6].into_iter().flat_map(move |shift| sixteens.iter().map(move |sixteen| two_bits(sixteen, shift)))
    })
}

/// Two bits of each of 16 bytes, from bit `shift` on, in one word: eight bytes at a time, drawn together by halves.
fn two_bits(bytes: &[u8; 16], shift: usize) -> u32 {
    let eights = bytes.as_chunks::<8>().0.iter().rev();
    eights.fold(0, |word, &eight| {
        let fields = u64::from_le_bytes(eight) >> shift & 0x0303_0303_0303_0303;
        let fields = (fields | fields >> 6) & 0x000f_000f_000f_000f;
        let fields = (fields | fields >> 12) & 0x0000_00ff_0000_00ff;
        word << 16 | (fields | fields >> 24) as u32 & 0xffff
    })
}

/// Bit `bit` of each of 32 bytes, in one word: eight bytes at a time, where the product moves byte i's bit to bit 56 + i.
pub(super) fn bit_column(bytes: &[u8], bit: usize) -> u32 {
    let eights = bytes.as_chunks::<8>().0.iter().rev();
    eights.fold(0, |word, &eight| {
        let bits = u64::from_le_bytes(eight) >> bit & 0x0101_0101_0101_0101;
        word << 8 | (bits.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    })
}
