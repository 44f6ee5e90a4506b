//! What IQ2_XXS, IQ2_XS and IQ2_S share: magnitudes of 8, 25 and 43, and scales of four bits.

use super::grid;

/// The eight magnitudes of an entry.
pub(super) fn magnitudes(entry: u32) -> [f32; 8] {
    grid::eight(entry).map(|place| (8 + 17 * place + (place >> 1)) as f32)
}

/// The scale of a sub-block, of the block's and four bits.
pub(super) fn scale(d: f32, four_bits: u32) -> f32 {
    d * (0.5 + (four_bits & 15) as f32) * 0.25
}
