// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// FP8_F32: two vectors of E4M3 bytes, one F32 scale.
struct Block {
    first: vec4<u32>,
    second: vec4<u32>,
    scale: f32,
}

fn load_block(i: u32) -> Block {
    return Block(quants[i * 2u], quants[i * 2u + 1u], E4M3_SCALE * bitcast<f32>(scales[i]));
}

fn load_quarter(i: u32, j: u32) -> Block {
    let scale = E4M3_SCALE * bitcast<f32>(scales[i]);
    return Block(vec4<u32>(quants[i * 2u][j]), vec4<u32>(quants[i * 2u + 1u][j]), scale);
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
