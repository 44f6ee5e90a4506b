// Hyper-connections before a sub-layer: four residual streams X become one normed input x, and the coefficients that
// put the sub-layer's output back (see lib/hyper_coefficients.wgsl). With rho = 1 / sqrt(mean(X²) + norm_eps):
//   x = norm ⊙ y / sqrt(mean(y²) + norm_eps), y = Σ_i pre_i · X_i
// A group of lanes takes one token; every lane works out `pre` for itself, one of them all coefficients, and each keeps its part of
// y as lib/kept_*.wgsl says. All in f32.
struct Params {
    n_quads: u32,             // vectors of 4 in a stream
    n_parts: u32,             // parts of mix (see lib/mix_sums.wgsl)
    sinkhorn_iterations: u32, // column normalisations
    norm_eps: f32,            // added to mean squares
    hyper_eps: f32,           // added to pre and to Sinkhorn's sums
    max_tokens: u32,          // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> streams: array<vec4<f32>>;             // [n_tokens, 4, n_quads]
@group(0) @binding(3) var<storage, read> mix: array<vec4<f32>>;                 // [n_tokens, n_parts, 7] or [n_tokens, 6]
@group(0) @binding(4) var<storage, read> affine: array<vec4<f32>>;              // norm [n_quads], base [6], scales [3 floats]
@group(0) @binding(5) var<storage, read_write> coefficients: array<vec4<f32>>;  // [n_tokens, 6]: pre, post, rows of comb
@group(0) @binding(6) var<storage, read_write> x: array<vec4<f32>>;             // [n_tokens, n_quads]

const MIX_QUADS = 7u; // 24 coefficients, and the squares

@compute @workgroup_size(WORKGROUP)
fn hyper_collapse(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let token = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let n = params.n_quads;
    let at = token * 4u * n;
    let sums = mix_sums(token, lane);
    let rho = inverseSqrt(sums[6].x / f32(16u * n) + params.norm_eps);

    let eps = params.hyper_eps;
    let pre = hyper_pre(rho * sums[0], n, eps);
    if lane == 0u {
        keep_coefficients(token, sums, rho, n, eps, params.sinkhorn_iterations);
    }

    var part = 0.0;
    for (var turn = 0u; turn < n_turns(); turn += 1u) {
        let i = lane + turn * LANES;
        if i < n {
            let first = at + i;
            let y = pre.x * streams[first] + pre.y * streams[first + n] + pre.z * streams[first + 2u * n]
                + pre.w * streams[first + 3u * n];
            keep(token * n + i, turn, y);
            part += dot(y, y);
        }
    }
    let norm_scale = inverseSqrt(reduce_sum(lane, part) / f32(4u * n) + params.norm_eps);
    for (var turn = 0u; turn < n_turns(); turn += 1u) {
        let i = lane + turn * LANES;
        if i < n {
            x[token * n + i] = kept(token * n + i, turn) * norm_scale * affine[i];
        }
    }
}
