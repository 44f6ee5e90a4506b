// Bit i of the word is bit 4 of weight i: what quad j adds to its nibbles.
fn fifth_bits(word: u32, j: u32) -> vec4<u32> {
    return ((vec4<u32>(word >> (4u * j)) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(1u)) << vec4<u32>(4u);
}
