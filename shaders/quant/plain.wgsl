// The second contract of weight formats (see block_codes in nibbles_convert.wgsl), for those whose blocks have no one scale:
// the codes are the weights.
fn block_codes(b: Block, j: u32) -> vec4<f32> {
    return block_quad(b, j);
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(1.0, 0.0);
}
