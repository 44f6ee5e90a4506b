// Vector j of what a mixing matrix made of a token's streams, its n_parts parts added up: [n_tokens, n_parts, MIX_QUADS] (see
// hyper_mix.wgsl). The kernel defines MIX_QUADS and binds mix as vectors of 4.
fn mix_part_sum(token: u32, j: u32, n_parts: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var part = 0u; part < n_parts; part += 1u) {
        sum += mix[(token * n_parts + part) * MIX_QUADS + j];
    }
    return sum;
}
