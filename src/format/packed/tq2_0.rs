//! TQ2_0: 66 bytes for 256 elements. 64 bytes of four codes each, `f16 d` last; value = d · (code − 1). Code s of byte
//! 32h + l is element 128h + 32s + l. Code 3 is not written, and read as 2.

use super::{Block, Packed, byte_of, scale_at};

pub(super) const PACKED: Packed =
    Packed { quants: &[(0, 64)], scales: &[(64, 66)], grid: &[], decode, set_scale: scale_at::<64> };

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let d = block.d();
    for (i, value) in values.iter_mut().enumerate() {
        let code = byte_of(block.quants, j / 4 * 32 + i) >> (j % 4 * 2) & 3;
        *value = d * (code as f32 - 1.0);
    }
}
