// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q6_K: eight blocks are 12 vectors, the low nibbles of each block and then two words of high bits for each; they share
// five words of scales: 16 signed bytes, one per 16 weights, and an f16.
struct Block {
    bytes: vec4<u32>,
    high: vec2<u32>,
    scale: vec2<f32>,
}

fn load_block(i: u32) -> Block {
    let group = i >> 3u;
    let b = i & 7u;
    let pair_of = b >> 1u;
    let four = quants[group * 12u + 8u + pair_of];
    let word = scales[group * 5u + pair_of] >> ((b & 1u) * 16u);
    let pair = bitcast<vec2<i32>>(vec2<u32>(word) << vec2<u32>(24u, 16u)) >> vec2<u32>(24u);
    let scale = unpack2x16float(scales[group * 5u + 4u]).x;
    return Block(quants[group * 12u + b], select(four.xy, four.zw, (b & 1u) == 1u), scale * vec2<f32>(pair));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    let values = nibble_values(b.bytes, j) + 16.0 * two_bit_floats(b.high, j) - 32.0;
    return select(b.scale.x, b.scale.y, j >= 4u) * values;
}
