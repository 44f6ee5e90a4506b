// The second contract of weight formats, see lib/nibbles_convert.wgsl.
fn block_codes(b: Block, j: u32) -> vec4<f32> {
    return nibble_codes(b.bytes, j);
}

fn block_affine(b: Block) -> vec2<f32> {
    return nibble_affine(b.scale, b.minimum);
}
