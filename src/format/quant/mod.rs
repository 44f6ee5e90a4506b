//! Weight formats, one file each, and the table that lists them. A file describes its format as one [`Row`]: names and
//! numbers, its blocks to and from f32, how they lie on the GPU, and the texts by which shaders read them. Decoding equals
//! ggml's scalar code bit for bit. Plain loops: this is the oracle of the shaders, and what writes small files.

/// A text of `shaders/quant/`.
macro_rules! quant {
    ($name:literal) => {
        shader_text!(concat!("../../../shaders/quant/", $name, ".wgsl"))
    };
}

mod fp8;
mod fp8_f32;
mod grid;
mod iq1;
mod iq1_m;
mod iq1_s;
mod iq2;
mod iq2_s;
mod iq2_xs;
mod iq2_xxs;
mod iq3_s;
mod iq3_xxs;
mod iq4_nl;
mod iq4_xs;
mod mxfp4;
mod nvfp4;
mod nvfp4_f32;
mod packed;
mod plain;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q4_zero;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
pub(crate) mod row;
mod scale_min;
mod scale_only;
mod tq1_0;
mod tq2_0;

pub use plain::decode_integers;

use super::plane::decode_plane_row;
use super::repack::{grid_of, repack_rows};
use crate::error::{Error, Result};
use half::f16;
use row::{Row, Weights, Written};

/// Makes [`Format`] and its table of rows.
macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident = $row:expr;)*) => {
        /// A format that the program can use: those for weights, and two for tables of integers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(non_camel_case_types, reason = "the names are those that ggml prints, and what people type")]
        pub enum Format {
            $($(#[$doc])* $name,)*
        }

        static TABLE: [&Row; Format::ALL.len()] = [$(&$row),*];

        impl Format {
            /// Every format, weights first.
            pub const ALL: [Self; [$(Self::$name),*].len()] = [$(Self::$name),*];

            /// What its file says of it.
            pub(crate) const fn row(self) -> &'static Row {
                TABLE[self as usize]
            }
        }
    };
}

// Kernels, and what was tuned for them, know formats by their places here: another one goes last among the weights.
formats! {
    /// IEEE 754 single precision.
    F32 = plain::F32;
    /// IEEE 754 half precision.
    F16 = plain::F16;
    /// The upper half of an F32.
    BF16 = plain::BF16;
    /// Blocks of 32: one f16 scale, 32 signed bytes.
    Q8_0 = q8_0::ROW;
    /// Blocks of 32: one f16 scale, 32 nibbles around 8.
    Q4_0 = q4_0::ROW;
    /// Blocks of 32: f16 scale and f16 minimum, 32 nibbles.
    Q4_1 = q4_1::ROW;
    /// Blocks of 32: one f16 scale, 32 five-bit values around 16.
    Q5_0 = q5_0::ROW;
    /// Blocks of 32: f16 scale and f16 minimum, 32 five-bit values.
    Q5_1 = q5_1::ROW;
    /// Blocks of 256: f16 scale and f16 minimum, 16 sub-blocks with 4-bit scale and minimum, two-bit values.
    Q2_K = q2_k::ROW;
    /// Blocks of 256: one f16 scale, 16 sub-blocks with 6-bit scales around 32, three-bit values around 4.
    Q3_K = q3_k::ROW;
    /// Blocks of 256: f16 scale and f16 minimum, 8 sub-blocks with 6-bit scale and minimum, nibbles.
    Q4_K = q4_k::ROW;
    /// Blocks of 256: as Q4_K with five-bit values.
    Q5_K = q5_k::ROW;
    /// Blocks of 256: one f16 scale, 16 sub-blocks with signed 8-bit scales, 6-bit values around 32.
    Q6_K = q6_k::ROW;
    /// Blocks of 32: one f16 scale, 32 nibbles that choose from an uneven table.
    IQ4_NL = iq4_nl::ROW;
    /// Blocks of 256: one f16 scale, 8 sub-blocks with 6-bit scales around 32, nibbles as in IQ4_NL.
    IQ4_XS = iq4_xs::ROW;
    /// Blocks of 256: one f16 scale, 8 sub-blocks with 4-bit scales; 9 bits choose four numbers from a table, and a
    /// sign for each.
    IQ3_S = iq3_s::ROW;
    /// Blocks of 256: as IQ3_S with a table of 256 entries, and signs of 7 bits for eight numbers.
    IQ3_XXS = iq3_xxs::ROW;
    /// Blocks of 256: one f16 scale, 16 sub-blocks with 4-bit scales; 10 bits choose eight numbers from a table, and
    /// a sign for each.
    IQ2_S = iq2_s::ROW;
    /// Blocks of 256: as IQ2_S with a table of 512 entries, and signs of 7 bits for eight numbers.
    IQ2_XS = iq2_xs::ROW;
    /// Blocks of 256: one f16 scale, 8 sub-blocks with 4-bit scales; a table of 256 entries, signs as in IQ2_XS.
    IQ2_XXS = iq2_xxs::ROW;
    /// Blocks of 256: one f16 scale, 16 sub-blocks with 3-bit scales; 11 bits choose eight of -1, 0, 1 from a table,
    /// all moved by 1/8 up or down.
    IQ1_M = iq1_m::ROW;
    /// Blocks of 256: as IQ1_M, with 8 sub-blocks.
    IQ1_S = iq1_s::ROW;
    /// Blocks of 256: one f16 scale, two bits for each of -1, 0, 1 (and 2).
    TQ2_0 = tq2_0::ROW;
    /// Blocks of 256: one f16 scale, five of -1, 0, 1 in a byte.
    TQ1_0 = tq1_0::ROW;
    /// Blocks of 32: one power-of-two scale, 32 four-bit floats (E2M1).
    MXFP4 = mxfp4::ROW;
    /// Blocks of 64: four unsigned eight-bit floats (E4M3) as scales, 64 four-bit floats (E2M1).
    NVFP4 = nvfp4::ROW;
    /// Blocks of 32: one power-of-two scale, 32 eight-bit floats (E4M3). Joined from two tensors of DeepSeek's
    /// safetensors; not in GGUF.
    FP8 = fp8::ROW;
    /// Blocks of 32: one F32 scale, 32 eight-bit floats (E4M3); as [`Self::FP8`].
    FP8_F32 = fp8_f32::ROW;
    /// Blocks of 64: as [`Self::NVFP4`], with an F32 by which the scales are multiplied. Joined from that and the number by which a
    /// whole tensor is multiplied; not in GGUF.
    NVFP4_F32 = nvfp4_f32::ROW;
    /// Blocks of 32: one f16 scale, a whole number that is taken off before, 32 nibbles. Joined from the tensors of AWQ and GPTQ;
    /// not in GGUF.
    Q4_ZERO = q4_zero::ROW;
    /// Signed 32-bit integers: tables only.
    I32 = plain::I32;
    /// Signed 64-bit integers: tables only, in safetensors.
    I64 = plain::I64;
}

/// Decodes one row, or several in a sequence, from the blocks of a file.
///
/// `bytes` holds exactly the blocks of `values.len()` elements. Fails where the lengths do not fit each other, and
/// for the tables of integers, which [`decode_integers`] reads.
pub fn decode_row(format: Format, bytes: &[u8], values: &mut [f32]) -> Result<()> {
    let n = values.len();
    if !n.is_multiple_of(format.block_len()) || bytes.len() as u64 != format.row_bytes(n as u64) {
        return Err(wrong_length(format, bytes.len(), n));
    }
    weights_of(format)?;
    if n > 0 {
        // By way of the planes: what shaders are held against is what is held against gguf-py.
        let (mut quants, mut scales) = (Vec::new(), grid_of(format).to_vec());
        repack_rows(format, bytes, 1, n as u64, &mut quants, &mut scales)?;
        decode_plane_row(format, &quants, &scales, 0, values);
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
    match weights_of(format)?.written {
        Written::Encoded { encode, .. } => encode(values, bytes),
        Written::Never { .. } => return Err(read_only(format)),
    }
    Ok(())
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

/// What is said of a weight format; fails for the tables of integers.
pub(super) fn weights_of(format: Format) -> Result<&'static Weights> {
    format.row().weights.as_ref().ok_or_else(|| {
        Error::file("a weight matrix", format!("stored as {format}"))
            .expected(format!("one of {}", Format::supported_names()))
    })
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

/// As `f32::round`, for which x86-64 has no instruction: a search of scales rounds a thousand times for each weight.
fn round(x: f32) -> f32 {
    // Truncated. Where that saturates, callers clamp to the range of their codes.
    let whole = x as i32 as f32;
    if (x - whole).abs() >= 0.5 { whole + 1.0f32.copysign(x) } else { whole }
}

/// Sum of the squares of what `decoded` makes of the values less these, in f64 so that candidates that nearly tie are told
/// apart.
fn squared_error(values: &[f32], decoded: impl Fn(f32) -> f32) -> f64 {
    let mut sum = 0.0;
    for &value in values {
        let error = f64::from(value - decoded(value));
        sum += error * error;
    }
    sum
}

#[cfg(test)]
mod tests {
    #[test]
    fn rounding_is_that_of_the_library() {
        for half in (-1000..=1000).map(|n| n as f32 / 2.0) {
            for x in [half, half.next_up(), half.next_down()] {
                assert_eq!(super::round(x), x.round(), "{x:?}");
            }
        }
        for x in [8_388_607.5, -8_388_609.0, 2e9, -2e9] {
            assert_eq!(super::round(x), f32::round(x), "{x}");
        }
        assert!(super::round(1e30) > 1e9 && super::round(f32::NEG_INFINITY) < -1e9);
    }
}
