// The nibbles of quad j: the low halves of the 16 bytes are weights 0 to 15, the high halves 16 to 31.
fn nibbles(bytes: vec4<u32>, j: u32) -> vec4<u32> {
    let word = bytes[j & 3u] >> select(0u, 4u, j >= 4u);
    return (vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u);
}
