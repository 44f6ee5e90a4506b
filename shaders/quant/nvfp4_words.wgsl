// The third contract of weight formats, see words.wgsl.
fn block_word(b: Block, j: u32) -> u32 {
    return e2m1_word(nibble_word(b.bytes, j));
}

fn block_sum(b: Block, dots: vec2<i32>, sums: vec2<i32>) -> f32 {
    return dot(b.scale, vec2<f32>(dots - 12 * sums));
}
