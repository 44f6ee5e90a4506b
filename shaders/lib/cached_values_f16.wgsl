// Contract of cached values (see cached_values_f32.wgsl): f16, two to a word, which needs no f16 in the shader.
alias ValuePair = u32;
alias ValueQuad = vec2<u32>;

// What is too large for a half becomes the largest: an infinity times a weight of 0 would be a NaN.
fn pack_value(v: vec2<f32>) -> ValuePair {
    return pack2x16float(clamp(v, vec2<f32>(-65504.0), vec2<f32>(65504.0)));
}

fn unpack_value(q: ValueQuad) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(q.x), unpack2x16float(q.y));
}
