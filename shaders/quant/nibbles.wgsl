// The nibbles of quad j: the low halves of the 16 bytes are weights 0 to 15, the high halves 16 to 31.
fn nibbles(bytes: vec4<u32>, j: u32) -> vec4<u32> {
    let word = bytes[j & 3u] >> select(0u, 4u, j >= 4u);
    return (vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u);
}

// The same as floats. A nibble is converted where it stands, and its place taken out by a factor.
fn nibble_values(bytes: vec4<u32>, j: u32) -> vec4<f32> {
    let word = bytes[j & 3u] >> select(0u, 4u, j >= 4u);
    let places = vec4<u32>(word) & vec4<u32>(0xfu, 0xf00u, 0xf0000u, 0xf000000u);
    return vec4<f32>(vec4<i32>(places)) * vec4<f32>(1.0, 0x1p-8, 0x1p-16, 0x1p-24);
}

// The same for a j that is known when the text is compiled, without a shift: SwiftShader shifts a vector one lane at a time. Only the
// highest nibble reaches a word's sign.
fn nibble_floats(bytes: vec4<u32>, j: u32) -> vec4<f32> {
    let word = bytes[j & 3u];
    if j < 4u {
        let places = vec4<u32>(word) & vec4<u32>(0xfu, 0xf00u, 0xf0000u, 0xf000000u);
        return vec4<f32>(vec4<i32>(places)) * vec4<f32>(1.0, 0x1p-8, 0x1p-16, 0x1p-24);
    }
    let places = vec3<u32>(word) & vec3<u32>(0xf0u, 0xf000u, 0xf00000u);
    let floats = vec4<f32>(vec3<f32>(vec3<i32>(places)), f32(word & 0xf0000000u));
    return floats * vec4<f32>(0x1p-4, 0x1p-12, 0x1p-20, 0x1p-28);
}
