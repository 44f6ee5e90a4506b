// Weight-format contract: 32 weights of a row are a Block; `load_block(i)` reads block i of the matrix from the planes
// `quants` and `scales`, and `block_quad(b, j)` gives its weights 4j to 4j+3.
// Q4_K: one vector of nibbles per block; eight blocks share four words of scales: f16 scale and minimum, then
// 6-bit scales and minima in 12 bytes (low 4 bits of the last four stand in bytes 8 to 11, their high bits above the first).
struct Block {
    bytes: vec4<u32>,
    scale: f32,
    minimum: f32,
}

fn load_block(i: u32) -> Block {
    let at = i / 8u * 4u;
    let super_scale = unpack2x16float(scales[at]);
    let k = (i & 3u) * 8u;
    let first = scales[at + 1u] >> k;
    let second = scales[at + 2u] >> k;
    let third = scales[at + 3u] >> k;
    let late = (i & 4u) != 0u;
    let scale = select(first & 63u, (third & 15u) | ((first >> 2u) & 48u), late);
    let minimum = select(second & 63u, ((third >> 4u) & 15u) | ((second >> 2u) & 48u), late);
    return Block(quants[i], super_scale.x * f32(scale), super_scale.y * f32(minimum));
}

fn block_quad(b: Block, j: u32) -> vec4<f32> {
    return b.scale * vec4<f32>(nibbles(b.bytes, j)) - b.minimum;
}
