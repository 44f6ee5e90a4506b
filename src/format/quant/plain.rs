//! The formats without blocks: F32, F16, BF16, and the integers of tables.
//!
//! Planes: the numbers in order, F16 and BF16 with element 2i in the low half of word i; no scales.

use super::encode_blocks;
use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::format::plane::Block;
use crate::format::repack::BLOCK_LEN;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

pub(super) static F32: Row = Row {
    name: "F32",
    ggml_id: Some(0),
    block_len: 1,
    block_bytes: 4,
    weights: Some(Weights {
        usual: Usual { place: 120, names: &["F32"] },
        blocks: Blocks::Own { repack: repack_words, decode: decode_f32 },
        written: Written::Encoded {
            encode: |values, bytes| encode_blocks(values, bytes, encode_f32),
            file_type: Some(0),
        },
        planes: Planes { unit: 1, quants: 256, scales: 0, grid: &[] },
        shader: Shader { decoder: &[quant!("f32"), quant!("quarter")], codes: BlockCodes::None, words: &[] },
    }),
};

pub(super) static F16: Row = Row {
    name: "F16",
    ggml_id: Some(1),
    block_len: 1,
    block_bytes: 2,
    weights: Some(Weights {
        usual: Usual { place: 110, names: &["F16"] },
        blocks: Blocks::Own { repack: repack_words, decode: decode_f16 },
        written: Written::Encoded {
            encode: |values, bytes| encode_blocks(values, bytes, encode_f16),
            file_type: Some(1),
        },
        planes: Planes { unit: 1, quants: 128, scales: 0, grid: &[] },
        shader: Shader { decoder: &[quant!("f16"), quant!("quarter")], codes: BlockCodes::None, words: &[] },
    }),
};

pub(super) static BF16: Row = Row {
    name: "BF16",
    ggml_id: Some(30),
    block_len: 1,
    block_bytes: 2,
    weights: Some(Weights {
        usual: Usual { place: 100, names: &["BF16"] },
        blocks: Blocks::Own { repack: repack_words, decode: decode_bf16 },
        written: Written::Encoded {
            encode: |values, bytes| encode_blocks(values, bytes, encode_bf16),
            file_type: Some(32),
        },
        planes: Planes { unit: 1, quants: 128, scales: 0, grid: &[] },
        shader: Shader { decoder: &[quant!("bf16"), quant!("quarter")], codes: BlockCodes::None, words: &[] },
    }),
};

pub(super) static I32: Row = Row { name: "I32", ggml_id: Some(26), block_len: 1, block_bytes: 4, weights: None };

pub(super) static I64: Row = Row { name: "I64", ggml_id: Some(27), block_len: 1, block_bytes: 8, weights: None };

fn encode_f32(values: &[f32; 1]) -> [u8; 4] {
    values[0].to_le_bytes()
}

fn encode_f16(values: &[f32; 1]) -> [u8; 2] {
    f16::from_f32(values[0]).to_le_bytes()
}

fn encode_bf16(values: &[f32; 1]) -> [u8; 2] {
    bf16::from_f32(values[0]).to_le_bytes()
}

/// Words as they are; an F16 or BF16 that is left over is the lower half of one.
fn repack_words(bytes: &[u8], quants: &mut Vec<u32>, _: &mut Vec<u32>) {
    let (words, rest) = bytes.as_chunks();
    quants.extend(words.iter().map(|&word| u32::from_le_bytes(word)));
    if let &[low, high] = rest {
        quants.push(u32::from_le_bytes([low, high, 0, 0]));
    }
}

fn decode_f32(quants: &[u32], _: &[u32], block: usize, values: &mut Block) {
    for (value, &word) in values.iter_mut().zip(&quants[block * 32..][..32]) {
        *value = f32::from_bits(word);
    }
}

fn decode_f16(quants: &[u32], _: &[u32], block: usize, values: &mut Block) {
    let mut halves = [f16::ZERO; BLOCK_LEN];
    for (pair, &word) in halves.as_chunks_mut::<2>().0.iter_mut().zip(&quants[block * 16..][..16]) {
        *pair = [f16::from_bits(word as u16), f16::from_bits((word >> 16) as u16)];
    }
    halves.convert_to_f32_slice(values);
}

/// A shift, as in ggml and the shaders: unlike the `half` crate it leaves the bits of a signalling NaN alone.
fn decode_bf16(quants: &[u32], _: &[u32], block: usize, values: &mut Block) {
    for (pair, &word) in values.as_chunks_mut::<2>().0.iter_mut().zip(&quants[block * 16..][..16]) {
        *pair = [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)];
    }
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
