// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// IQ2_XXS: two words per block: four bytes that choose eight magnitudes each, and four times seven bits of signs below four
// bits of scale; the f16 scale of eight blocks in a word, after a table of 256 entries.
struct Block {
    codes: u32,
    signs: u32,
    scale: f32,
}

fn load_block(i: u32) -> Block {
    let four = quants[i / 2u];
    let words = select(four.xy, four.zw, (i & 1u) == 1u);
    let d = unpack2x16float(scales[128u + i / 8u]).x;
    return Block(words.x, words.y, d * (0.5 + f32(words.y >> 28u)) * 0.25);
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    let eight = j / 2u;
    let entry = grid_entry((b.codes >> (eight * 8u)) & 255u);
    return signed(iq2_magnitudes(grid_half(entry, j)), even_signs(b.signs >> (eight * 7u), j));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * block_codes(b, j);
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, 0.0);
}
