// Cache contract (see cache_f32.wgsl): halves, two to a word, which needs no f16 in the shader.
alias CachePair = u32;
alias CacheQuad = vec2<u32>;

// What is too large for a half becomes the largest: an infinity would make every score of its key a NaN.
fn pack_pair(v: vec2<f32>) -> CachePair {
    return pack2x16float(clamp(v, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
}

fn unpack_quad(q: CacheQuad) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(q.x), unpack2x16float(q.y));
}
