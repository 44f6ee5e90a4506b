// Contract of cached keys (see cached_keys_f32.wgsl): f16, two to a word, which needs no f16 in the shader.
alias KeyPair = u32;
alias KeyQuad = vec2<u32>;

// What is too large for a half becomes the largest: an infinity would make every score of its key a NaN.
fn pack_key(v: vec2<f32>) -> KeyPair {
    return pack2x16float(clamp(v, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
}

fn unpack_key(q: KeyQuad) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(q.x), unpack2x16float(q.y));
}
