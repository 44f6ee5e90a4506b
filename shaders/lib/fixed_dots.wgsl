// Products of a block's codes and activations in fixed point (see kernels/fixed_point.wgsl), four at once and exact.

// Σ code · v over quads j and j + 4 of a block: those of the first 16 weights and of the last. `v` is vector j of x's block.
fn quad_dots(b: Block, j: u32, v: vec4<u32>) -> vec2<i32> {
    let first = block_word(b, j);
    let last = block_word(b, j + 4u);
    let high = vec2<i32>(dot4I8Packed(first, v.x), dot4I8Packed(last, v.y));
    return 256 * high + vec2<i32>(dot4I8Packed(first, v.z), dot4I8Packed(last, v.w));
}

// The same over a whole block.
fn block_dots(b: Block, v0: vec4<u32>, v1: vec4<u32>, v2: vec4<u32>, v3: vec4<u32>) -> vec2<i32> {
    return quad_dots(b, 0u, v0) + quad_dots(b, 1u, v1) + quad_dots(b, 2u, v2) + quad_dots(b, 3u, v3);
}
