//! The formats without blocks: F32, F16, BF16, and the integers of tables.

use super::super::Format;
use crate::error::{Error, Result};
use half::{bf16, f16};

pub(super) fn decode_f32(block: &[u8; 4], values: &mut [f32; 1]) {
    values[0] = f32::from_le_bytes(*block);
}

pub(super) fn encode_f32(values: &[f32; 1]) -> [u8; 4] {
    values[0].to_le_bytes()
}

pub(super) fn decode_f16(block: &[u8; 2], values: &mut [f32; 1]) {
    values[0] = f16::from_le_bytes(*block).to_f32();
}

pub(super) fn encode_f16(values: &[f32; 1]) -> [u8; 2] {
    f16::from_f32(values[0]).to_le_bytes()
}

/// A shift, as in ggml and the shaders: unlike the `half` crate it leaves the bits of a signalling NaN alone.
pub(super) fn decode_bf16(block: &[u8; 2], values: &mut [f32; 1]) {
    values[0] = f32::from_bits(u32::from(u16::from_le_bytes(*block)) << 16);
}

pub(super) fn encode_bf16(values: &[f32; 1]) -> [u8; 2] {
    bf16::from_f32(values[0]).to_le_bytes()
}

/// Decodes a table of integers (I32 or I64) and appends its entries to `integers`.
///
/// Fails for other formats, for bytes that are no whole number of entries, and for an I64 that does not fit in 32
/// bits: no table here counts that far.
pub fn decode_integers(format: Format, bytes: &[u8], integers: &mut Vec<i32>) -> Result<()> {
    if !bytes.len().is_multiple_of(format.block_bytes()) {
        return Err(super::wrong_length(format, bytes.len(), bytes.len() / format.block_bytes()));
    }
    match format {
        Format::I32 => integers.extend(bytes.as_chunks().0.iter().map(|&entry| i32::from_le_bytes(entry))),
        Format::I64 => {
            for &entry in bytes.as_chunks().0 {
                let wide = i64::from_le_bytes(entry);
                integers.push(i32::try_from(wide).map_err(|_| {
                    Error::file("a table of integers", format!("the entry {wide}"))
                        .expected("entries that fit in 32 bits")
                })?);
            }
        }
        _ => {
            return Err(Error::file("a table of integers", format!("stored as {format}")).expected("I32 or I64"));
        }
    }
    Ok(())
}
