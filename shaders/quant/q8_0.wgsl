// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q8_0: two vectors of signed bytes, one f16 scale.
struct Block {
    first: vec4<u32>,
    second: vec4<u32>,
    scale: f32,
}

fn scale_of(i: u32) -> f32 {
    let pair = unpack2x16float(scales[i >> 1u]);
    return select(pair.x, pair.y, (i & 1u) == 1u);
}

fn load_block(i: u32) -> Block {
    return Block(quants[i * 2u], quants[i * 2u + 1u], scale_of(i));
}

fn load_quarter(i: u32, j: u32) -> Block {
    return Block(vec4<u32>(quants[i * 2u][j]), vec4<u32>(quants[i * 2u + 1u][j]), scale_of(i));
}

// The bytes of quad j, each as the highest of a word: by multiplication, since SwiftShader shifts one lane at a time.
fn high_bytes(b: Block, j: u32) -> vec4<i32> {
    let word = select(b.first[j & 3u], b.second[j & 3u], j >= 4u);
    let moved = vec4<u32>(word) * vec4<u32>(0x1000000u, 0x10000u, 0x100u, 1u);
    return bitcast<vec4<i32>>(moved & vec4<u32>(0xff000000u));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * 0x1p-24 * vec4<f32>(high_bytes(b, j));
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    return vec4<f32>(high_bytes(b, j));
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(0x1p-24 * b.scale, 0.0);
}
