//! TQ2_0: 66 bytes for 256 elements. 64 bytes of four codes each, `f16 d` last; value = d · (code − 1). Code s of byte
//! 32h + l is element 128h + 32s + l. Code 3 is not written, and read as 2.

use super::packed::{Block, Packed, byte_of, scale_at};
use super::row::{BlockCodes, Blocks, Row, Shader, Usual, Weights, Written};

pub(super) static ROW: Row = Row {
    name: "TQ2_0",
    ggml_id: Some(35),
    block_len: 256,
    block_bytes: 66,
    weights: Some(Weights {
        usual: Usual { place: 180, names: &["TQ2_0"] },
        blocks: Blocks::Packed(&PACKED),
        // Of the four codes one is not written. Those of -1 and 1 are even around zero.
        written: Written::Never { set_scale: scale_at::<64>, mask: 0xaaaa_aaaa },
        planes: PACKED.planes(),
        shader: Shader {
            decoder: &[quant!("tq2_0"), quant!("quarter")],
            codes: BlockCodes::InDecoder,
            words: &[quant!("tq2_0_words")],
        },
    }),
};

static PACKED: Packed = Packed { quants: &[(0, 64)], scales: &[(64, 66)], grid: &[], decode };

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let d = block.d();
    for (i, value) in values.iter_mut().enumerate() {
        let code = byte_of(block.quants, j / 4 * 32 + i) >> (j % 4 * 2) & 3;
        *value = d * (code as f32 - 1.0);
    }
}
