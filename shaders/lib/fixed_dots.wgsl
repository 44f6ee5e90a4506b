// Products of a block's codes and activations in fixed point (see kernels/fixed_point.wgsl), four at once and exact. Who uses it has
// the activations, `fixed_at(at)` being vector `at` of them.
const FIXED_QUADS: u32 = (2u * PLANES) + 1u;

// What quads j and j + 4 of the block from `at` on are multiplied with: high bytes of both, then low ones where there are any.
fn fixed_quads(at: u32, j: u32) -> vec4<u32> {
    if PLANES == 2u {
        return fixed_at(at + j);
    }
    let two = fixed_at(at + (j >> 1u));
    return vec4<u32>(select(two.xy, two.zw, (j & 1u) == 1u), 0u, 0u);
}

// A block's unit, and the sums of its values over the first 16 and the last 16.
fn fixed_head(at: u32) -> vec4<u32> {
    return fixed_at(at + (2u * PLANES));
}

// Σ code · v over quads j and j + 4 of a block: those of the first 16 weights and of the last. `v` is of `fixed_quads`.
fn quad_dots(b: Block, j: u32, v: vec4<u32>) -> vec2<i32> {
    let first = block_word(b, j);
    let last = block_word(b, j + 4u);
    let high = vec2<i32>(dot4I8Packed(first, v.x), dot4I8Packed(last, v.y));
    if PLANES == 1u {
        return high;
    }
    return 256 * high + vec2<i32>(dot4I8Packed(first, v.z), dot4I8Packed(last, v.w));
}

// The same over a whole block.
fn block_dots(b: Block, v0: vec4<u32>, v1: vec4<u32>, v2: vec4<u32>, v3: vec4<u32>) -> vec2<i32> {
    return quad_dots(b, 0u, v0) + quad_dots(b, 1u, v1) + quad_dots(b, 2u, v2) + quad_dots(b, 3u, v3);
}
