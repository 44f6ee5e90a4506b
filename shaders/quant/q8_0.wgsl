// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q8_0: two vectors of signed bytes, one f16 scale.
struct Block {
    first: vec4<u32>,
    second: vec4<u32>,
    scale: f32,
}

fn load_block(i: u32) -> Block {
    let pair = unpack2x16float(scales[i / 2u]);
    return Block(quants[i * 2u], quants[i * 2u + 1u], select(pair.x, pair.y, (i & 1u) == 1u));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    let word = select(b.first[j & 3u], b.second[j & 3u], j >= 4u);
    let bytes = bitcast<vec4<i32>>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
    return b.scale * vec4<f32>(bytes);
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    let word = select(b.first[j & 3u], b.second[j & 3u], j >= 4u);
    let bytes = bitcast<vec4<i32>>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
    return vec4<f32>(bytes);
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, 0.0);
}
