//! Q4_K: 144 bytes for 256 elements. `f16 d`, `f16 dmin`, 12 bytes with 8 pairs (scale, min) of 6 bits, one for each
//! sub-block of 32, then 4 chunks of 32 bytes: the low nibbles of chunk c are sub-block 2c, the high ones 2c + 1.
//! value = (d · scale) · q − dmin · min.
//!
//! Planes: 1 vec4 for each sub-block of 32, as Q4_0; scales: 4 words, `d` and `dmin << 16`, then the 12 packed bytes.

use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::scale_min::{self, Fitted, Reach};
use super::{encode_blocks, sub_blocks_of};
use crate::format::plane::{Block, half_of, nibbles, packed_scales};
use crate::format::repack::{high_nibbles, low_nibbles, words};

pub(super) static ROW: Row = Row {
    name: "Q4_K",
    ggml_id: Some(12),
    block_len: 256,
    block_bytes: 144,
    weights: Some(Weights {
        usual: Usual { place: 10, names: &["Q4_K_M", "Q4_K_S", "Q4_K", "Q4_K_XL"] },
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(14) },
        planes: Planes { unit: 8, quants: 32, scales: 4, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("scale_min"), quant!("q4_k"), quant!("quarter")],
            codes: BlockCodes::OfNibbles(quant!("q4_k_codes")),
            words: &[quant!("words"), quant!("q4_k_words")],
        },
    }),
};

const REACH: Reach = Reach { code: 15.0, scale: 63.0 };

/// The 6-bit (scale, min) of sub-block `j` from the 12 packed bytes. The first four pairs lie in the low six bits
/// of bytes 0..4 and 4..8; of the others bytes 8..12 hold the low nibbles, and the two upper bits of the first
/// eight bytes the rest.
fn unpack_scale_min(packed: &[u8; 12], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    }
}

fn pack_scale_min(packed: &mut [u8; 12], j: usize, scale: u8, min: u8) {
    if j < 4 {
        packed[j] |= scale;
        packed[j + 4] |= min;
    } else {
        packed[j + 4] = scale & 15 | min << 4;
        packed[j - 4] |= scale >> 4 << 6;
        packed[j] |= min >> 4 << 6;
    }
}

fn encode(values: &[f32; 256]) -> [u8; 144] {
    let sub_blocks = sub_blocks_of::<32, 8>(values);
    let fitted = scale_min::fit_all(&sub_blocks, REACH);
    let mut block = [0; 144];
    block[..16].copy_from_slice(&pack_head(&fitted));
    for (j, sub_block) in sub_blocks.iter().enumerate() {
        let chunk = &mut block[16 + j / 2 * 32..][..32];
        for (byte, code) in chunk.iter_mut().zip(fitted.codes(sub_block, j, REACH)) {
            *byte |= code << (4 * (j % 2));
        }
    }
    block
}

/// `d`, `dmin` and the packed pairs, as Q4_K and Q5_K begin.
pub(super) fn pack_head(fitted: &Fitted<8>) -> [u8; 16] {
    let mut packed = [0; 12];
    for (j, &(scale, min)) in fitted.stored.iter().enumerate() {
        pack_scale_min(&mut packed, j, scale, min);
    }
    let mut head = [0; 16];
    head[..2].copy_from_slice(&fitted.d.to_le_bytes());
    head[2..4].copy_from_slice(&fitted.dmin.to_le_bytes());
    head[4..].copy_from_slice(&packed);
    head
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<144>().0 {
        scales.extend(words(&block[..16]));
        for chunk in block[16..].as_chunks::<32>().0 {
            quants.extend(low_nibbles(chunk));
            quants.extend(high_nibbles(chunk));
        }
    }
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let (scale, min) = scale_and_min(&scales[block / 8 * 4..], block % 8);
    nibbles(quants, block * 4, values, |q| scale * q as f32 - min);
}

/// The scale and minimum of a sub-block of Q4_K or Q5_K, from the words of its super-block.
pub(super) fn scale_and_min(head: &[u32], sub_block: usize) -> (f32, f32) {
    let (scale, min) = unpack_scale_min(&packed_scales(&head[1..]), sub_block);
    (half_of(head, 0) * f32::from(scale), half_of(head, 1) * f32::from(min))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_pairs_come_back() {
        let pair = |j: usize| (63 - 5 * j as u8, 17 + 6 * j as u8);
        let mut packed = [0; 12];
        for j in 0..8 {
            pack_scale_min(&mut packed, j, pair(j).0, pair(j).1 & 63);
        }
        for j in 0..8 {
            assert_eq!(unpack_scale_min(&packed, j), (pair(j).0, pair(j).1 & 63), "sub-block {j}");
        }
    }
}
