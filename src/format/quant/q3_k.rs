//! Q3_K: 110 bytes for 256 elements. 32 bytes of third bits, 64 bytes of two-bit codes as in Q2_K, 12 bytes with 16
//! scales of 6 bits, one for each sub-block of 16, and `f16 d` last. value = (d · (scale − 32)) · (q − 4), where q
//! takes its third bit from bit 4h + s of byte l of the first 32, for element 128h + 32s + l.
//!
//! Planes: 2 words of low bits for each sub-block of 32, as Q2_K; scales: 12 words, the 12 packed bytes, `d`, then for
//! each sub-block of 32 a word of third bits.

use super::q2_k::place_of;
use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::scale_only::{self, Whole};
use super::{encode_blocks, sub_blocks_of};
use crate::format::plane::{Block, add_bits, half_of, packed_scales, two_bits};
use crate::format::repack::{bit_column, two_bit_words, words};

pub(super) static ROW: Row = Row {
    name: "Q3_K",
    ggml_id: Some(11),
    block_len: 256,
    block_bytes: 110,
    weights: Some(Weights {
        usual: Usual { place: 90, names: &["Q3_K_M"] },
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(11) },
        planes: Planes { unit: 8, quants: 16, scales: 12, grid: &[] },
        shader: Shader {
            decoder: &[quant!("two_bits"), quant!("fifth_bits"), quant!("q3_k"), quant!("quarter")],
            codes: BlockCodes::None,
            words: &[quant!("words"), quant!("q3_k_words")],
        },
    }),
};

/// What codes stand for.
type Codes = Whole<-4, 3>;
/// Where the two-bit codes, the scales and d begin.
const LOW: usize = 32;
const SCALES: usize = 96;
const D: usize = 108;

/// The scale of sub-block `j`, from −32 to 31, from the 12 packed bytes: the low four bits in bytes 0 to 7, those of
/// the last eight above those of the first; the high two bits in bytes 8 to 11, four sub-blocks in each byte.
fn unpack_scale(packed: &[u8; 12], j: usize) -> i8 {
    let low = packed[j % 8] >> (4 * (j / 8)) & 15;
    let high = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
    (low | high << 4) as i8 - 32
}

fn pack_scale(packed: &mut [u8; 12], j: usize, scale: i8) {
    let scale = (scale + 32) as u8;
    packed[j % 8] |= (scale & 15) << (4 * (j / 8));
    packed[8 + j % 4] |= scale >> 4 << (2 * (j / 4));
}

fn encode(values: &[f32; 256]) -> [u8; 110] {
    let sub_blocks = sub_blocks_of::<16, 16>(values);
    let fitted = scale_only::fit_all::<Codes, _, _>(&sub_blocks, [-32.0, 31.0]);
    let mut block = [0; 110];
    let mut packed = [0; 12];
    block[D..].copy_from_slice(&fitted.d.to_le_bytes());
    for (j, (sub_block, &scale)) in sub_blocks.iter().zip(&fitted.stored).enumerate() {
        pack_scale(&mut packed, j, scale);
        for (i, &value) in sub_block.iter().enumerate() {
            let index = 16 * j + i;
            let q = (scale_only::nearest::<Codes>(value, fitted.d.to_f32() * f32::from(scale)) + 4.0) as u8;
            let (byte, shift) = place_of(index);
            block[LOW + byte] |= (q & 3) << shift;
            block[index % 32] |= q >> 2 << (index / 32);
        }
    }
    block[SCALES..D].copy_from_slice(&packed);
    block
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<110>().0 {
        scales.extend(words(&block[96..108]));
        scales.push(u32::from(u16::from_le_bytes([block[108], block[109]])));
        scales.extend((0..8).map(|sub_block| bit_column(&block[..32], sub_block)));
        quants.extend(two_bit_words(&block[32..96]));
    }
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let head = &scales[block / 8 * 12..][..12];
    let d = half_of(head, 6);
    let packed = packed_scales(head);
    two_bits(&quants[block * 2..][..2], values);
    add_bits(head[4 + block % 8], 4.0, values);
    for (half, sixteen) in values.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * f32::from(unpack_scale(&packed, block % 8 * 2 + half));
        sixteen.iter_mut().for_each(|value| *value = scale * (*value - 4.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_scales_come_back() {
        let scale = |j: usize| ((j * 13 + 5) % 64) as i8 - 32;
        let mut packed = [0; 12];
        for j in 0..16 {
            pack_scale(&mut packed, j, scale(j));
        }
        for j in 0..16 {
            assert_eq!(unpack_scale(&packed, j), scale(j), "sub-block {j}");
        }
    }
}
