//! IQ3_S: 110 bytes for 256 elements. `f16 d`; 64 bytes with the low eight bits of nine that choose four magnitudes; 8
//! bytes with the ninth ones; 32 bytes of signs; 4 bytes with two scales of four bits each, one for every 32 elements.
//! value = (d · (1 + 2 scale)) · ±magnitude.

use super::grid::{self, write_signed};
use super::packed::{Block, Packed, byte_of, scale_at, short_of};
use super::row::{BlockCodes, Blocks, Row, Shader, Usual, Weights, Written};

pub(super) static ROW: Row = Row {
    name: "IQ3_S",
    ggml_id: Some(21),
    block_len: 256,
    block_bytes: 110,
    weights: Some(Weights {
        usual: Usual { place: 130, names: &["IQ3_M", "IQ3_S"] },
        blocks: Blocks::Packed(&PACKED),
        written: Written::Never { set_scale: scale_at::<0>, mask: u32::MAX },
        planes: PACKED.planes(),
        shader: Shader {
            decoder: &[quant!("grid"), quant!("iq3_s"), quant!("whole")],
            codes: BlockCodes::InDecoder,
            words: &[],
        },
    }),
};

static PACKED: Packed =
    Packed { quants: &[(2, 66), (74, 106)], scales: &[(66, 74), (106, 110), (0, 2)], grid: &grid::IQ3_S, decode };

/// The four magnitudes of an entry: 1, 3 … 15.
pub(super) fn magnitudes(entry: u32) -> [f32; 4] {
    grid::four(entry).map(|place| (1 + 2 * place) as f32)
}

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let (high, signs) = (byte_of(block.scales, j), block.quants[16 + j]);
    let scale = block.d() * (1 + 2 * (block.scales[2] >> (4 * j) & 15)) as f32;
    for (i, four) in values.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let code = byte_of(block.quants, 8 * j + i) | (high >> i & 1) << 8;
        write_signed(&magnitudes(short_of(block.grid, code as usize)), signs >> (4 * i), scale, four);
    }
}
