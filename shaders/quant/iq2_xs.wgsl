// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// IQ2_XS: two words per block, four times nine bits that choose eight magnitudes and seven of signs; eight blocks share
// three words of scales, after a table of 512 entries: 8 bytes with a scale of four bits per 16 weights, and the f16 scale.
struct Block {
    codes: vec2<u32>,
    scale: vec2<f32>,
}

fn load_block(i: u32) -> Block {
    let four = quants[i / 2u];
    let at = 256u + i / 8u * 3u;
    let pair = scales[at + (i & 7u) / 4u] >> ((i & 3u) * 8u);
    let d = unpack2x16float(scales[at + 2u]).x;
    return Block(select(four.xy, four.zw, (i & 1u) == 1u), iq2_scales(d, pair));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    let code = select(b.codes.x, b.codes.y, j >= 4u) >> ((j & 2u) * 8u);
    let magnitudes = iq2_magnitudes(grid_half(grid_entry(code & 511u), j));
    return select(b.scale.x, b.scale.y, j >= 4u) * signed(magnitudes, even_signs(code >> 9u, j));
}
