// The two-bit codes of quad j: those of weights 0 to 15 are in the first word, of 16 to 31 in the second.
fn two_bits(words: vec2<u32>, j: u32) -> vec4<u32> {
    let word = select(words.x, words.y, j >= 4u) >> ((j & 3u) * 8u);
    return (vec4<u32>(word) >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u);
}

// The same as floats, see nibble_floats.
fn two_bit_floats(words: vec2<u32>, j: u32) -> vec4<f32> {
    let word = select(words.x, words.y, j >= 4u) >> ((j & 3u) * 8u);
    return vec4<f32>(vec4<i32>(vec4<u32>(word) & vec4<u32>(3u, 12u, 48u, 192u))) * vec4<f32>(1.0, 0x1p-2, 0x1p-4, 0x1p-6);
}
