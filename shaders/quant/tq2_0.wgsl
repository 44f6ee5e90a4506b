// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// TQ2_0: four vectors for eight blocks: of each half, 32 bytes whose two-bit codes belong to four blocks by turns, numbers
// around 1. The f16 scale of eight blocks in a word.
struct Block {
    first: vec4<u32>,
    second: vec4<u32>,
    shift: u32,
    scale: f32,
}

fn load_block(i: u32) -> Block {
    let first = i / 4u * 2u;
    return Block(quants[first], quants[first + 1u], (i & 3u) * 2u, unpack2x16float(scales[i / 8u]).x);
}

fn load_quarter(i: u32, j: u32) -> Block {
    let first = i / 4u * 2u;
    let scale = unpack2x16float(scales[i / 8u]).x;
    return Block(vec4<u32>(quants[first][j]), vec4<u32>(quants[first + 1u][j]), (i & 3u) * 2u, scale);
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    let word = select(b.first[j & 3u], b.second[j & 3u], j >= 4u) >> b.shift;
    return vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(3u)) - 1.0;
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * block_codes(b, j);
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, 0.0);
}
