// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// IQ1_M: a word per block with the low bits of eleven that choose eight of -1, 0, 1. Eight blocks share six words of scales,
// after a table of 2,048 entries: per block four times the three high bits and whether the eight are moved by 1/8 down or
// up; then four times 16 bits: four scales of three bits, one per 16 weights, and above them four bits of the f16 scale.
struct Block {
    codes: u32,
    high: u32,
    scale: vec2<f32>,
}

fn load_block(i: u32) -> Block {
    let at = 1024u + i / 8u * 6u;
    let high = scales[at + (i & 7u) / 2u] >> ((i & 1u) * 16u);
    let x = scales[at + 4u];
    let y = scales[at + 5u];
    let bits = ((x >> 12u) & 0xfu) | ((x >> 24u) & 0xf0u) | ((y >> 4u) & 0xf00u) | ((y >> 16u) & 0xf000u);
    let stored = select(x, y, (i & 4u) != 0u) >> ((i & 2u) * 8u + (i & 1u) * 6u);
    let odd = vec2<u32>(2u) * ((vec2<u32>(stored) >> vec2<u32>(0u, 3u)) & vec2<u32>(7u)) + vec2<u32>(1u);
    return Block(quants[i / 4u][i & 3u], high, unpack2x16float(bits).x * vec2<f32>(odd));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    let eight = j / 2u;
    let high = b.high >> (eight * 4u);
    let code = ((b.codes >> (eight * 8u)) & 255u) | ((high & 7u) << 8u);
    let middle = select(0.875, 1.125, (high & 8u) != 0u);
    return select(b.scale.x, b.scale.y, j >= 4u) * (vec4<f32>(grid_half(grid_entry(code), j)) - middle);
}
