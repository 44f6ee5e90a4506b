// What a mixing matrix made of a token's four streams X, and Σ X² behind it, as the first element of the last of MIX_QUADS vectors.
// With n_parts = 0 the mix is whole, [n_tokens, MIX_QUADS − 1], and Σ X² is worked out here; else it is in parts to be added up,
// as lib/mix_part.wgsl says.
// The kernel defines MIX_QUADS, has n_quads and n_parts in its params, and binds streams and mix as vectors of 4.
fn mix_sums(token: u32, lane: u32) -> array<vec4<f32>, MIX_QUADS> {
    var sums: array<vec4<f32>, MIX_QUADS>;
    if params.n_parts == 0u {
        let n = 4u * params.n_quads;
        var squares = 0.0;
        for (var i = lane; i < n; i += LANES) {
            let v = streams[token * n + i];
            squares += dot(v, v);
        }
        sums[MIX_QUADS - 1u].x = reduce_sum(lane, squares);
        for (var j = 0u; j < MIX_QUADS - 1u; j += 1u) {
            sums[j] = mix[token * (MIX_QUADS - 1u) + j];
        }
    }
    if params.n_parts > 0u {
        for (var j = 0u; j < MIX_QUADS; j += 1u) {
            sums[j] = mix_part_sum(token, j, params.n_parts);
        }
    }
    return sums;
}
