// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// NVFP4: one vector of E2M1 nibbles, one E4M3 scale byte per 16 weights, four to a word.
struct Block {
    bytes: vec4<u32>,
    scale: vec2<f32>,
}

fn scales_of(i: u32) -> vec2<f32> {
    let pair = vec2<u32>(scales[i / 2u] >> ((i & 1u) * 16u));
    return half_scales((pair >> vec2<u32>(0u, 8u)) & vec2<u32>(255u));
}

fn load_block(i: u32) -> Block {
    return Block(quants[i], scales_of(i));
}

fn load_quarter(i: u32, j: u32) -> Block {
    return Block(vec4<u32>(quants[i][j]), scales_of(i));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return select(b.scale.x, b.scale.y, j >= 4u) * doubled(nibbles(b.bytes, j));
}
