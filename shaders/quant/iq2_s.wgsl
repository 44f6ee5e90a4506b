// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// IQ2_S: four vectors for eight blocks: a word per block with the low bits of ten that choose eight magnitudes, then a word
// per block of signs. Eight blocks share five words of scales, after a table of 1,024 entries: 8 bytes with the high bits, 8
// bytes with a scale of four bits per 16 weights, and the f16 scale.
struct Block {
    codes: u32,
    high: u32,
    signs: u32,
    scale: vec2<f32>,
}

fn load_block(i: u32) -> Block {
    let first = i / 8u * 4u + (i & 7u) / 4u;
    let at = 512u + i / 8u * 5u;
    let byte = (i & 3u) * 8u;
    let high = scales[at + (i & 7u) / 4u] >> byte;
    let pair = scales[at + 2u + (i & 7u) / 4u] >> byte;
    let d = unpack2x16float(scales[at + 4u]).x;
    return Block(quants[first][i & 3u], high, quants[first + 2u][i & 3u], iq2_scales(d, pair));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    let eight = j / 2u;
    let code = ((b.codes >> (eight * 8u)) & 255u) | (((b.high >> (eight * 2u)) & 3u) << 8u);
    let magnitudes = iq2_magnitudes(grid_half(grid_entry(code), j));
    return select(b.scale.x, b.scale.y, j >= 4u) * signed(magnitudes, b.signs >> (j * 4u));
}
