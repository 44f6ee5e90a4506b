//! IQ1_M: 56 bytes for 256 elements. 32 bytes with the low eight bits of eleven that choose eight numbers; 16 bytes with,
//! for two such groups, three high bits and whether it is moved down; four times 16 bits with four scales of three bits,
//! one for every 16 elements, and four bits of `f16 d` above them. value = (d · (2 scale + 1)) · (number ± 1/8).

use super::packed::{Block, Packed, byte_of, short_of};
use super::row::{BlockCodes, Blocks, Row, Shader, Usual, Weights, Written};
use super::{grid, iq1};
use half::f16;

pub(super) static ROW: Row = Row {
    name: "IQ1_M",
    ggml_id: Some(29),
    block_len: 256,
    block_bytes: 56,
    weights: Some(Weights {
        usual: Usual { place: 200, names: &["IQ1_M"] },
        blocks: Blocks::Packed(&PACKED),
        written: Written::Never { set_scale, mask: u32::MAX },
        planes: PACKED.planes(),
        shader: Shader {
            decoder: &[quant!("grid"), quant!("iq1_m"), quant!("whole")],
            codes: BlockCodes::None,
            words: &[],
        },
    }),
};

static PACKED: Packed = Packed { quants: &[(0, 32)], scales: &[(32, 56)], grid: &grid::IQ1, decode };
/// Where the 16 bits with scales begin, in bytes of the file and in 16 bits of the plane.
const SCALES: usize = 48;
const SHORTS: usize = 8;

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let d = (0..4).fold(0, |d, i| d | short_of(block.scales, SHORTS + i) >> 12 << (4 * i));
    let d = f16::from_bits(d as u16).to_f32();
    let stored = short_of(block.scales, SHORTS + j / 2) >> (j % 2 * 6);
    for (i, eight) in values.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let high = byte_of(block.scales, 2 * j + i / 2) >> (i % 2 * 4);
        let code = byte_of(block.quants, 4 * j + i) | (high & 7) << 8;
        let scale = iq1::scale(d, stored >> (i / 2 * 3));
        iq1::write(short_of(block.grid, code as usize), high & 8 != 0, scale, eight);
    }
}

fn set_scale(block: &mut [u8], scale: f16) {
    for (i, byte) in block[SCALES..].iter_mut().skip(1).step_by(2).enumerate() {
        *byte = *byte & 15 | ((scale.to_bits() >> (4 * i) & 15) as u8) << 4;
    }
}
