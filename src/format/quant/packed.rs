//! What the weight formats that are only read share: IQ1, IQ2, IQ3 and the ternary ones. Their blocks of 256 elements go
//! to the planes byte for byte, only in another order. Their decoders equal gguf-py bit for bit: every product is exact
//! in f32.
//!
//! Most choose several numbers at once from a table. A matrix has its table at the beginning of its scales plane, where
//! shaders read it: an array in a shader would be laid out again by every invocation on some adapters.

use super::row::Planes;
use half::f16;

/// Bytes of a block: the first, and the one after the last.
type Run = (usize, usize);

/// How a format's block of 256 elements lies in the planes, and what it decodes to.
pub(crate) struct Packed {
    /// The bytes of a block that go to the quants plane, from and up to: a multiple of 16 together.
    pub(super) quants: &'static [Run],
    /// The bytes of a block that go to the scales plane, filled up to whole words.
    pub(super) scales: &'static [Run],
    /// The table that codes choose from, two entries of 16 bits to a word; empty where there is none.
    pub(super) grid: &'static [u32],
    /// Gives the 32 elements of a sub-block.
    pub(super) decode: fn(&Block<'_>, usize, &mut [f32; 32]),
}

/// A block in the planes.
pub(super) struct Block<'a> {
    pub(super) grid: &'a [u32],
    pub(super) quants: &'a [u32],
    pub(super) scales: &'a [u32],
}

/// The sub-blocks of 32 in a block.
const SUB_BLOCKS: usize = 8;

impl Packed {
    /// How a matrix lies on the GPU.
    pub(super) const fn planes(&self) -> Planes {
        Planes {
            unit: SUB_BLOCKS as u16,
            quants: words_of(self.quants) as u16,
            scales: words_of(self.scales) as u16,
            grid: self.grid,
        }
    }

    /// Appends whole blocks of `block_bytes` to the planes; the table is not among them.
    pub(in crate::format) fn repack(
        &self,
        bytes: &[u8],
        block_bytes: usize,
        quants: &mut Vec<u32>,
        scales: &mut Vec<u32>,
    ) {
        for block in bytes.chunks_exact(block_bytes) {
            take(block, self.quants, quants);
            take(block, self.scales, scales);
        }
    }

    /// Decodes sub-block `index` of whole planes, which the table begins.
    pub(in crate::format) fn decode_block(&self, quants: &[u32], scales: &[u32], index: usize, values: &mut [f32; 32]) {
        let (at, j) = (index / SUB_BLOCKS, index % SUB_BLOCKS);
        let (grid, scales) = scales.split_at(self.grid.len());
        let (n_quants, n_scales) = (words_of(self.quants), words_of(self.scales));
        let block =
            Block { grid, quants: &quants[at * n_quants..][..n_quants], scales: &scales[at * n_scales..][..n_scales] };
        (self.decode)(&block, j, values);
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
    pub(super) fn d(&self) -> f32 {
        f16::from_bits(self.scales[self.scales.len() - 1] as u16).to_f32()
    }
}

/// Byte `index` of words.
pub(super) fn byte_of(words: &[u32], index: usize) -> u32 {
    words[index / 4] >> (8 * (index % 4)) & 255
}

/// The 16 bits at `index`, two to a word.
pub(super) fn short_of(words: &[u32], index: usize) -> u32 {
    words[index / 2] >> (16 * (index % 2)) & 0xffff
}

/// Writes a scale that stands in two bytes from `AT` on.
pub(super) fn scale_at<const AT: usize>(block: &mut [u8], scale: f16) {
    block[AT..AT + 2].copy_from_slice(&scale.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::row::{Blocks, Written};
    use super::*;
    use crate::format::Format;
    use crate::format::quant::decode_row;

    /// Every format of this kind.
    fn all() -> impl Iterator<Item = (Format, &'static Packed)> {
        Format::WEIGHTS.into_iter().filter_map(|format| match format.row().weights.as_ref()?.blocks {
            Blocks::Packed(packed) => Some((format, packed)),
            Blocks::Own { .. } => None,
        })
    }

    #[test]
    fn every_byte_of_a_block_goes_to_one_plane_once() {
        for (format, packed) in all() {
            let mut places: Vec<usize> =
                packed.quants.iter().chain(packed.scales).flat_map(|run| run.0..run.1).collect();
            places.sort_unstable();
            assert_eq!(places, (0..format.block_bytes()).collect::<Vec<_>>(), "{format}");
            assert_eq!(words_of(packed.quants) % 4, 0, "{format}: whole vectors");
            assert_eq!(format.block_len(), 32 * SUB_BLOCKS, "{format}");
        }
    }

    #[test]
    fn a_scale_is_written_where_it_is_read() {
        for (format, _) in all() {
            let Some(Written::Never { set_scale, .. }) = format.row().weights.as_ref().map(|weights| &weights.written)
            else {
                panic!("{format} has no scale to set");
            };
            let size = |scale: f32| {
                let mut block: Vec<u8> = (0..format.block_bytes() as u32).map(|i| (i * 37 + 11) as u8).collect();
                set_scale(&mut block, f16::from_f32(scale));
                let mut values = [0.0f32; 256];
                decode_row(format, &block, &mut values).expect("a whole block");
                values
            };
            let once = size(0.25);
            assert!(once.iter().all(|value| value.is_finite()) && once.iter().any(|value| *value != 0.0), "{format}");
            assert_eq!(size(0.5), once.map(|value| 2.0 * value), "{format}");
            assert_eq!(size(0.0), [0.0; 256], "{format}");
        }
    }
}
