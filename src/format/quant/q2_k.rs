//! Q2_K: 84 bytes for 256 elements. 16 bytes, one for each sub-block of 16: the scale in the low nibble, the minimum in
//! the high one; 64 bytes of two-bit codes; `f16 d` and `f16 dmin` last. value = (d · scale) · q − dmin · min.
//!
//! Element 128h + 32s + l, with l < 32, has bits 2s and 2s + 1 of byte 32h + l of the codes.
//!
//! Planes: 2 words for each sub-block of 32, in which element i has bits 2(i mod 16) of word i / 16;
//! scales: 5 words, the 16 bytes of scale and minimum, then `d` and `dmin << 16`.

use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::scale_min::{self, Reach};
use super::{encode_blocks, sub_blocks_of};
use crate::format::plane::{Block, half_of, two_bits};
use crate::format::repack::{two_bit_words, words};

pub(super) static ROW: Row = Row {
    name: "Q2_K",
    ggml_id: Some(10),
    block_len: 256,
    block_bytes: 84,
    weights: Some(Weights {
        usual: Usual::NEVER,
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(10) },
        planes: Planes { unit: 8, quants: 16, scales: 5, grid: &[] },
        shader: Shader {
            decoder: &[quant!("two_bits"), quant!("q2_k"), quant!("quarter")],
            codes: BlockCodes::None,
            words: &[quant!("words"), quant!("q2_k_words")],
        },
    }),
};

const REACH: Reach = Reach { code: 3.0, scale: 15.0 };
/// Where the codes, d and dmin begin.
const CODES: usize = 16;
const D: usize = 80;
const DMIN: usize = 82;

/// The byte, from the first of the codes, and the shift of an element's two bits.
pub(super) fn place_of(index: usize) -> (usize, usize) {
    (index / 128 * 32 + index % 32, index / 32 % 4 * 2)
}

fn encode(values: &[f32; 256]) -> [u8; 84] {
    let sub_blocks = sub_blocks_of::<16, 16>(values);
    let fitted = scale_min::fit_all(&sub_blocks, REACH);
    let mut block = [0; 84];
    block[D..DMIN].copy_from_slice(&fitted.d.to_le_bytes());
    block[DMIN..].copy_from_slice(&fitted.dmin.to_le_bytes());
    for (j, sub_block) in sub_blocks.iter().enumerate() {
        let (scale, min) = fitted.stored[j];
        block[j] = scale | min << 4;
        for (i, q) in fitted.codes(sub_block, j, REACH).into_iter().enumerate() {
            let (byte, shift) = place_of(16 * j + i);
            block[CODES + byte] |= q << shift;
        }
    }
    block
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<84>().0 {
        scales.extend(words(&block[..16]));
        scales.extend(words(&block[80..]));
        quants.extend(two_bit_words(&block[16..80]));
    }
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let head = &scales[block / 8 * 5..][..5];
    let (d, dmin) = (half_of(head, 8), half_of(head, 9));
    let pairs = head[block % 8 / 2].to_le_bytes();
    two_bits(&quants[block * 2..][..2], values);
    for (half, sixteen) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let pair = pairs[block % 2 * 2 + half];
        let (scale, min) = (d * f32::from(pair & 15), dmin * f32::from(pair >> 4));
        sixteen.iter_mut().for_each(|value| *value = scale * *value - min);
    }
}
