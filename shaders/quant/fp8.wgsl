// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// FP8: two vectors of E4M3 bytes, one power-of-two scale byte, four to a word.
struct Block {
    first: vec4<u32>,
    second: vec4<u32>,
    scale: f32,
}

// 2^(e - 127), times what codes are over: infinite from e = 247 on. What is denormal without that (e = 0) may be flushed to zero by adapters.
fn scale_of(i: u32) -> f32 {
    let e = (scales[i / 4u] >> ((i & 3u) * 8u)) & 255u;
    return E4M3_SCALE * bitcast<f32>(select(e << 23u, 0x00400000u, e == 0u));
}

fn load_block(i: u32) -> Block {
    return Block(quants[i * 2u], quants[i * 2u + 1u], scale_of(i));
}

fn load_quarter(i: u32, j: u32) -> Block {
    return Block(vec4<u32>(quants[i * 2u][j]), vec4<u32>(quants[i * 2u + 1u][j]), scale_of(i));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * e4m3(select(b.first[j & 3u], b.second[j & 3u], j >= 4u));
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    return e4m3(select(b.first[j & 3u], b.second[j & 3u], j >= 4u));
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, 0.0);
}
