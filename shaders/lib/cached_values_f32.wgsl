// Contract of cached values: how they lie in the cache, by pairs to write and by fours to read. Here as f32.
alias ValuePair = vec2<f32>;
alias ValueQuad = vec4<f32>;

fn pack_value(v: vec2<f32>) -> ValuePair {
    return v;
}

fn unpack_value(q: ValueQuad) -> vec4<f32> {
    return q;
}
