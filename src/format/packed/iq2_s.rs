//! IQ2_S: 82 bytes for 256 elements. `f16 d`; 32 bytes with the low eight bits of ten that choose eight magnitudes; 32
//! bytes of signs; 8 bytes with the high bits, four times two; 8 bytes with two scales of four bits each, one for every 16
//! elements. value = (d · (scale + 1/2) / 4) · ±magnitude.

use super::grid::{self, write_signed};
use super::{Block, Packed, byte_of, iq2, scale_at, short_of};

pub(super) const PACKED: Packed =
    Packed { quants: &[(2, 66)], scales: &[(66, 82), (0, 2)], grid: &grid::IQ2_S, decode, set_scale: scale_at::<0> };

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let (high, pair) = (byte_of(block.scales, j), byte_of(block.scales, 8 + j));
    for (i, eight) in values.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let code = byte_of(block.quants, 4 * j + i) | (high >> (2 * i) & 3) << 8;
        let entry = short_of(block.grid, code as usize);
        let scale = iq2::scale(block.d(), pair >> (i / 2 * 4));
        write_signed(&iq2::magnitudes(entry), byte_of(block.quants, 32 + 4 * j + i), scale, eight);
    }
}
