// The third contract of weight formats, see words.wgsl.
fn block_word(b: Block, j: u32) -> u32 {
    return two_bit_word(b.codes, j);
}

fn block_sum(b: Block, dots: vec2<i32>, sums: vec2<i32>) -> f32 {
    return dot(b.scale, vec2<f32>(dots)) - dot(b.minimum, vec2<f32>(sums));
}
