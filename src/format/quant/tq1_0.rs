//! TQ1_0: 54 bytes for 256 elements. 48 bytes of five digits to the base of three, 4 bytes of four, `f16 d` last;
//! value = d · (digit − 1). Digit n of byte b is the whole part of 3 · (3ⁿ · b mod 256) / 256.
//!
//! Digits 0 to 4 of the first 32 bytes are the first 160 elements, those of the next 16 bytes are 80 more, and digits 0 to
//! 3 of the last 4 bytes the rest.

use super::packed::{Block, Packed, byte_of, scale_at};
use super::row::{BlockCodes, Blocks, Row, Shader, Usual, Weights, Written};

pub(super) static ROW: Row = Row {
    name: "TQ1_0",
    ggml_id: Some(34),
    block_len: 256,
    block_bytes: 54,
    weights: Some(Weights {
        usual: Usual { place: 190, names: &["TQ1_0"] },
        blocks: Blocks::Packed(&PACKED),
        written: Written::Never { set_scale: scale_at::<52>, mask: u32::MAX },
        planes: PACKED.planes(),
        shader: Shader { decoder: &[quant!("tq1_0"), quant!("whole")], codes: BlockCodes::InDecoder, words: &[] },
    }),
};

static PACKED: Packed = Packed { quants: &[(0, 48)], scales: &[(48, 52), (52, 54)], grid: &[], decode };

fn decode(block: &Block<'_>, j: usize, values: &mut [f32; 32]) {
    let d = block.d();
    for (i, value) in values.iter_mut().enumerate() {
        let (byte, digit) = match (j, i / 16) {
            (0..5, _) => (byte_of(block.quants, i), j),
            (7, 1) => (byte_of(block.scales, i % 4), (i - 16) / 4),
            (_, half) => (byte_of(block.quants, 32 + i % 16), 2 * (j - 5) + half),
        };
        let digit = (((byte * 3u32.pow(digit as u32)) & 255) * 3) >> 8;
        *value = d * (digit as f32 - 1.0);
    }
}
