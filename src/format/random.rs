//! Random words for the planes of [`super::repack`] that decode to finite weights of a wanted size, whatever the format:
//! what fills a model of which there are no weights yet.
//!
//! **Quants** of the block formats may have any bits, but for TQ2_0: every code is a number. **Scales** are those of an
//! honestly encoded row of random numbers, or of random blocks where a format is only read, repeated from super-block to
//! super-block, so that they are as finite and as various as in a file; what they make of random codes is measured, and the row is made larger or smaller until the size fits. A size
//! is a root of a mean square. Where scales are powers of two (MXFP4) it fits within a factor √2, in FP8, where they
//! are never the lesser one, within 2, in NVFP4, whose scales have a least step, within 1.8, else within a few per cent. **F32, F16 and BF16** have random signs and mantissas and one exponent, the one whose numbers, of size
//! `√(7/3) · 2^e`, are nearest; that fits within √2, too.

use super::Format;
use super::plane::decode_plane_row;
use super::quant::row::Written;
use super::quant::{encode_row, weights_of};
use super::repack::{grid_of, quant_words, repack_rows, scale_words};
use crate::error::Result;
use half::f16;

/// Elements of the row whose scales are repeated: a whole number of blocks in every format.
const ROW_LEN: usize = 256;
/// Rows that are decoded to measure their size.
const MEASURED_ROWS: usize = 64;

/// What the words of the planes are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RandomWords {
    /// The bits of a word of quants that are random.
    pub mask: u32,
    /// The bits that are set in every word of quants.
    pub bits: u32,
    /// The words of scales, to be repeated after the [table](grid_of) of the format; none where it has none.
    pub scales: Vec<u32>,
}

/// Random words by place: no two places of 2^32 have one word, and neighbours have nothing in common. The multipliers
/// and shifts are those of "lowbias32" (C. Wellons, public domain).
#[must_use]
pub const fn hash(index: u32, seed: u32) -> u32 {
    let mut word = index.wrapping_mul(0x9e37_79b9).wrapping_add(seed);
    word = (word ^ word >> 16).wrapping_mul(0x7feb_352d);
    word = (word ^ word >> 15).wrapping_mul(0x846c_a68b);
    word ^ word >> 16
}

impl RandomWords {
    /// For weights of that size, a number above zero.
    ///
    /// # Errors
    /// For the tables of integers.
    pub fn of_size(format: Format, size: f32) -> Result<Self> {
        // √(7/3) is the size of numbers even over 1 … 2.
        let exponent = |least: i32, most: i32| ((size / 1.5275).log2().round() as i32).clamp(least, most);
        Ok(match format {
            Format::F32 => {
                Self { mask: 0x807f_ffff, bits: ((exponent(-126, 126) + 127) as u32) << 23, scales: Vec::new() }
            }
            Format::BF16 => {
                let half = ((exponent(-126, 126) + 127) as u32) << 7;
                Self { mask: 0x807f_807f, bits: half | half << 16, scales: Vec::new() }
            }
            Format::F16 => {
                let half = ((exponent(-14, 14) + 15) as u32) << 10;
                Self { mask: 0x83ff_83ff, bits: half | half << 16, scales: Vec::new() }
            }
            _ => {
                let mask = match weights_of(format)?.written {
                    Written::Encoded { .. } => u32::MAX,
                    Written::Never { mask, .. } => mask,
                };
                let unit = random_scales(format, 1.0)?;
                let scales = random_scales(format, size / measured_size(format, mask, &unit))?;
                Self { mask, bits: 0, scales }
            }
        })
    }
}

/// Random blocks of `n` elements, whole blocks: encoded numbers between `-largest` and `largest`; in a format that is only
/// read, random bytes, which decode to the same numbers times `largest`.
///
/// # Errors
/// For the tables of integers, and for a number of elements that is no multiple of the block.
pub fn random_row(format: Format, n: usize, largest: f32, mut word: impl FnMut() -> u32) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Written::Never { set_scale, .. } = weights_of(format)?.written {
        bytes.resize_with(format.row_bytes(n as u64) as usize, || word() as u8);
        let scale = f16::from_f32(largest);
        bytes.chunks_mut(format.block_bytes()).for_each(|block| set_scale(block, scale));
    } else {
        let row: Vec<f32> = (0..n).map(|_| (word() as f32 / (1u64 << 31) as f32 - 1.0) * largest).collect();
        encode_row(format, &row, &mut bytes)?;
    }
    Ok(bytes)
}

/// The scales of a random row, as many as are repeated.
fn random_scales(format: Format, largest: f32) -> Result<Vec<u32>> {
    let mut numbers = (0u32..).map(|i| hash(i, 1));
    let bytes = random_row(format, ROW_LEN, largest, || numbers.next().unwrap_or_default())?;
    let (mut quants, mut scales) = (Vec::new(), Vec::new());
    repack_rows(format, &bytes, 1, ROW_LEN as u64, &mut quants, &mut scales)?;
    Ok(scales)
}

/// The root mean square of random quants under those scales.
fn measured_size(format: Format, mask: u32, scales: &[u32]) -> f32 {
    let (n_rows, n_in) = (MEASURED_ROWS as u64, ROW_LEN as u64);
    let quants: Vec<u32> = (0..quant_words(format, n_rows, n_in)).map(|i| hash(i as u32, 2) & mask).collect();
    let n_scales = scale_words(format, n_rows, n_in) as usize;
    let repeated: Vec<u32> = grid_of(format).iter().chain(scales.iter().cycle()).copied().take(n_scales).collect();
    let mut values = vec![0.0f32; MEASURED_ROWS * ROW_LEN];
    decode_plane_row(format, &quants, &repeated, 0, &mut values);
    let squares: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
    (squares / values.len() as f64).sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_decodes_to_the_size_that_is_asked_for() -> Result<()> {
        for format in Format::WEIGHTS {
            for n_in in [32, 512, 4096, 16_384] {
                let wanted = (n_in as f32).sqrt().recip();
                let words = RandomWords::of_size(format, wanted)?;
                let (n_rows, n_values) = (40, 40 * ROW_LEN);
                let n_quants = quant_words(format, n_rows, ROW_LEN as u64) as u32;
                let quants: Vec<u32> = (0..n_quants).map(|i| hash(i, 77) & words.mask | words.bits).collect();
                let n_scales = scale_words(format, n_rows, ROW_LEN as u64) as usize;
                let scales: Vec<u32> =
                    grid_of(format).iter().chain(words.scales.iter().cycle()).copied().take(n_scales).collect();
                assert_eq!(scales.len(), n_scales);
                let mut values = vec![0.0; n_values];
                decode_plane_row(format, &quants, &scales, 0, &mut values);
                assert!(values.iter().all(|value| value.is_finite()), "{format}");
                let mean = values.iter().sum::<f32>() / n_values as f32;
                let size = (values.iter().map(|value| value * value).sum::<f32>() / n_values as f32).sqrt();
                let slack = if [Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::Q6_K].contains(&format) {
                    1.05
                } else if format == Format::NVFP4 {
                    // Its scales are whole multiples of 2^-9, which is coarse for small weights.
                    1.8
                } else if format == Format::FP8 {
                    // Its scales are the next greater power of two.
                    2.05
                } else {
                    1.45
                };
                assert!(size < wanted * slack && size > wanted / slack, "{format}: {size}, not {wanted}");
                assert!(mean.abs() < 0.2 * wanted, "{format}: mean {mean} of size {wanted}");
            }
        }
        assert!(RandomWords::of_size(Format::I32, 1.0).is_err());
        Ok(())
    }
}
