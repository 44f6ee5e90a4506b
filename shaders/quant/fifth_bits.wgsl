// Bit i of the word is bit 4 of weight i: what quad j adds to its nibbles.
fn fifth_bits(word: u32, j: u32) -> vec4<u32> {
    return (vec4<u32>(word >> (4u * j)) & vec4<u32>(1u, 2u, 4u, 8u)) * vec4<u32>(16u, 8u, 4u, 2u);
}
