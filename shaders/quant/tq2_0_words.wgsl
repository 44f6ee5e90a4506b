// The third contract of weight formats, see words.wgsl.
fn block_word(b: Block, j: u32) -> u32 {
    return (select(b.first[j & 3u], b.second[j & 3u], j >= 4u) >> b.shift) & 0x03030303u;
}

fn block_sum(b: Block, dots: vec2<i32>, sums: vec2<i32>) -> f32 {
    return b.scale * f32(dots.x + dots.y - sums.x - sums.y);
}
