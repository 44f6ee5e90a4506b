//! IQ4_XS: 136 bytes for 256 elements. `f16 d`; 16 bits with the two high bits of 8 scales, one for each sub-block of
//! 32; 4 bytes with their low four bits; then 16 bytes of nibbles for each sub-block as in Q4_0.
//! value = (d · (scale − 32)) · table(q), with the table of IQ4_NL.
//!
//! Planes: 1 vec4 for each sub-block of 32, as Q4_0; scales: 2 words, `d` and the high bits of the scales `<< 16`, then
//! their low bits.

use super::iq4_nl::{UNEVEN, Uneven, code_at};
use super::row::{BlockCodes, Blocks, Planes, Row, Shader, Usual, Weights, Written};
use super::scale_only;
use super::{encode_blocks, sub_blocks_of};
use crate::format::plane::{Block, half_of, nibbles};
use crate::format::repack::words;

pub(super) static ROW: Row = Row {
    name: "IQ4_XS",
    ggml_id: Some(23),
    block_len: 256,
    block_bytes: 136,
    weights: Some(Weights {
        usual: Usual { place: 40, names: &["IQ4_XS"] },
        blocks: Blocks::Own { repack, decode },
        written: Written::Encoded { encode: |values, bytes| encode_blocks(values, bytes, encode), file_type: Some(30) },
        planes: Planes { unit: 8, quants: 32, scales: 2, grid: &[] },
        shader: Shader {
            decoder: &[quant!("nibbles"), quant!("uneven"), quant!("iq4_xs"), quant!("quarter")],
            codes: BlockCodes::InDecoder,
            words: &[],
        },
    }),
};

/// The scale of sub-block `j`, from −32 to 31, of the high and the low bits of all.
fn unpack_scale(high: u16, low: u32, j: usize) -> i8 {
    ((low >> (4 * j) & 15) as u8 | ((high >> (2 * j) & 3) as u8) << 4) as i8 - 32
}

fn encode(values: &[f32; 256]) -> [u8; 136] {
    let sub_blocks = sub_blocks_of::<32, 8>(values);
    let fitted = scale_only::fit_all::<Uneven, _, _>(&sub_blocks, [-32.0, 31.0]);
    let (mut high, mut low) = (0u16, 0u32);
    let mut block = [0; 136];
    for (j, (sub_block, &stored)) in sub_blocks.iter().zip(&fitted.stored).enumerate() {
        let packed = (stored + 32) as u8;
        low |= u32::from(packed & 15) << (4 * j);
        high |= u16::from(packed >> 4) << (2 * j);
        let scale = fitted.d.to_f32() * f32::from(stored);
        for (i, byte) in block[8 + 16 * j..][..16].iter_mut().enumerate() {
            *byte = code_at(sub_block[i], scale) | code_at(sub_block[i + 16], scale) << 4;
        }
    }
    block[..2].copy_from_slice(&fitted.d.to_le_bytes());
    block[2..4].copy_from_slice(&high.to_le_bytes());
    block[4..8].copy_from_slice(&low.to_le_bytes());
    block
}

fn repack(bytes: &[u8], quants: &mut Vec<u32>, scales: &mut Vec<u32>) {
    for block in bytes.as_chunks::<136>().0 {
        scales.extend(words(&block[..8]));
        quants.extend(words(&block[8..]));
    }
}

fn decode(quants: &[u32], scales: &[u32], block: usize, values: &mut Block) {
    let head = &scales[block / 8 * 2..][..2];
    let scale = half_of(head, 0) * f32::from(unpack_scale((head[0] >> 16) as u16, head[1], block % 8));
    nibbles(quants, block * 4, values, |q| scale * f32::from(UNEVEN[q as usize]));
}
