// The second contract of weight formats, see lib/nibbles_convert.wgsl.
fn block_codes(b: Block, j: u32) -> vec4<f32> {
    return e2m1_codes(b.bytes, j);
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale * E2M1_SCALE, 0.0);
}
