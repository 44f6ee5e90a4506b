//! IQ2_XXS: 66 bytes for 256 elements. `f16 d`, then two words for each sub-block of 32: four bytes that choose eight
//! magnitudes each, and four times seven bits of signs below four bits of scale.
//! value = (d · (scale + 1/2) / 4) · ±magnitude.

use super::grid::{self, with_eighth, write_signed};
use super::iq2;
use super::packed::{Block, Packed, byte_of, scale_at, short_of};
use super::row::{BlockCodes, Blocks, Row, Shader, Usual, Weights, Written};

pub(super) static ROW: Row = Row {
    name: "IQ2_XXS",
    ggml_id: Some(16),
    block_len: 256,
    block_bytes: 66,
    weights: Some(Weights {
        usual: Usual { place: 170, names: &["IQ2_XXS"] },
        blocks: Blocks::Packed(&PACKED),
        written: Written::Never { set_scale: scale_at::<0>, mask: u32::MAX },
        planes: PACKED.planes(),
        shader: Shader {
            decoder: &[quant!("grid"), quant!("iq2"), quant!("iq2_xxs"), quant!("whole")],
            codes: BlockCodes::InDecoder,
            words: &[],
        },
    }),
};

static PACKED: Packed = Packed { quants: &[(2, 66)], scales: &[(0, 2)], grid: &grid::IQ2_XXS, decode };

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let words = &block.quants[2 * j..][..2];
    let scale = iq2::scale(block.d(), words[1] >> 28);
    for (i, eight) in values.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let entry = short_of(block.grid, byte_of(words, i) as usize);
        write_signed(&iq2::magnitudes(entry), with_eighth(words[1] >> (7 * i)), scale, eight);
    }
}
