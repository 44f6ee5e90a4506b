// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q2_K: half a vector of two-bit codes; eight blocks share five words of scales: 16 bytes, one per 16 weights, with the
// scale in the low nibble and the minimum in the high one, then f16 scale and minimum of all.
struct Block {
    codes: vec2<u32>,
    scale: vec2<f32>,
    minimum: vec2<f32>,
}

fn load_block(i: u32) -> Block {
    let at = i / 8u * 5u;
    let four = quants[i / 2u];
    let super_scale = unpack2x16float(scales[at + 4u]);
    let bytes = vec2<u32>(scales[at + (i & 7u) / 2u] >> ((i & 1u) * 16u)) >> vec2<u32>(0u, 8u);
    let scale = super_scale.x * vec2<f32>(bytes & vec2<u32>(15u));
    let minimum = super_scale.y * vec2<f32>((bytes >> vec2<u32>(4u)) & vec2<u32>(15u));
    return Block(select(four.xy, four.zw, (i & 1u) == 1u), scale, minimum);
}

fn load_quarter(i: u32, j: u32) -> Block {
    let b = load_block(i);
    return Block(b.codes >> vec2<u32>(8u * j), b.scale, b.minimum);
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    let late = j >= 4u;
    return select(b.scale.x, b.scale.y, late) * vec4<f32>(two_bits(b.codes, j)) - select(b.minimum.x, b.minimum.y, late);
}
