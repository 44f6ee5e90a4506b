//! Weight formats as their files hold them: rows of blocks to and from f32, one file per format, one contract. Those that
//! are only read are in [`super::packed`]. Every file here has `decode(&block, &mut values)`, which equals ggml's scalar code bit for bit, and
//! `encode(&values) -> block`. Plain loops: this is the oracle of the shaders, and what writes small files.

mod fp8;
mod fp8_f32;
mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod nvfp4;
mod plain;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod scale_min;
mod scale_only;

pub use plain::decode_integers;

pub(super) use fp8::{e4m3, power};
pub(super) use iq4_nl::UNEVEN;
pub(super) use iq4_xs::unpack_scale as unpack_iq4_xs_scale;
pub(super) use mxfp4::{DOUBLED_E2M1, half_power};
pub(super) use nvfp4::half_scale;
pub(super) use q3_k::unpack_scale as unpack_q3_k_scale;
pub(super) use q4_k::unpack_scale_min;

use super::{Format, packed};
use crate::error::{Error, Result};
use half::f16;

/// Decodes one row, or several in a sequence, from the blocks of a file.
///
/// `bytes` holds exactly the blocks of `values.len()` elements. Fails where the lengths do not fit each other, and
/// for the tables of integers, which [`decode_integers`] reads.
pub fn decode_row(format: Format, bytes: &[u8], values: &mut [f32]) -> Result<()> {
    let n = values.len();
    if !n.is_multiple_of(format.block_len()) || bytes.len() as u64 != format.row_bytes(n as u64) {
        return Err(wrong_length(format, bytes.len(), n));
    }
    match format {
        Format::F32 => decode_blocks(bytes, values, plain::decode_f32),
        Format::F16 => decode_blocks(bytes, values, plain::decode_f16),
        Format::BF16 => decode_blocks(bytes, values, plain::decode_bf16),
        Format::Q8_0 => decode_blocks(bytes, values, q8_0::decode),
        Format::Q4_0 => decode_blocks(bytes, values, q4_0::decode),
        Format::Q4_1 => decode_blocks(bytes, values, q4_1::decode),
        Format::Q5_0 => decode_blocks(bytes, values, q5_0::decode),
        Format::Q5_1 => decode_blocks(bytes, values, q5_1::decode),
        Format::Q2_K => decode_blocks(bytes, values, q2_k::decode),
        Format::Q3_K => decode_blocks(bytes, values, q3_k::decode),
        Format::Q4_K => decode_blocks(bytes, values, q4_k::decode),
        Format::Q5_K => decode_blocks(bytes, values, q5_k::decode),
        Format::Q6_K => decode_blocks(bytes, values, q6_k::decode),
        Format::IQ4_NL => decode_blocks(bytes, values, iq4_nl::decode),
        Format::IQ4_XS => decode_blocks(bytes, values, iq4_xs::decode),
        Format::MXFP4 => decode_blocks(bytes, values, mxfp4::decode),
        Format::NVFP4 => decode_blocks(bytes, values, nvfp4::decode),
        Format::FP8 => decode_blocks(bytes, values, fp8::decode),
        Format::FP8_F32 => decode_blocks(bytes, values, fp8_f32::decode),
        other => {
            let packed = packed::of(other).ok_or_else(|| not_a_weight(other))?;
            packed.decode_row(bytes, other.block_bytes(), values);
        }
    }
    Ok(())
}

/// Encodes one row, or several in a sequence, and appends the blocks to `bytes`.
///
/// Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 are ggml's reference encoders bit for bit; the others search for the least squared
/// error. Fails if the number of values is no multiple of the block's length, if a value is not finite and the format has
/// blocks, for the formats that are only read ([`Format::can_encode`]), and for the tables of integers.
pub fn encode_row(format: Format, values: &[f32], bytes: &mut Vec<u8>) -> Result<()> {
    let n = values.len();
    if !n.is_multiple_of(format.block_len()) {
        return Err(wrong_length(format, bytes.len(), n));
    }
    if format.block_len() > 1
        && let Some(index) = values.iter().position(|value| !value.is_finite())
    {
        return Err(Error::file(format!("element {index} of a row"), format!("{}", values[index]))
            .expected(format!("a finite number, as {format} cannot hold others")));
    }
    match format {
        Format::F32 => encode_blocks(values, bytes, plain::encode_f32),
        Format::F16 => encode_blocks(values, bytes, plain::encode_f16),
        Format::BF16 => encode_blocks(values, bytes, plain::encode_bf16),
        Format::Q8_0 => encode_blocks(values, bytes, q8_0::encode),
        Format::Q4_0 => encode_blocks(values, bytes, q4_0::encode),
        Format::Q4_1 => encode_blocks(values, bytes, q4_1::encode),
        Format::Q5_0 => encode_blocks(values, bytes, q5_0::encode),
        Format::Q5_1 => encode_blocks(values, bytes, q5_1::encode),
        Format::Q2_K => encode_blocks(values, bytes, q2_k::encode),
        Format::Q3_K => encode_blocks(values, bytes, q3_k::encode),
        Format::Q4_K => encode_blocks(values, bytes, q4_k::encode),
        Format::Q5_K => encode_blocks(values, bytes, q5_k::encode),
        Format::Q6_K => encode_blocks(values, bytes, q6_k::encode),
        Format::IQ4_NL => encode_blocks(values, bytes, iq4_nl::encode),
        Format::IQ4_XS => encode_blocks(values, bytes, iq4_xs::encode),
        Format::MXFP4 => encode_blocks(values, bytes, mxfp4::encode),
        Format::NVFP4 => encode_blocks(values, bytes, nvfp4::encode),
        Format::FP8 => encode_blocks(values, bytes, fp8::encode),
        Format::FP8_F32 => encode_blocks(values, bytes, fp8_f32::encode),
        other if other.is_weight() => return Err(read_only(other)),
        other => return Err(not_a_weight(other)),
    }
    Ok(())
}

fn decode_blocks<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    values: &mut [f32],
    decode: fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    for (block, out) in bytes.as_chunks().0.iter().zip(values.as_chunks_mut().0) {
        decode(block, out);
    }
}

fn encode_blocks<const BYTES: usize, const LEN: usize>(
    values: &[f32],
    bytes: &mut Vec<u8>,
    encode: fn(&[f32; LEN]) -> [u8; BYTES],
) {
    for block in values.as_chunks().0 {
        bytes.extend_from_slice(&encode(block));
    }
}

fn wrong_length(format: Format, bytes: usize, n: usize) -> Error {
    Error::usage(format!("a row of {format}"), format!("{n} elements and {bytes} bytes")).expected(format!(
        "a multiple of {} elements, in {} bytes each",
        format.block_len(),
        format.block_bytes()
    ))
}

/// The error for a format that is only read.
fn read_only(format: Format) -> Error {
    let can: Vec<&str> = Format::WEIGHTS.into_iter().filter(|f| f.can_encode()).map(Format::name).collect();
    Error::usage("a format to write", format!("{format}, which is only read"))
        .expected(format!("one of {}", can.join(", ")))
}

/// The error for a table of integers where a weight matrix is needed.
pub(super) fn not_a_weight(format: Format) -> Error {
    Error::file("a weight matrix", format!("stored as {format}"))
        .expected(format!("one of {}", Format::supported_names()))
}

/// The f16 at bytes `at` and `at + 1`, as f32.
fn read_f16(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// A scale as f16, kept finite: a block whose scale overflowed would decode to NaN where it holds zeros.
fn finite_f16(scale: f32) -> f16 {
    f16::from_f32(scale.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

/// The least and the greatest of a block.
fn span_of(values: &[f32; 32]) -> (f32, f32) {
    values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)))
}

/// A super-block cut into its sub-blocks.
fn sub_blocks_of<const N: usize, const M: usize>(values: &[f32; 256]) -> [[f32; N]; M] {
    const { assert!(N * M == 256, "sub-blocks fill the super-block") };
    std::array::from_fn(|j| std::array::from_fn(|i| values[j * N + i]))
}

/// Sum of the squared differences, in f64 so that candidates that nearly tie are told apart.
fn squared_error(values: &[f32], decoded: impl Iterator<Item = f32>) -> f64 {
    values.iter().zip(decoded).map(|(&value, decoded)| f64::from(value - decoded).powi(2)).sum()
}
