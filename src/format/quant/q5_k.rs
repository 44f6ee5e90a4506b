//! Q5_K: 176 bytes for 256 elements. `f16 d`, `f16 dmin` and 12 packed bytes as in Q4_K, then 32 bytes whose bit j is
//! the fifth bit of sub-block j, then 128 bytes of nibbles as in Q4_K; value = (d · scale) · q − dmin · min.
//!
//! Planes: 1 vec4 of low bits for each sub-block of 32, as Q4_K; scales: 12 words, as Q4_K, then for each sub-block a
//! word of fifth bits.

use super::q4_k::{pack_head, scale_and_min};
use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::scale_min::{self, Reach};
use super::{encode_blocks, sub_blocks_of};
use crate::format::plane::{Block, add_bits, nibbles};
use crate::format::repack::{bit_column, high_nibbles, low_nibbles, words};

pub(super) static ROW: Row = Row {
    name: "Q5_K",
    ggml_id: Some(13),
    block_len: 256,
    block_bytes: 176,
    weights: Some(Weights {
        usual: Usual { place: 50, names: &["Q5_K_M", "Q5_K_S"] },
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(16) },
        planes: Planes { unit: 8, quants: 32, scales: 12, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("scale_min"), quant!("fifth_bits"), quant!("q5_k"), quant!("quarter")],
            codes: BlockCodes::InDecoder,
            words: &[quant!("words"), quant!("q5_k_words")],
        },
    }),
};

const REACH: Reach = Reach { code: 31.0, scale: 63.0 };
/// Where the fifth bits and the nibbles begin.
const HIGH: usize = 16;
const LOW: usize = 48;

fn encode(values: &[f32; 256]) -> [u8; 176] {
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

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<176>().0 {
        scales.extend(words(&block[..16]));
        scales.extend((0..8).map(|sub_block| bit_column(&block[16..48], sub_block)));
        for chunk in block[48..].as_chunks::<32>().0 {
            quants.extend(low_nibbles(chunk));
            quants.extend(high_nibbles(chunk));
        }
    }
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let head = &scales[block / 8 * 12..][..12];
    let (scale, min) = scale_and_min(head, block % 8);
    nibbles(quants, block * 4, values, |q| q as f32);
    add_bits(head[4 + block % 8], 16.0, values);
    values.iter_mut().for_each(|value| *value = scale * *value - min);
}
