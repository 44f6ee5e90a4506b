//! Weights whose scales are a tensor of their own, as in DeepSeek's safetensors. A row and its scales are joined into
//! blocks that carry them, so that nothing behind this file knows of the difference:
//!
//! | weights in the file | scales in the file | blocks |
//! |---|---|---|
//! | F8_E4M3 `[n_rows, n_in]` | F8_E8M0 `[n_rows / 128, n_in / 128]` | FP8 |
//! | F8_E4M3 `[n_rows, n_in]` | F32, BF16 or F16 `[n_rows / 128, n_in / 128]` | FP8_F32 |
//! | I8 `[n_rows, n_in / 2]`: element 2j in the low nibble of byte j, 2j + 1 in the high one | F8_E8M0 `[n_rows, n_in / 32]` | MXFP4 |
//! | U8 `[n_rows, n_in / 32, 16]`, likewise: gpt-oss's | U8 `[n_rows, n_in / 32]`: the bits of E8M0 | MXFP4 |
//!
//! Numbers of scales are rounded up. Refused: rows that are no whole blocks of 32, and whatever these formats call no
//! number.

use super::Format;
use super::repack::BLOCK_LEN;
use crate::error::{Error, Result};
use half::{bf16, f16};

/// How weights and their scales lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Elements in a byte of weights.
    pub per_byte: u64,
    /// Rows that share scales.
    pub scale_rows: u32,
    /// Elements of a row that share a scale.
    pub scale_len: u32,
}

/// How a scale is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleType {
    /// A power of two, as its exponent.
    E8M0,
    /// As it stands in the blocks.
    F32,
    /// Widened when it is joined.
    BF16,
    /// Widened when it is joined.
    F16,
}

impl ScaleType {
    /// The type by its name in a safetensors file.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "F8_E8M0" | "U8" => Some(Self::E8M0),
            "F32" => Some(Self::F32),
            "BF16" => Some(Self::BF16),
            "F16" => Some(Self::F16),
            _ => None,
        }
    }

    /// Bytes of a scale.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::E8M0 => 1,
            Self::F32 => 4,
            Self::BF16 | Self::F16 => 2,
        }
    }

    /// Writes a scale as blocks have it.
    fn write(self, scale: &[u8], to: &mut [u8]) -> Result<()> {
        let number = match (self, scale) {
            (Self::E8M0, &[byte]) => {
                to.copy_from_slice(&[byte]);
                return if byte == 255 { Err(no_number("255 (no number)".to_owned())) } else { Ok(()) };
            }
            (Self::F32, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            (Self::BF16, &[a, b]) => bf16::from_le_bytes([a, b]).to_f32(),
            (Self::F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f32(),
            _ => f32::NAN,
        };
        to.copy_from_slice(&number.to_le_bytes());
        if number.is_finite() { Ok(()) } else { Err(no_number(number.to_string())) }
    }
}

fn no_number(found: String) -> Error {
    Error::file("a scale", found).expected("a finite number").advice("The file is damaged: download it again.")
}

impl Layout {
    /// How the tensors lie that become blocks of a format; `None` where there are no such tensors.
    #[must_use]
    pub const fn of(format: Format) -> Option<Self> {
        match format {
            Format::FP8 => Some(Self { per_byte: 1, scale_rows: 128, scale_len: 128 }),
            Format::FP8_F32 => Some(Self { per_byte: 1, scale_rows: 128, scale_len: 128 }),
            Format::MXFP4 => Some(Self { per_byte: 2, scale_rows: 1, scale_len: 32 }),
            _ => None,
        }
    }

    /// The format of the blocks, from the types of weights and scales as a safetensors file names them.
    #[must_use]
    pub fn format_of(weights: &str, scales: &str) -> Option<Format> {
        match (weights, scales) {
            ("F8_E4M3", "F8_E8M0") => Some(Format::FP8),
            ("F8_E4M3", "F32" | "BF16" | "F16") => Some(Format::FP8_F32),
            ("I8" | "U8", "F8_E8M0") | ("U8", "U8") => Some(Format::MXFP4),
            _ => None,
        }
    }

    /// The bytes of a row's weights.
    #[must_use]
    pub const fn row_bytes(self, n_in: u32) -> u64 {
        n_in as u64 / self.per_byte
    }

    /// The scales of a row.
    #[must_use]
    pub const fn scales_per_row(self, n_in: u32) -> u32 {
        n_in.div_ceil(self.scale_len)
    }
}

/// Joins a row's weights and its scales, which are stored as `scale_type`, into blocks of `format`, which fill `blocks`.
///
/// # Errors
/// For what is no number, and where the lengths do not fit each other.
pub fn join_row(format: Format, scale_type: ScaleType, weights: &[u8], scales: &[u8], blocks: &mut [u8]) -> Result<()> {
    let wrong = || Error::usage(format!("a row of {format} to join"), format!("{} bytes", weights.len()));
    let layout = Layout::of(format).ok_or_else(wrong)?;
    let per_block = BLOCK_LEN / layout.per_byte as usize;
    let per_scale = layout.scale_len as usize / BLOCK_LEN;
    let size = format.block_bytes();
    let scale_bytes = scale_type.bytes() as usize;
    let n = weights.len() / per_block;
    if !weights.len().is_multiple_of(per_block)
        || blocks.len() != n * size
        || scales.len() != n.div_ceil(per_scale) * scale_bytes
        || (format == Format::FP8_F32) == (scale_type == ScaleType::E8M0)
    {
        return Err(wrong().expected("whole blocks, and a scale for each or for every few of them"));
    }
    let scales = scales.chunks_exact(scale_bytes);
    let codes_bytes = per_block;
    for ((weights, blocks), scale) in
        weights.chunks(per_block * per_scale).zip(blocks.chunks_mut(size * per_scale)).zip(scales)
    {
        for (weights, block) in weights.chunks_exact(per_block).zip(blocks.chunks_exact_mut(size)) {
            let (head, codes) = block.split_at_mut(size - codes_bytes);
            scale_type.write(scale, head)?;
            if layout.per_byte == 2 {
                join_nibbles(weights, codes);
            } else {
                check_e4m3(weights)?;
                codes.copy_from_slice(weights);
            }
        }
    }
    Ok(())
}

/// Of 16 bytes with neighbours in a byte, 16 bytes with elements i and i + 16 in byte i.
fn join_nibbles(pairs: &[u8], codes: &mut [u8]) {
    let code = |i: usize| pairs[i / 2] >> (4 * (i % 2)) & 15;
    for (i, byte) in codes.iter_mut().enumerate() {
        *byte = code(i) | code(i + 16) << 4;
    }
}

fn check_e4m3(weights: &[u8]) -> Result<()> {
    match weights.iter().find(|&&byte| byte & 0x7f == 0x7f) {
        None => Ok(()),
        Some(byte) => Err(Error::file("an FP8 weight", format!("{byte:#04x} (no number)"))
            .expected("finite numbers")
            .advice("The file is damaged: download it again.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::quant::decode_row;

    #[test]
    fn a_row_of_fp8_takes_the_scale_of_each_128() -> Result<()> {
        // 160 elements: one whole run of 128, and one of 32.
        let weights = [0x38; 160];
        let mut blocks = [0; 5 * 33];
        join_row(Format::FP8, ScaleType::E8M0, &weights, &[128, 126], &mut blocks)?;
        let mut values = [0.0; 160];
        decode_row(Format::FP8, &blocks, &mut values)?;
        assert!(values[..128].iter().all(|&value| value == 2.0) && values[128..].iter().all(|&value| value == 0.5));
        let scales = [3.0f32, -0.25].map(f32::to_le_bytes).concat();
        let mut blocks = [0; 5 * 36];
        join_row(Format::FP8_F32, ScaleType::F32, &weights, &scales, &mut blocks)?;
        decode_row(Format::FP8_F32, &blocks, &mut values)?;
        assert!(values[..128].iter().all(|&value| value == 3.0) && values[128..].iter().all(|&value| value == -0.25));
        for (scale_type, scales) in [
            (ScaleType::BF16, [3.0, -0.25].map(|scale| bf16::from_f32(scale).to_le_bytes()).concat()),
            (ScaleType::F16, [3.0, -0.25].map(|scale| f16::from_f32(scale).to_le_bytes()).concat()),
        ] {
            let mut wide = [0; 5 * 36];
            join_row(Format::FP8_F32, scale_type, &weights, &scales, &mut wide)?;
            assert_eq!(wide, blocks, "{scale_type:?}");
        }
        Ok(())
    }

    #[test]
    fn a_row_of_fp4_has_neighbours_in_a_byte() -> Result<()> {
        // Codes 0 to 15 twice, and then 7 everywhere.
        let mut weights: Vec<u8> = (0..16).map(|j| ((2 * j) % 16) | (((2 * j + 1) % 16) << 4)).collect();
        weights.extend([0x77; 16]);
        let mut blocks = [0; 2 * 17];
        join_row(Format::MXFP4, ScaleType::E8M0, &weights, &[127, 128], &mut blocks)?;
        let mut values = [0.0; 64];
        decode_row(Format::MXFP4, &blocks, &mut values)?;
        let wanted = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];
        assert_eq!((&values[..16], &values[16..32]), (&wanted[..], &wanted[..]));
        assert!(values[32..].iter().all(|&value| value == 12.0));
        Ok(())
    }

    #[test]
    fn what_is_no_number_or_of_another_length_is_refused() {
        let join = |weight: u8, scale: &[u8], n: usize, size: usize| {
            let (format, scale_type) = match scale.len() {
                4 => (Format::FP8_F32, ScaleType::F32),
                2 if size == 36 => (Format::FP8_F32, ScaleType::BF16),
                _ => (Format::FP8, ScaleType::E8M0),
            };
            join_row(format, scale_type, &vec![weight; n], scale, &mut vec![0; size])
        };
        assert!(join(0x7e, &[1], 32, 33).is_ok());
        assert!(join(0x7f, &[1], 32, 33).is_err() && join(0xff, &[1], 32, 33).is_err());
        assert!(join(0, &[255], 32, 33).is_err());
        assert!(join(0, &f32::NAN.to_le_bytes(), 32, 36).is_err());
        assert!(join(0, &f32::INFINITY.to_le_bytes(), 32, 36).is_err());
        assert!(
            join(0, &bf16::ONE.to_le_bytes(), 32, 36).is_ok() && join(0, &bf16::NAN.to_le_bytes(), 32, 36).is_err()
        );
        assert!(join(0, &[1], 33, 33).is_err() && join(0, &[1], 32, 34).is_err() && join(0, &[1, 1], 32, 33).is_err());
        assert!(join_row(Format::Q8_0, ScaleType::E8M0, &[0; 32], &[0], &mut [0; 34]).is_err());
    }
}
