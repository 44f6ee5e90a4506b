//! IQ2_S: 82 bytes for 256 elements. `f16 d`; 32 bytes with the low eight bits of ten that choose eight magnitudes; 32
//! bytes of signs; 8 bytes with the high bits, four times two; 8 bytes with two scales of four bits each, one for every 16
//! elements. value = (d · (scale + 1/2) / 4) · ±magnitude.

use super::grid::{self, write_signed};
use super::iq2;
use super::packed::{Block, Packed, byte_of, scale_at, short_of};
use super::row::{BlockCodes, Blocks, Row, Shader, Usual, Weights, Written};

pub(super) static ROW: Row = Row {
    name: "IQ2_S",
    ggml_id: Some(22),
    block_len: 256,
    block_bytes: 82,
    weights: Some(Weights {
        usual: Usual { place: 150, names: &["IQ2_M", "IQ2_S"] },
        blocks: Blocks::Packed(&PACKED),
        written: Written::Never { set_scale: scale_at::<0>, mask: u32::MAX },
        planes: PACKED.planes(),
        shader: Shader {
            decoder: &[quant!("grid"), quant!("iq2"), quant!("iq2_s"), quant!("whole")],
            codes: BlockCodes::None,
            words: &[],
        },
    }),
};

static PACKED: Packed = Packed { quants: &[(2, 66)], scales: &[(66, 82), (0, 2)], grid: &grid::IQ2_S, decode };

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let (high, pair) = (byte_of(block.scales, j), byte_of(block.scales, 8 + j));
    for (i, eight) in values.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let code = byte_of(block.quants, 4 * j + i) | (high >> (2 * i) & 3) << 8;
        let entry = short_of(block.grid, code as usize);
        let scale = iq2::scale(block.d(), pair >> (i / 2 * 4));
        write_signed(&iq2::magnitudes(entry), byte_of(block.quants, 32 + 4 * j + i), scale, eight);
    }
}
