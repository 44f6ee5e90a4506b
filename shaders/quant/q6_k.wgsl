// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q6_K: eight blocks are 12 vectors, the low nibbles of each block and then two words of high bits for each; they share
// five words of scales: 16 signed bytes, one per 16 weights, and an f16.
struct Block {
    bytes: vec4<u32>,
    high: vec2<u32>,
    scale: vec2<f32>,
}

fn scales_of(i: u32) -> vec2<f32> {
    let group = i >> 3u;
    let at = (group << 2u) + group;
    let word = scales[at + ((i & 7u) >> 1u)] >> ((i & 1u) * 16u);
    let pair = bitcast<vec2<i32>>(vec2<u32>(word) << vec2<u32>(24u, 16u)) >> vec2<u32>(24u);
    return unpack2x16float(scales[at + 4u]).x * vec2<f32>(pair);
}

// 12 times a group: multiplications of 32 bits are slow on AMD's GPUs.
fn first_of(group: u32) -> u32 {
    return (group << 3u) + (group << 2u);
}

fn load_block(i: u32) -> Block {
    let first = first_of(i >> 3u);
    let b = i & 7u;
    let four = quants[first + 8u + (b >> 1u)];
    return Block(quants[first + b], select(four.xy, four.zw, (b & 1u) == 1u), scales_of(i));
}

fn load_quarter(i: u32, j: u32) -> Block {
    let first = first_of(i >> 3u);
    let b = i & 7u;
    let four = quants[first + 8u + (b >> 1u)];
    let high = select(four.xy, four.zw, (b & 1u) == 1u) >> vec2<u32>(8u * j);
    return Block(vec4<u32>(quants[first + b][j]), high, scales_of(i));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    let values = nibble_values(b.bytes, j) + 16.0 * two_bit_floats(b.high, j) - 32.0;
    return select(b.scale.x, b.scale.y, j >= 4u) * values;
}
