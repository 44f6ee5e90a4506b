//! IQ2_XS: 74 bytes for 256 elements. `f16 d`; 32 times 16 bits, nine that choose eight magnitudes and seven of signs; 8
//! bytes with two scales of four bits each, one for every 16 elements. value = (d · (scale + 1/2) / 4) · ±magnitude.

use super::grid::{self, with_eighth, write_signed};
use super::{Block, Packed, byte_of, iq2, scale_at, short_of};

pub(super) const PACKED: Packed =
    Packed { quants: &[(2, 66)], scales: &[(66, 74), (0, 2)], grid: &grid::IQ2_XS, decode, set_scale: scale_at::<0> };

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let pair = byte_of(block.scales, j);
    for (i, eight) in values.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let code = short_of(block.quants, 4 * j + i);
        let entry = short_of(block.grid, (code & 511) as usize);
        let scale = iq2::scale(block.d(), pair >> (i / 2 * 4));
        write_signed(&iq2::magnitudes(entry), with_eighth(code >> 9), scale, eight);
    }
}
