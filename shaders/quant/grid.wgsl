// The table that codes choose from begins the scales plane, two entries of 16 bits to a word: eight places of two bits in a
// short list of numbers, or four of four bits.
fn grid_entry(index: u32) -> u32 {
    return (scales[index / 2u] >> ((index & 1u) * 16u)) & 0xffffu;
}

// The places of quad j in an entry of eight.
fn grid_half(entry: u32, j: u32) -> vec4<u32> {
    return (vec4<u32>(entry >> ((j & 1u) * 8u)) >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u);
}

// The places in an entry of four.
fn grid_four(entry: u32) -> vec4<u32> {
    return (vec4<u32>(entry) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
}

// The signs of quad j in the lowest four bits, of the eight signs that seven bits stand for: minus signs are even in number.
fn even_signs(seven: u32, j: u32) -> u32 {
    let kept = seven & 127u;
    return (kept | ((countOneBits(kept) & 1u) << 7u)) >> ((j & 1u) * 4u);
}

fn signed(magnitudes: vec4<u32>, signs: u32) -> vec4<f32> {
    let minus = ((vec4<u32>(signs) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) == vec4<u32>(1u);
    return select(vec4<f32>(magnitudes), -vec4<f32>(magnitudes), minus);
}
