// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q3_K: half a vector of two-bit codes, the low bits of numbers around 4; eight blocks share 12 words of scales: 12 bytes
// with 16 scales of 6 bits around 32, one per 16 weights (low 4 bits in bytes 0 to 7, those of the last eight above, high
// bits in bytes 8 to 11), the f16 scale of all, and for each block a word of third bits.
struct Block {
    codes: vec2<u32>,
    high: u32,
    scale: vec2<f32>,
}

fn load_block(i: u32) -> Block {
    let at = i / 8u * 12u;
    let j = i & 7u;
    let side = (j & 1u) * 16u;
    let four = quants[i / 2u];
    let low = scales[at + (j & 3u) / 2u] >> (side + j / 4u * 4u);
    let high = scales[at + 2u] >> (side + j / 2u * 2u);
    let bytes = vec2<u32>(0u, 8u);
    let stored = ((vec2<u32>(low) >> bytes) & vec2<u32>(15u)) | (((vec2<u32>(high) >> bytes) & vec2<u32>(3u)) << vec2<u32>(4u));
    let scale = unpack2x16float(scales[at + 3u]).x * (vec2<f32>(stored) - 32.0);
    return Block(select(four.xy, four.zw, (i & 1u) == 1u), scales[at + 4u + j], scale);
}

fn load_quarter(i: u32, j: u32) -> Block {
    let b = load_block(i);
    return Block(b.codes >> vec2<u32>(8u * j), b.high >> (4u * j), b.scale);
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    // The third bit weighs 4, a quarter of a fifth one.
    let high = fifth_bits(b.high, j) >> vec4<u32>(2u);
    return select(b.scale.x, b.scale.y, j >= 4u) * (vec4<f32>(two_bits(b.codes, j) | high) - 4.0);
}
