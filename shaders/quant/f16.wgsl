// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// F16: four vectors, two values in a word; no scales.
struct Block {
    first: u32,
}

fn load_block(i: u32) -> Block {
    return Block(i * 4u);
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    let four = quants[b.first + j / 2u];
    let words = select(four.xy, four.zw, (j & 1u) == 1u);
    let low = unpack2x16float(words.x);
    let high = unpack2x16float(words.y);
    return vec4<f32>(low, high);
}
