// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// IQ3_XXS: six vectors for eight blocks: two words per block whose bytes choose four magnitudes each, then a word per block:
// four times seven bits of signs below four bits of scale. The f16 scale of eight blocks in a word, after a table of 256
// entries.
struct Block {
    codes: vec2<u32>,
    signs: u32,
    scale: f32,
}

fn load_block(i: u32) -> Block {
    let first = i / 8u * 6u;
    let four = quants[first + (i & 7u) / 2u];
    let signs = quants[first + 4u + (i & 7u) / 4u][i & 3u];
    let d = unpack2x16float(scales[128u + i / 8u]).x;
    return Block(select(four.xy, four.zw, (i & 1u) == 1u), signs, d * (0.5 + f32(signs >> 28u)) * 0.5);
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    let code = (select(b.codes.x, b.codes.y, j >= 4u) >> ((j & 3u) * 8u)) & 255u;
    let places = grid_four(grid_entry(code));
    // 4, 12, 20 to 52, and 62.
    let last = ((places + vec4<u32>(1u)) >> vec4<u32>(3u)) << vec4<u32>(1u);
    let magnitudes = vec4<u32>(4u) + vec4<u32>(8u) * places + last;
    return signed(magnitudes, even_signs(b.signs >> (j / 2u * 7u), j));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * block_codes(b, j);
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, 0.0);
}
