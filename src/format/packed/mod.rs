//! Weight formats that are only read, one file each: IQ1, IQ2, IQ3 and the ternary ones. Their blocks of 256 elements go
//! to the planes byte for byte, only in another order, so that one decoder serves files and planes. It equals gguf-py bit
//! for bit: every product is exact in f32.
//!
//! Most choose several numbers at once from a table. A matrix has its table at the beginning of its scales plane, where
//! shaders read it: an array in a shader would be laid out again by every invocation on some adapters.

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
mod tq1_0;
mod tq2_0;

use super::Format;
use half::f16;

/// Bytes of a block: the first, and the one after the last.
type Run = (usize, usize);

/// How a format's block of 256 elements lies in the planes, and what it decodes to.
pub(super) struct Packed {
    /// The bytes of a block that go to the quants plane, from and up to: a multiple of 16 together.
    quants: &'static [Run],
    /// The bytes of a block that go to the scales plane, filled up to whole words.
    scales: &'static [Run],
    /// The table that codes choose from, two entries of 16 bits to a word; empty where there is none.
    pub(super) grid: &'static [u32],
    /// Gives the 32 elements of a sub-block.
    decode: fn(&Block<'_>, usize, &mut [f32; 32]),
    /// Writes the scale of the whole block.
    set_scale: fn(&mut [u8], f16),
}

/// A block in the planes.
struct Block<'a> {
    grid: &'a [u32],
    quants: &'a [u32],
    scales: &'a [u32],
}

/// The sub-blocks of 32 in a block.
const SUB_BLOCKS: usize = 8;

/// The description of a format that is only read; `None` for every other.
pub(super) const fn of(format: Format) -> Option<&'static Packed> {
    Some(match format {
        Format::IQ3_S => &iq3_s::PACKED,
        Format::IQ3_XXS => &iq3_xxs::PACKED,
        Format::IQ2_S => &iq2_s::PACKED,
        Format::IQ2_XS => &iq2_xs::PACKED,
        Format::IQ2_XXS => &iq2_xxs::PACKED,
        Format::IQ1_M => &iq1_m::PACKED,
        Format::IQ1_S => &iq1_s::PACKED,
        Format::TQ2_0 => &tq2_0::PACKED,
        Format::TQ1_0 => &tq1_0::PACKED,
        _ => return None,
    })
}

impl Packed {
    /// Words of a block in the quants plane.
    pub(super) const fn quant_words(&self) -> usize {
        words_of(self.quants)
    }

    /// Words of a block in the scales plane.
    pub(super) const fn scale_words(&self) -> usize {
        words_of(self.scales)
    }

    /// Appends whole blocks of `block_bytes` to the planes; the table is not among them.
    pub(super) fn repack(&self, bytes: &[u8], block_bytes: usize, quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
        for block in bytes.chunks_exact(block_bytes) {
            take(block, self.quants, quants);
            take(block, self.scales, scales);
        }
    }

    /// Decodes whole blocks of a file.
    pub(super) fn decode_row(&self, bytes: &[u8], block_bytes: usize, values: &mut [f32]) {
        let (mut quants, mut scales) = (Vec::new(), Vec::new());
        for (bytes, values) in bytes.chunks_exact(block_bytes).zip(values.as_chunks_mut::<256>().0) {
            quants.clear();
            scales.clear();
            self.repack(bytes, block_bytes, &mut quants, &mut scales);
            let block = Block { grid: self.grid, quants: &quants, scales: &scales };
            for (j, sub_block) in values.as_chunks_mut().0.iter_mut().enumerate() {
                (self.decode)(&block, j, sub_block);
            }
        }
    }

    /// Decodes sub-block `index` of whole planes, which the table begins.
    pub(super) fn decode_block(&self, quants: &[u32], scales: &[u32], index: usize, values: &mut [f32; 32]) {
        let (at, j) = (index / SUB_BLOCKS, index % SUB_BLOCKS);
        let (grid, scales) = scales.split_at(self.grid.len());
        let (n_quants, n_scales) = (self.quant_words(), self.scale_words());
        let block =
            Block { grid, quants: &quants[at * n_quants..][..n_quants], scales: &scales[at * n_scales..][..n_scales] };
        (self.decode)(&block, j, values);
    }

    /// Makes any bytes a block of finite numbers: gives it that scale.
    pub(super) fn set_scale(&self, block: &mut [u8], scale: f16) {
        (self.set_scale)(block, scale);
    }
}

const fn words_of(runs: &[Run]) -> usize {
    let (mut bytes, mut i) = (0, 0);
    while i < runs.len() {
        bytes += runs[i].1 - runs[i].0;
        i += 1;
    }
    bytes.div_ceil(4)
}

/// Appends those bytes of a block as little-endian words, the last one filled up with zeros.
fn take(block: &[u8], runs: &[Run], words: &mut Vec<u32>) {
    let mut bytes = runs.iter().flat_map(|run| &block[run.0..run.1]).copied();
    while let Some(first) = bytes.next() {
        let rest = [bytes.next(), bytes.next(), bytes.next()].map(Option::unwrap_or_default);
        words.push(u32::from_le_bytes([first, rest[0], rest[1], rest[2]]));
    }
}

impl Block<'_> {
    /// The scale of the whole block, where it stands in the lower half of the last word.
    fn d(&self) -> f32 {
        f16::from_bits(self.scales[self.scales.len() - 1] as u16).to_f32()
    }
}

/// Byte `index` of words.
fn byte_of(words: &[u32], index: usize) -> u32 {
    words[index / 4] >> (8 * (index % 4)) & 255
}

/// The 16 bits at `index`, two to a word.
fn short_of(words: &[u32], index: usize) -> u32 {
    words[index / 2] >> (16 * (index % 2)) & 0xffff
}

/// Writes a scale that stands in two bytes from `AT` on.
fn scale_at<const AT: usize>(block: &mut [u8], scale: f16) {
    block[AT..AT + 2].copy_from_slice(&scale.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_block_goes_to_one_plane_once() {
        for format in Format::WEIGHTS {
            let Some(packed) = of(format) else { continue };
            let mut places: Vec<usize> =
                packed.quants.iter().chain(packed.scales).flat_map(|run| run.0..run.1).collect();
            places.sort_unstable();
            assert_eq!(places, (0..format.block_bytes()).collect::<Vec<_>>(), "{format}");
            assert_eq!(packed.quant_words() % 4, 0, "{format}: whole vectors");
            assert_eq!(format.block_len(), 32 * SUB_BLOCKS, "{format}");
        }
    }

    #[test]
    fn a_scale_is_written_where_it_is_read() {
        for format in Format::WEIGHTS {
            let Some(packed) = of(format) else { continue };
            let size = |scale: f32| {
                let mut block: Vec<u8> = (0..format.block_bytes() as u32).map(|i| (i * 37 + 11) as u8).collect();
                packed.set_scale(&mut block, f16::from_f32(scale));
                let mut values = [0.0f32; 256];
                packed.decode_row(&block, format.block_bytes(), &mut values);
                values
            };
            let once = size(0.25);
            assert!(once.iter().all(|value| value.is_finite()) && once.iter().any(|value| *value != 0.0), "{format}");
            assert_eq!(size(0.5), once.map(|value| 2.0 * value), "{format}");
            assert_eq!(size(0.0), [0.0; 256], "{format}");
        }
    }
}
