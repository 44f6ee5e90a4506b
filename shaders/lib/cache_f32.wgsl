// Cache contract: how keys and values lie in the cache. Here as f32.
alias CachePair = vec2<f32>;
alias CacheQuad = vec4<f32>;

fn pack_pair(v: vec2<f32>) -> CachePair {
    return v;
}

fn unpack_quad(q: CacheQuad) -> vec4<f32> {
    return q;
}
