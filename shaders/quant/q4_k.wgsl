// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q4_K: one vector of nibbles per block; eight blocks share four words of scales.
struct Block {
    bytes: vec4<u32>,
    scale: f32,
    minimum: f32,
}

fn load_block(i: u32) -> Block {
    let pair = scale_and_minimum((i >> 3u) * 4u, i & 7u);
    return Block(quants[i], pair.x, pair.y);
}

fn load_quarter(i: u32, j: u32) -> Block {
    let pair = scale_and_minimum((i >> 3u) * 4u, i & 7u);
    return Block(vec4<u32>(quants[i][j]), pair.x, pair.y);
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * nibble_values(b.bytes, j) - b.minimum;
}
