// The second contract of weight formats, see lib/nibbles_convert.wgsl. A block has two scales, so they come in with the codes.
fn block_codes(b: Block, j: u32) -> vec4<f32> {
    return select(b.scale.x, b.scale.y, j >= 4u) * e2m1_codes(b.bytes, j);
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(E2M1_SCALE, 0.0);
}
