//! IQ2_XS: 74 bytes for 256 elements. `f16 d`; 32 times 16 bits, nine that choose eight magnitudes and seven of signs; 8
//! bytes with two scales of four bits each, one for every 16 elements. value = (d · (scale + 1/2) / 4) · ±magnitude.

use super::grid::{self, with_eighth, write_signed};
use super::iq2;
use super::packed::{Block, Packed, byte_of, scale_at, short_of};
use super::row::{BlockCodes, Blocks, Row, Shader, Usual, Weights, Written};

pub(super) static ROW: Row = Row {
    name: "IQ2_XS",
    ggml_id: Some(17),
    block_len: 256,
    block_bytes: 74,
    weights: Some(Weights {
        usual: Usual { place: 160, names: &["IQ2_XS"] },
        blocks: Blocks::Packed(&PACKED),
        written: Written::Never { set_scale: scale_at::<0>, mask: u32::MAX },
        planes: PACKED.planes(),
        shader: Shader {
            decoder: &[quant!("grid"), quant!("iq2"), quant!("iq2_xs"), quant!("whole")],
            codes: BlockCodes::None,
            words: &[],
        },
    }),
};

static PACKED: Packed = Packed { quants: &[(2, 66)], scales: &[(66, 74), (0, 2)], grid: &grid::IQ2_XS, decode };

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let pair = byte_of(block.scales, j);
    for (i, eight) in values.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let code = short_of(block.quants, 4 * j + i);
        let entry = short_of(block.grid, (code & 511) as usize);
        let scale = iq2::scale(block.d(), pair >> (i / 2 * 4));
        write_signed(&iq2::magnitudes(entry), with_eighth(code >> 9), scale, eight);
    }
}
