//! Reading the planes that [`super::repack`] writes: the CPU twin of the shaders' decoders, for the references of
//! kernels, and what decodes files.
//!
//! The planes were sized by [`super::repack`], not by a file; a block outside them is a fault of the caller, and
//! panics.

use super::Format;
use super::quant::row::Blocks;
use super::repack::BLOCK_LEN;
use half::f16;

/// The values of one block of 32.
pub(crate) type Block = [f32; BLOCK_LEN];

/// Decodes the block of 32 elements at `block_index` = row · blocks per row + block.
#[must_use]
pub fn decode_block(format: Format, quants: &[u32], scales: &[u32], block_index: usize) -> Block {
    let mut values = [0.0; BLOCK_LEN];
    blocks_of(format).decode(quants, scales, block_index, &mut values);
    values
}

/// Decodes `values.len()` elements in a sequence from `first_block` on, such as a row or several. The last block
/// may be taken in part.
pub fn decode_plane_row(format: Format, quants: &[u32], scales: &[u32], first_block: usize, values: &mut [f32]) {
    let decoder = blocks_of(format);
    let (blocks, rest) = values.as_chunks_mut();
    let n_blocks = blocks.len();
    for (index, block) in blocks.iter_mut().enumerate() {
        decoder.decode(quants, scales, first_block + index, block);
    }
    if !rest.is_empty() {
        let mut block = [0.0; BLOCK_LEN];
        decoder.decode(quants, scales, first_block + n_blocks, &mut block);
        rest.copy_from_slice(&block[..rest.len()]);
    }
}

/// What decodes a block.
fn blocks_of(format: Format) -> &'static Blocks {
    &format.row().weights.as_ref().expect("a table of integers has no planes").blocks
}

impl Blocks {
    fn decode(&self, quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
        match self {
            Self::Own { decode, .. } => decode(quants, scales, block, values),
            Self::Packed(packed) => packed.decode_block(quants, scales, block, values),
        }
    }
}

/// The 12 bytes of packed scales in three words.
pub(super) fn packed_scales(words: &[u32]) -> [u8; 12] {
    let mut packed = [0; 12];
    for (four, word) in packed.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *four = word.to_le_bytes();
    }
    packed
}

/// The 32 two-bit numbers of two words.
pub(super) fn two_bits(words: &[u32], values: &mut Block) {
    for (i, value) in values.iter_mut().enumerate() {
        *value = (words[i / 16] >> (2 * (i % 16)) & 3) as f32;
    }
}

/// Adds `weight` to the values whose bit of the word is set.
pub(super) fn add_bits(word: u32, weight: f32, values: &mut Block) {
    for (i, value) in values.iter_mut().enumerate() {
        *value += weight * (word >> i & 1) as f32;
    }
}

/// The f16 at `index`, two to a word.
pub(super) fn half_of(scales: &[u32], index: usize) -> f32 {
    f16::from_bits((scales[index / 2] >> (16 * (index % 2))) as u16).to_f32()
}

/// The 32 nibbles of the four words from `first_word` on, in the order of Q4_0, through `value_of`.
pub(super) fn nibbles(quants: &[u32], first_word: usize, values: &mut Block, value_of: impl Fn(u32) -> f32) {
    let mut pairs = [0u8; 16];
    for (four, word) in pairs.as_chunks_mut::<4>().0.iter_mut().zip(&quants[first_word..][..4]) {
        *four = word.to_le_bytes();
    }
    // Runs of 16, of which a compiler makes vectors.
    let (front, back) = values.split_at_mut(16);
    front.iter_mut().zip(pairs).for_each(|(value, pair)| *value = value_of(u32::from(pair & 15)));
    back.iter_mut().zip(pairs).for_each(|(value, pair)| *value = value_of(u32::from(pair >> 4)));
}
