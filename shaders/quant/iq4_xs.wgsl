// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// IQ4_XS: one vector of nibbles per block that choose from an uneven table; eight blocks share two words of scales: the f16
// scale of all and the two high bits of each block's scale, then their low four bits. They are around 32.
struct Block {
    bytes: vec4<u32>,
    scale: f32,
}

fn scale_of(i: u32) -> f32 {
    let at = i / 8u * 2u;
    let j = i & 7u;
    let head = scales[at];
    let stored = ((scales[at + 1u] >> (j * 4u)) & 15u) | (((head >> (16u + j * 2u)) & 3u) << 4u);
    return unpack2x16float(head).x * (f32(stored) - 32.0);
}

fn load_block(i: u32) -> Block {
    return Block(quants[i], scale_of(i));
}

fn load_quarter(i: u32, j: u32) -> Block {
    return Block(vec4<u32>(quants[i][j]), scale_of(i));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * uneven(nibbles(b.bytes, j));
}

fn block_codes(b: Block, j: u32) -> vec4<f32> {
    return uneven(nibbles(b.bytes, j));
}

fn block_affine(b: Block) -> vec2<f32> {
    return vec2<f32>(b.scale, 0.0);
}
