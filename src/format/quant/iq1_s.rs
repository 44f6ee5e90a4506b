//! IQ1_S: 50 bytes for 256 elements. `f16 d`; 32 bytes with the low eight bits of eleven that choose eight numbers; 16 bits
//! for each sub-block of 32: four times the three high bits, three bits of scale, and whether it is moved down.
//! value = (d · (2 scale + 1)) · (number ± 1/8).

use super::packed::{Block, Packed, byte_of, scale_at, short_of};
use super::row::{BlockCodes, Blocks, Row, Shader, Usual, Weights, Written};
use super::{grid, iq1};

pub(super) static ROW: Row = Row {
    name: "IQ1_S",
    ggml_id: Some(19),
    block_len: 256,
    block_bytes: 50,
    weights: Some(Weights {
        usual: Usual { place: 210, names: &["IQ1_S"] },
        blocks: Blocks::Packed(&PACKED),
        written: Written::Never { set_scale: scale_at::<0>, mask: u32::MAX },
        planes: PACKED.planes(),
        shader: Shader {
            decoder: &[quant!("grid"), quant!("iq1_s"), quant!("whole")],
            codes: BlockCodes::InDecoder,
            words: &[],
        },
    }),
};

static PACKED: Packed = Packed { quants: &[(2, 34)], scales: &[(34, 50), (0, 2)], grid: &grid::IQ1, decode };

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let high = short_of(block.scales, j);
    let scale = iq1::scale(block.d(), high >> 12);
    for (i, eight) in values.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let code = byte_of(block.quants, 4 * j + i) | (high >> (3 * i) & 7) << 8;
        iq1::write(short_of(block.grid, code as usize), high >> 15 == 1, scale, eight);
    }
}
