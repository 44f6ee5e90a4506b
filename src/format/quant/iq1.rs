//! What IQ1_S and IQ1_M share: numbers -1, 0 and 1, all of a group moved by an eighth.

use super::grid;

/// The eight numbers of an entry.
pub(super) fn numbers(entry: u32) -> [f32; 8] {
    grid::eight(entry).map(|place| place as f32 - 1.0)
}

/// The scale of a sub-block, of the block's and three bits.
pub(super) fn scale(d: f32, three_bits: u32) -> f32 {
    d * (2 * (three_bits & 7) + 1) as f32
}

/// Eight values of an entry; `down` moves them by -1/8, else 1/8.
pub(super) fn write(entry: u32, down: bool, scale: f32, values: &mut [f32; 8]) {
    let delta = if down { -0.125 } else { 0.125 };
    *values = numbers(entry).map(|number| scale * (number + delta));
}
