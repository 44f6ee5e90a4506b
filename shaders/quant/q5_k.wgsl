// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q5_K: one vector of nibbles per block, the low bits; eight blocks share 12 words of scales: as Q4_K, then for each block a
// word of fifth bits.
struct Block {
    bytes: vec4<u32>,
    high: u32,
    scale: f32,
    minimum: f32,
}

fn load_block(i: u32) -> Block {
    let at = (i >> 3u) * 12u;
    let pair = scale_and_minimum(at, i & 7u);
    return Block(quants[i], scales[at + 4u + (i & 7u)], pair.x, pair.y);
}

fn load_quarter(i: u32, j: u32) -> Block {
    let at = (i >> 3u) * 12u;
    let pair = scale_and_minimum(at, i & 7u);
    return Block(vec4<u32>(quants[i][j]), scales[at + 4u + (i & 7u)] >> (4u * j), pair.x, pair.y);
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * (nibble_values(b.bytes, j) + vec4<f32>(vec4<i32>(fifth_bits(b.high, j)))) - b.minimum;
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    return nibble_floats(b.bytes, j) + vec4<f32>(vec4<i32>(fifth_bits(b.high, j)));
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, -b.minimum);
}
