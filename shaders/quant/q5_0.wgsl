// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q5_0: one vector of nibbles, the low bits of numbers around 16; two blocks share three words: their f16 scales, and for
// each a word of fifth bits.
struct Block {
    bytes: vec4<u32>,
    high: u32,
    scale: f32,
}

fn load_block(i: u32) -> Block {
    let at = (i >> 1u) * 3u;
    let odd = i & 1u;
    let pair = unpack2x16float(scales[at]);
    return Block(quants[i], scales[at + 1u + odd], select(pair.x, pair.y, odd == 1u));
}

fn load_quarter(i: u32, j: u32) -> Block {
    let at = (i >> 1u) * 3u;
    let odd = i & 1u;
    let pair = unpack2x16float(scales[at]);
    return Block(vec4<u32>(quants[i][j]), scales[at + 1u + odd] >> (4u * j), select(pair.x, pair.y, odd == 1u));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * ((nibble_values(b.bytes, j) + vec4<f32>(vec4<i32>(fifth_bits(b.high, j)))) - 16.0);
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    return nibble_floats(b.bytes, j) + vec4<f32>(vec4<i32>(fifth_bits(b.high, j)));
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, -16.0 * b.scale);
}
