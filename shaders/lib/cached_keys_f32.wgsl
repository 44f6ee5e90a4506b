// Contract of cached keys: how they lie in the cache, by pairs to write and by fours to read. Here as f32.
alias KeyPair = vec2<f32>;
alias KeyQuad = vec4<f32>;

fn pack_key(v: vec2<f32>) -> KeyPair {
    return v;
}

fn unpack_key(q: KeyQuad) -> vec4<f32> {
    return q;
}
