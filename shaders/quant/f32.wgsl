// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// F32: eight vectors of plain values; no scales.
struct Block {
    first: u32,
}

fn load_block(i: u32) -> Block {
    return Block(i * 8u);
}

fn load_quarter(i: u32, j: u32) -> Block {
    return Block(i * 8u + j);
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(quants[b.first + j]);
}
