// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// IQ1_S: a word per block with the low bits of eleven that choose eight of -1, 0, 1. Eight blocks share five words of scales,
// after a table of 2,048 entries: 16 bits per block with four times the three high bits, three bits of scale, and whether all
// is moved by 1/8 down or up; then the f16 scale.
struct Block {
    codes: u32,
    high: u32,
    scale: f32,
}

fn load_block(i: u32) -> Block {
    let at = 1024u + i / 8u * 5u;
    let high = scales[at + (i & 7u) / 2u] >> ((i & 1u) * 16u);
    let scale = unpack2x16float(scales[at + 4u]).x * f32(2u * ((high >> 12u) & 7u) + 1u);
    return Block(quants[i / 4u][i & 3u], high, scale);
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    let eight = j / 2u;
    let code = ((b.codes >> (eight * 8u)) & 255u) | (((b.high >> (eight * 3u)) & 7u) << 8u);
    let middle = select(0.875, 1.125, (b.high & 0x8000u) != 0u);
    return vec4<f32>(grid_half(grid_entry(code), j)) - middle;
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * block_codes(b, j);
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, 0.0);
}
