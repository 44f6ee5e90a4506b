// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// IQ3_S: six vectors for eight blocks: two words per block with the low bits of nine that choose four magnitudes, then a word
// per block of signs. Eight blocks share four words of scales, after a table of 512 entries: 8 bytes of ninth bits, a scale of
// four bits per block, and the f16 scale.
struct Block {
    codes: vec2<u32>,
    high: u32,
    signs: u32,
    scale: f32,
}

fn load_block(i: u32) -> Block {
    let first = i / 8u * 6u;
    let four = quants[first + (i & 7u) / 2u];
    let at = 256u + i / 8u * 4u;
    let high = scales[at + (i & 7u) / 4u] >> ((i & 3u) * 8u);
    let stored = (scales[at + 2u] >> ((i & 7u) * 4u)) & 15u;
    let scale = unpack2x16float(scales[at + 3u]).x * f32(1u + 2u * stored);
    return Block(select(four.xy, four.zw, (i & 1u) == 1u), high, quants[first + 4u + (i & 7u) / 4u][i & 3u], scale);
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    let low = (select(b.codes.x, b.codes.y, j >= 4u) >> ((j & 3u) * 8u)) & 255u;
    let entry = grid_entry(low | (((b.high >> j) & 1u) << 8u));
    return signed(vec4<u32>(1u) + vec4<u32>(2u) * grid_four(entry), b.signs >> (j * 4u));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * block_codes(b, j);
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, 0.0);
}
