// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q5_1: one vector of nibbles, the low bits; a word with f16 scale and minimum, and one of fifth bits.
struct Block {
    bytes: vec4<u32>,
    high: u32,
    scale: f32,
    minimum: f32,
}

fn load_block(i: u32) -> Block {
    let pair = unpack2x16float(scales[i * 2u]);
    return Block(quants[i], scales[i * 2u + 1u], pair.x, pair.y);
}

fn load_quarter(i: u32, j: u32) -> Block {
    let pair = unpack2x16float(scales[i * 2u]);
    return Block(vec4<u32>(quants[i][j]), scales[i * 2u + 1u] >> (4u * j), pair.x, pair.y);
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * vec4<f32>(nibbles(b.bytes, j) | fifth_bits(b.high, j)) + b.minimum;
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    return vec4<f32>(nibbles(b.bytes, j) | fifth_bits(b.high, j));
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, b.minimum);
}
