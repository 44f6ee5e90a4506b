// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q4_1: one vector of nibbles; a word with f16 scale and minimum.
fn load_block(i: u32) -> Block {
    let pair = unpack2x16float(scales[i]);
    return Block(quants[i], pair.x, pair.y);
}

fn load_quarter(i: u32, j: u32) -> Block {
    let pair = unpack2x16float(scales[i]);
    return Block(vec4<u32>(quants[i][j]), pair.x, pair.y);
}
