//! IQ3_XXS: 98 bytes for 256 elements. `f16 d`; 64 bytes that choose four magnitudes each; a word for each sub-block of 32:
//! four times seven bits of signs below four bits of scale. value = (d · (scale + 1/2) / 2) · ±magnitude.

use super::grid::{self, with_eighth, write_signed};
use super::packed::{Block, Packed, byte_of, scale_at, short_of};
use super::row::{BlockCodes, Blocks, Row, Shader, Usual, Weights, Written};

pub(super) static ROW: Row = Row {
    name: "IQ3_XXS",
    ggml_id: Some(18),
    block_len: 256,
    block_bytes: 98,
    weights: Some(Weights {
        usual: Usual { place: 140, names: &["IQ3_XXS"] },
        blocks: Blocks::Packed(&PACKED),
        written: Written::Never { set_scale: scale_at::<0>, mask: u32::MAX },
        planes: PACKED.planes(),
        shader: Shader {
            decoder: &[quant!("grid"), quant!("iq3_xxs"), quant!("whole")],
            codes: BlockCodes::InDecoder,
            words: &[],
        },
    }),
};

static PACKED: Packed = Packed { quants: &[(2, 98)], scales: &[(0, 2)], grid: &grid::IQ3_XXS, decode };

/// The four magnitudes of an entry: 4, 12, 20 … 52, and 62.
pub(super) fn magnitudes(entry: u32) -> [f32; 4] {
    grid::four(entry).map(|place| (4 + 8 * place + ((place + 1) >> 3 << 1)) as f32)
}

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let word = block.quants[16 + j];
    let scale = block.d() * (0.5 + (word >> 28) as f32) * 0.5;
    for (i, four) in values.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let entry = short_of(block.grid, byte_of(block.quants, 8 * j + i) as usize);
        let signs = with_eighth(word >> (i / 2 * 7)) >> (i % 2 * 4);
        write_signed(&magnitudes(entry), signs, scale, four);
    }
}
