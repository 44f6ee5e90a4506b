//! Q5_K: 176 bytes for 256 elements. `f16 d`, `f16 dmin` and 12 packed bytes as in Q4_K, then 32 bytes whose bit j is
//! the fifth bit of sub-block j, then 128 bytes of nibbles as in Q4_K; value = (d · scale) · q − dmin · min.

use super::q4_k::{pack_head, unpack_scale_min};
use super::scale_min::{self, Reach};
use super::{read_f16, sub_blocks_of};

const REACH: Reach = Reach { code: 31.0, scale: 63.0 };
/// Where the fifth bits and the nibbles begin.
const HIGH: usize = 16;
const LOW: usize = 48;

pub(super) fn decode(block: &[u8; 176], values: &mut [f32; 256]) {
    let (d, dmin) = (read_f16(block, 0), read_f16(block, 2));
    let mut packed = [0; 12];
    packed.copy_from_slice(&block[4..16]);
    for (j, sub_block) in values.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = unpack_scale_min(&packed, j);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        let chunk = &block[LOW + j / 2 * 32..][..32];
        for (i, value) in sub_block.iter_mut().enumerate() {
            let q = chunk[i] >> (4 * (j % 2)) & 15 | (block[HIGH + i] >> j & 1) << 4;
            *value = scale * f32::from(q) - min;
        }
    }
}

pub(super) fn encode(values: &[f32; 256]) -> [u8; 176] {
    let sub_blocks = sub_blocks_of::<32, 8>(values);
    let fitted = scale_min::fit_all(&sub_blocks, REACH);
    let mut block = [0; 176];
    block[..16].copy_from_slice(&pack_head(&fitted));
    for (j, sub_block) in sub_blocks.iter().enumerate() {
        for (i, q) in fitted.codes(sub_block, j, REACH).into_iter().enumerate() {
            block[HIGH + i] |= q >> 4 << j;
            block[LOW + j / 2 * 32 + i] |= (q & 15) << (4 * (j % 2));
        }
    }
    block
}
