// Input contract of products (see input_plain.wgsl): x are the four residual streams, which become v on the way in as hyper_collapse.wgsl
// says. The root belongs to the whole row, so it is taken out of the sums; every group works it out for itself, and `pre` before that,
// which costs less than to wait for them.
@group(0) @binding(6) var<storage, read> affine: array<vec4<f32>>;             // norm [n_in / 4], base [6], scales [3 floats]
@group(0) @binding(7) var<storage, read> mix: array<vec4<f32>>;                // [n_tokens, N_PARTS, MIX_QUADS]
@group(0) @binding(8) var<storage, read_write> coefficients: array<vec4<f32>>; // [n_tokens, 6]: pre, post, rows of comb
@group(0) @binding(9) var<storage, read_write> collapsed: array<vec4<f32>>;    // [n_tokens, n_in / 4]: v

const MIX_QUADS = 7u; // 24 coefficients, and the squares

var<private> input_pre: vec4<f32>;
var<private> input_squares: f32;

fn mix_factor(token: u32) -> f32 {
    let squares = mix_part_sum(token, MIX_QUADS - 1u, N_PARTS).x;
    return inverseSqrt(squares / f32(4u * params.n_in) + bitcast<f32>(EPS));
}

fn input_row(token: u32) -> u32 {
    let m = mix_factor(token) * mix_part_sum(token, 0u, N_PARTS);
    input_pre = hyper_pre(m, params.n_in / 4u, bitcast<f32>(HYPER_EPS));
    return token;
}

fn collapsed_quad(at: u32, i: u32) -> vec4<f32> {
    let n = params.n_in / 4u;
    let first = at + i;
    return input_pre.x * x[first] + input_pre.y * x[first + n] + input_pre.z * x[first + 2u * n] + input_pre.w * x[first + 3u * n];
}

fn input_quad(at: u32, i: u32) -> vec4<f32> {
    let v = collapsed_quad(at, i);
    // The last block may reach beyond the row.
    input_squares += select(0.0, dot(v, v), i < params.n_in / 4u);
    return v * affine[i];
}

fn input_factor(lane: u32) -> f32 {
    return inverseSqrt(reduce_sum(lane, input_squares) / f32(params.n_in) + bitcast<f32>(EPS));
}

fn input_keep(at: u32, token: u32, first: u32, n_invocations: u32, factor: f32) {
    let n = params.n_in / 4u;
    for (var i = first; i < n; i += n_invocations) {
        collapsed[token * n + i] = factor * (collapsed_quad(at, i) * affine[i]);
    }
    if first == 0u {
        var sums: array<vec4<f32>, MIX_QUADS>;
        for (var j = 0u; j < MIX_QUADS; j += 1u) {
            sums[j] = mix_part_sum(token, j, N_PARTS);
        }
        keep_coefficients(token, sums, mix_factor(token), n, bitcast<f32>(HYPER_EPS), ITERATIONS);
    }
}
