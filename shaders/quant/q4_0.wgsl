// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q4_0: one vector of nibbles around 8, one f16 scale.
struct Block {
    bytes: vec4<u32>,
    scale: f32,
}

fn scale_of(i: u32) -> f32 {
    let pair = unpack2x16float(scales[i >> 1u]);
    return select(pair.x, pair.y, (i & 1u) == 1u);
}

fn load_block(i: u32) -> Block {
    return Block(quants[i], scale_of(i));
}

fn load_quarter(i: u32, j: u32) -> Block {
    return Block(vec4<u32>(quants[i][j]), scale_of(i));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * (nibble_values(b.bytes, j) - 8.0);
}
