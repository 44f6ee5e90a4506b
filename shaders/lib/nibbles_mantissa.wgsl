// As nibbles_convert.wgsl, without a conversion: a nibble n in the mantissa of 1.0 makes the float 1 + n / 16.
fn nibble_codes(bytes: vec4<u32>, j: u32) -> vec4<f32> {
    let word = bytes[j & 3u] >> select(0u, 4u, j >= 4u);
    let mantissas = vec4<u32>(word << 19u, word << 11u, word << 3u, word >> 5u) & vec4<u32>(0x00780000u);
    return bitcast<vec4<f32>>(mantissas | vec4<u32>(0x3f800000u));
}

fn nibble_affine(scale: f32, offset: f32) -> vec2<f32> {
    return vec2<f32>(16.0 * scale, offset - 16.0 * scale);
}
