// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// MXFP4: one vector of E2M1 nibbles, one power-of-two scale byte, which scales the doubled values 0 to 12.
struct Block {
    bytes: vec4<u32>,
    scale: f32,
}

// 2^(e - 128), the scale of the doubled values; denormal below e = 2, where adapters may flush it to zero.
fn half_power(e: u32) -> f32 {
    return bitcast<f32>(select((e - 1u) << 23u, 0x00200000u << e, e < 2u));
}

fn scale_of(i: u32) -> f32 {
    return half_power((scales[i >> 2u] >> ((i & 3u) * 8u)) & 0xffu);
}

fn load_block(i: u32) -> Block {
    return Block(quants[i], scale_of(i));
}

fn load_quarter(i: u32, j: u32) -> Block {
    return Block(vec4<u32>(quants[i][j]), scale_of(i));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * doubled(nibbles(b.bytes, j));
}
