//! Weights whose scales are a tensor of their own, as in DeepSeek's safetensors. A row and its scales are joined into
//! blocks that carry them, so that nothing behind this file knows of the difference:
//!
//! | weights in the file | scales in the file | blocks |
//! |---|---|---|
//! | F8_E4M3 `[n_rows, n_in]` | F8_E8M0, or U8 for its bits, as below | FP8 |
//! | F8_E4M3 `[n_rows, n_in]` | F32, BF16 or F16, as below | FP8_F32 |
//! | I8 `[n_rows, n_in / 2]`: element 2j in the low nibble of byte j, 2j + 1 in the high one | F8_E8M0 `[n_rows, n_in / 32]` | MXFP4 |
//! | U8 `[n_rows, n_in / 32, 16]`, likewise: gpt-oss's | U8 `[n_rows, n_in / 32]`: the bits of E8M0 | MXFP4 |
//! | I32 `[n_rows, n_in / 8]`, likewise, each number with 8 added: compressed-tensors', as in Kimi K2 Thinking | F32, BF16 or F16, as below | Q4_0 |
//! | I32 `[n_rows, n_in / 4]`: an element in each byte, with 128 added: compressed-tensors' | F32, BF16 or F16, as below | Q8_0 |
//! | I8 `[n_rows, n_in]`: compressed-tensors' | F32, BF16 or F16, as below | Q8_0 |
//! | U8 `[n_rows, n_in / 2]`, as FP4: NVFP4 by ModelOpt and compressed-tensors | F8_E4M3 `[n_rows, n_in / 16]`, and an F32 for all | NVFP4_F32 |
//! | NVFP4 in blocks, of a GGUF | an F32 for all, or for each expert | NVFP4_F32 |
//!
//! Scales are shared by blocks, `[n_rows / 128, n_in / 128]` (DeepSeek), by a row, `[n_rows, 1]` (compressed-tensors,
//! FBGEMM), by a tensor, `[1]` (ModelOpt), or by what else their shape tells ([`Layout::told_by`]).
//! Numbers of scales are rounded up. In Q4_0 and Q8_0 they are F16: F32 is rounded to its 11 digits, and what BF16 has below 2^-17
//! loses some. Refused: rows that are no whole blocks of 32, scales that are too large, and whatever these formats call no number.

use super::Format;
use super::repack::BLOCK_LEN;
use crate::error::{Error, Result};
use half::{bf16, f16};

/// How weights and their scales lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Elements in a byte of weights.
    pub per_byte: u64,
    /// Whether integers of 8 bits have 128 added.
    pub lifted: bool,
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
    /// An FP8 number, NVFP4's, as it stands in the blocks.
    E4M3,
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
            "F8_E4M3" => Some(Self::E4M3),
            _ => None,
        }
    }

    /// Bytes of a scale.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::E8M0 | Self::E4M3 => 1,
            Self::F32 => 4,
            Self::BF16 | Self::F16 => 2,
        }
    }

    /// Writes a scale as blocks have it: as a byte, an f16 or an f32.
    pub(super) fn write(self, scale: &[u8], to: &mut [u8]) -> Result<()> {
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
        let stored = match to.len() {
            2 => {
                let half = f16::from_f32(number);
                to.copy_from_slice(&half.to_le_bytes());
                half.to_f32()
            }
            _ => {
                to.copy_from_slice(&number.to_le_bytes());
                number
            }
        };
        if stored.is_finite() { Ok(()) } else { Err(no_number(number.to_string())) }
    }
}

fn no_number(found: String) -> Error {
    Error::file("a scale", found)
        .expected("a finite number, and in integer formats one that f16 has")
        .advice("The file is damaged: download it again.")
}

impl Layout {
    /// How tensors usually lie that become blocks of a format; `None` where there are no such tensors.
    #[must_use]
    pub const fn usual(format: Format) -> Option<Self> {
        match format {
            Format::FP8 | Format::FP8_F32 => Some(Self { per_byte: 1, lifted: false, scale_rows: 128, scale_len: 128 }),
            Format::MXFP4 | Format::Q4_0 => Some(Self { per_byte: 2, lifted: false, scale_rows: 1, scale_len: 32 }),
            Format::NVFP4_F32 => Some(Self { per_byte: 2, lifted: false, scale_rows: 1, scale_len: 16 }),
            Format::Q8_0 => Some(Self { per_byte: 1, lifted: false, scale_rows: 1, scale_len: 32 }),
            _ => None,
        }
    }

    /// How weights `[n_rows, n_in]` lie whose scales are `[n_scale_rows, n_scales]`: one is shared by a row or all of them, by an
    /// element's whole row, or by runs whose length is a power of two. `None` where no length gives such a number of scales, and
    /// where a block of 32 would have several.
    #[must_use]
    pub fn told_by(format: Format, [n_rows, n_in]: [u32; 2], [n_scale_rows, n_scales]: [u64; 2]) -> Option<Self> {
        let usual = Self::usual(format)?;
        if format == Format::NVFP4_F32 {
            let found = [n_scale_rows, n_scales];
            return (found == [n_rows, n_in.div_ceil(usual.scale_len)].map(u64::from)).then_some(usual);
        }
        let shared = |n: u32, usual: u32, least: u32, n_found: u64| {
            let runs = (least.ilog2()..=15).map(|log| 1 << log);
            [usual, n.max(1)].into_iter().chain(runs).find(|&run| u64::from(n.div_ceil(run)) == n_found)
        };
        Some(Self {
            scale_rows: shared(n_rows, usual.scale_rows, 1, n_scale_rows)?,
            scale_len: shared(n_in, usual.scale_len, BLOCK_LEN as u32, n_scales)?,
            ..usual
        })
    }

    /// The format of the blocks, from the types of weights and scales as a safetensors file names them.
    #[must_use]
    pub fn format_of(weights: &str, scales: &str) -> Option<Format> {
        match (weights, scales) {
            ("F8_E4M3", "F8_E8M0" | "U8") => Some(Format::FP8),
            ("F8_E4M3", "F32" | "BF16" | "F16") => Some(Format::FP8_F32),
            ("I8" | "U8", "F8_E8M0") | ("U8", "U8") => Some(Format::MXFP4),
            ("I8" | "U8", "F8_E4M3") | ("NVFP4", "F32") => Some(Format::NVFP4_F32),
            ("I32", "F32" | "BF16" | "F16") => Some(Format::Q4_0),
            ("I8", "F32" | "BF16" | "F16") => Some(Format::Q8_0),
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

/// Joins a row's weights and its scales, which lie as `layout` says and are stored as `scale_type`, into blocks of `format`, which
/// fill `blocks`.
///
/// # Errors
/// For what is no number, and where the lengths do not fit each other.
pub fn join_row(
    format: Format,
    layout: Layout,
    scale_type: ScaleType,
    weights: &[u8],
    scales: &[u8],
    blocks: &mut [u8],
) -> Result<()> {
    let wrong = || Error::usage(format!("a row of {format} to join"), format!("{} bytes", weights.len()));
    let per_block = BLOCK_LEN / layout.per_byte as usize;
    let per_scale = layout.scale_len as usize / BLOCK_LEN;
    let size = format.block_bytes();
    let scale_bytes = scale_type.bytes() as usize;
    let n = weights.len() / per_block;
    if Layout::usual(format).is_none_or(|usual| usual.per_byte != layout.per_byte)
        || !weights.len().is_multiple_of(per_block)
        || blocks.len() != n * size
        || per_scale == 0
        || scales.len() != n.div_ceil(per_scale) * scale_bytes
        || matches!(format, Format::FP8 | Format::MXFP4) != (scale_type == ScaleType::E8M0)
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
            match format {
                Format::MXFP4 | Format::Q4_0 => join_nibbles(weights, codes),
                Format::Q8_0 => {
                    let lift = if layout.lifted { 128 } else { 0 };
                    codes.iter_mut().zip(weights).for_each(|(code, weight)| *code = weight ^ lift);
                }
                _ => {
                    check_e4m3(weights)?;
                    codes.copy_from_slice(weights);
                }
            }
        }
    }
    Ok(())
}

/// Joins a row of NVFP4 into blocks of NVFP4_F32: weights with the scales of each 16 beside them, or blocks that hold both, and
/// the number for all.
///
/// # Errors
/// For what is no number, and where the lengths do not fit each other.
pub fn join_nvfp4(weights: &[u8], scales: Option<&[u8]>, of_all: f32, blocks: &mut [u8]) -> Result<()> {
    let (blocks, rest) = blocks.as_chunks_mut::<40>();
    let n = blocks.len();
    let lengths = (weights.len(), scales.map_or(0, <[u8]>::len));
    if !rest.is_empty() || lengths != if scales.is_some() { (32 * n, 4 * n) } else { (36 * n, 0) } {
        let found = format!("{} bytes", weights.len());
        return Err(Error::usage("a row of NVFP4 to join", found).expected("whole blocks, and a scale for each 16"));
    }
    if !of_all.is_finite() {
        return Err(no_number(of_all.to_string()));
    }
    for (i, block) in blocks.iter_mut().enumerate() {
        let (head, codes) = block.split_at_mut(8);
        head[4..].copy_from_slice(&of_all.to_le_bytes());
        let Some(scales) = scales else {
            let (of_groups, groups) = weights[36 * i..][..36].split_at(4);
            head[..4].copy_from_slice(of_groups);
            codes.copy_from_slice(groups);
            continue;
        };
        let of_groups = &scales[4 * i..][..4];
        check_e4m3(of_groups)?;
        if let Some(scale) = of_groups.iter().find(|&&scale| scale > 0x80) {
            return Err(no_number(format!("{scale:#04x}, an FP8 number below zero")));
        }
        head.iter_mut().zip(of_groups).for_each(|(to, scale)| *to = scale & 0x7f);
        for (pairs, group) in weights[32 * i..][..32].chunks_exact(8).zip(codes.chunks_exact_mut(8)) {
            let code = |i: usize| pairs[i / 2] >> (4 * (i % 2)) & 15;
            group.iter_mut().enumerate().for_each(|(i, byte)| *byte = code(i) | code(i + 8) << 4);
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
    use crate::format::quant::{self, decode_row};

    /// [`super::join_row`] of what lies as usual.
    fn join_row(format: Format, stored: ScaleType, weights: &[u8], scales: &[u8], blocks: &mut [u8]) -> Result<()> {
        let usual = Layout { per_byte: 1, lifted: false, scale_rows: 128, scale_len: 128 };
        super::join_row(format, Layout::usual(format).unwrap_or(usual), stored, weights, scales, blocks)
    }

    #[test]
    fn the_shape_of_the_scales_tells_who_shares_one() -> Result<()> {
        let told = |dims, scales| {
            Layout::told_by(Format::FP8_F32, dims, scales).map(|layout| (layout.scale_rows, layout.scale_len))
        };
        assert_eq!(told([300, 160], [3, 2]), Some((128, 128)));
        assert_eq!(told([300, 160], [5, 3]), Some((64, 64)));
        assert_eq!(told([300, 160], [300, 1]), Some((1, 160)));
        assert_eq!(told([300, 160], [300, 5]), Some((1, 32)));
        assert_eq!(told([300, 160], [1, 1]), Some((300, 160)));
        assert_eq!(told([96, 96], [1, 1]), Some((128, 128)));
        for odd in [[4, 1], [300, 4], [300, 6], [301, 1], [0, 1], [3, 160]] {
            assert_eq!(told([300, 160], odd), None, "{odd:?}");
        }
        assert_eq!(Layout::told_by(Format::MXFP4, [3, 64], [3, 2]), Layout::usual(Format::MXFP4));
        assert_eq!(Layout::told_by(Format::MXFP4, [3, 64], [3, 4]), None);
        assert_eq!(Layout::format_of("F8_E4M3", "U8"), Some(Format::FP8));
        // One scale for a whole row.
        let layout = Layout { per_byte: 1, lifted: false, scale_rows: 1, scale_len: 160 };
        let mut blocks = [0; 5 * 36];
        super::join_row(Format::FP8_F32, layout, ScaleType::F32, &[0x38; 160], &3.0f32.to_le_bytes(), &mut blocks)?;
        let mut values = [0.0; 160];
        decode_row(Format::FP8_F32, &blocks, &mut values)?;
        assert!(values.iter().all(|&value| value == 3.0));
        Ok(())
    }

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
    fn integers_take_the_scale_as_an_f16() -> Result<()> {
        // The numbers -8 to 7 twice, in the order of the row, with 8 added; of each 32 in a scale of its own.
        let packed: Vec<u8> = (0..16).map(|j| ((2 * j) % 16) | (((2 * j + 1) % 16) << 4)).collect();
        let scales = [0.5, -2.0].map(|scale| bf16::from_f32(scale).to_le_bytes()).concat();
        let mut blocks = [0; 2 * 18];
        join_row(Format::Q4_0, ScaleType::BF16, &[packed.clone(), packed].concat(), &scales, &mut blocks)?;
        let mut values = [0.0; 64];
        decode_row(Format::Q4_0, &blocks, &mut values)?;
        for (i, value) in values.iter().enumerate() {
            let number = (i % 16) as f32 - 8.0;
            assert_eq!(*value, number * if i < 32 { 0.5 } else { -2.0 }, "{i}");
        }
        let bytes: Vec<u8> = (0..32).map(|i: i8| (i - 20).to_le_bytes()[0]).collect();
        let mut blocks = [0; 34];
        join_row(Format::Q8_0, ScaleType::F16, &bytes, &f16::from_f32(0.25).to_le_bytes(), &mut blocks)?;
        let mut values = [0.0; 32];
        decode_row(Format::Q8_0, &blocks, &mut values)?;
        assert!(values.iter().enumerate().all(|(i, value)| *value == (i as f32 - 20.0) * 0.25));
        let lifted: Vec<u8> = bytes.iter().map(|byte| byte.wrapping_add(128)).collect();
        let layout = Layout { per_byte: 1, lifted: true, scale_rows: 1, scale_len: 32 };
        let mut same = [0; 34];
        let scale = f16::from_f32(0.25).to_le_bytes();
        super::join_row(Format::Q8_0, layout, ScaleType::F16, &lifted, &scale, &mut same)?;
        assert_eq!(same, blocks);
        let large = bf16::from_f32(1e6).to_le_bytes();
        assert!(join_row(Format::Q8_0, ScaleType::BF16, &bytes, &large, &mut blocks).is_err());
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
    fn a_row_of_nvfp4_takes_both_scales() -> Result<()> {
        // Codes 0 to 15 in the order of the row, four times.
        let weights: Vec<u8> = (0..32).map(|j| ((2 * j) % 16) | (((2 * j + 1) % 16) << 4)).collect();
        let e2m1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];
        let numbers: Vec<f32> = (0..64).map(|i| e2m1[i % 16] * [1.0, 0.5, 2.0, 448.0][i / 16]).collect();
        let (mut blocks, mut values) = ([0; 40], [0.0; 64]);
        join_nvfp4(&weights, Some(&[0x38, 0x30, 0x40, 0x7e]), 0.7, &mut blocks)?;
        decode_row(Format::NVFP4_F32, &blocks, &mut values)?;
        let is_near = |(value, number): (&f32, &f32)| (value - number * 0.7).abs() <= 1e-6 * number.abs();
        assert!(values.iter().zip(&numbers).all(is_near), "{values:?}");
        // The same in a block of a GGUF.
        let (mut in_blocks, mut same) = (Vec::new(), [0; 40]);
        quant::encode_row(Format::NVFP4, &numbers, &mut in_blocks)?;
        join_nvfp4(&in_blocks, None, 0.7, &mut same)?;
        assert_eq!(same[..8], blocks[..8]);
        decode_row(Format::NVFP4_F32, &same, &mut values)?;
        assert!(values.iter().zip(&numbers).all(is_near), "{values:?}");
        for (scales, of_all) in
            [([0x7f, 0, 0, 0], 1.0), ([0, 0, 0, 0xff], 1.0), ([0xb8; 4], 1.0), ([0x38; 4], f32::NAN)]
        {
            assert!(join_nvfp4(&weights, Some(&scales), of_all, &mut blocks).is_err(), "{scales:?}, {of_all}");
        }
        assert!(join_nvfp4(&weights[1..], Some(&[0; 4]), 1.0, &mut blocks).is_err());
        assert!(join_nvfp4(&weights, Some(&[0; 3]), 1.0, &mut blocks).is_err());
        assert!(join_nvfp4(&in_blocks, None, 1.0, &mut blocks[..39]).is_err());
        assert!(join_nvfp4(&in_blocks[1..], None, 1.0, &mut blocks).is_err());
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
        assert!(join_row(Format::Q4_1, ScaleType::F16, &[0; 32], &[0; 2], &mut [0; 20]).is_err());
    }
}
