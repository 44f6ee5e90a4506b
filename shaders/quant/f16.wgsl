// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// F16: four vectors, two values in a word; no scales.
struct Block {
    quad: u32, // the first one's number
}

fn load_block(i: u32) -> Block {
    return Block(i * 8u);
}

fn load_quarter(i: u32, j: u32) -> Block {
    return Block(i * 8u + j);
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    let quad = b.quad + j;
    let four = quants[quad / 2u];
    let words = select(four.xy, four.zw, (quad & 1u) == 1u);
    let low = unpack2x16float(words.x);
    let high = unpack2x16float(words.y);
    return vec4<f32>(low, high);
}
