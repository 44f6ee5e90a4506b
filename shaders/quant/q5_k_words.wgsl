// The third contract of weight formats, see words.wgsl.
fn block_word(b: Block, j: u32) -> u32 {
    return nibble_word(b.bytes, j) | (bit_word(b.high, j) << 4u);
}

fn block_sum(b: Block, dots: vec2<i32>, sums: vec2<i32>) -> f32 {
    return b.scale * f32(dots.x + dots.y) - b.minimum * f32(sums.x + sums.y);
}
