// The second contract of weight formats: `block_codes(b, j)` gives codes 4j to 4j+3 of a block and `block_affine(b)` a scale
// and an offset, so that a weight is scale · code + offset and Σ w·x = scale · Σ code·x + offset · Σ x.
// Here the codes of nibbles are their values.
fn nibble_codes(bytes: vec4<u32>, j: u32) -> vec4<f32> {
    return nibble_floats(bytes, j);
}

fn nibble_affine(scale: f32, offset: f32) -> vec2<f32> {
    return vec2<f32>(scale, offset);
}
