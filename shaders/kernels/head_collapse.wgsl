// The last collapse of the residual streams, and the norm before the output head. With ρ = 1 / sqrt(mean(X²) + norm_eps):
//   pre = σ(ρ · mix · scale + base) + hyper_eps
//   x   = norm ⊙ y / sqrt(mean(y²) + norm_eps), y = Σ_i pre_i · X_i
// A group of lanes takes one token. With last_only the step's last token alone is done, and written to row 0. All in f32.
struct Params {
    n_quads: u32,    // vectors of 4 in a stream
    n_parts: u32,    // parts of mix (see lib/mix_sums.wgsl)
    last_only: u32,  // 1 to do only the last token
    norm_eps: f32,   // added to mean squares
    hyper_eps: f32,  // added to pre
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> streams: array<vec4<f32>>; // [n_tokens, 4, n_quads]
@group(0) @binding(3) var<storage, read> mix: array<vec4<f32>>;     // [n_tokens, n_parts, 2] or [n_tokens]
@group(0) @binding(4) var<storage, read> affine: array<vec4<f32>>; // base [4], then scales [1]
@group(0) @binding(5) var<storage, read> norm: array<vec4<f32>>;    // [n_quads]
@group(0) @binding(6) var<storage, read_write> x: array<vec4<f32>>; // [n_tokens or 1, n_quads]

const MIX_QUADS = 2u; // 4 coefficients, and the squares

// The clamp keeps exp finite; beyond it the result is 0 to rounding.
fn sigmoid(v: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(-max(v, vec4<f32>(-80.0))));
}

@compute @workgroup_size(WORKGROUP)
fn head_collapse(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n_tokens = min(step.n_tokens, params.max_tokens);
    let skipped = select(0u, max(n_tokens, 1u) - 1u, params.last_only == 1u);
    let token = group + skipped;
    if token >= n_tokens {
        return;
    }
    let n = params.n_quads;
    let at = token * 4u * n;
    let sums = mix_sums(token, lane);
    let rho = inverseSqrt(sums[1].x / f32(16u * n) + params.norm_eps);
    let pre = sigmoid(rho * sums[0] * affine[1].x + affine[0]) + params.hyper_eps;

    // Each lane keeps its part of y in x, and reads only that back.
    var part = 0.0;
    for (var i = lane; i < n; i += LANES) {
        let first = at + i;
        let y = pre.x * streams[first] + pre.y * streams[first + n] + pre.z * streams[first + 2u * n]
            + pre.w * streams[first + 3u * n];
        x[group * n + i] = y;
        part += dot(y, y);
    }
    let norm_scale = inverseSqrt(reduce_sum(lane, part) / f32(4u * n) + params.norm_eps);
    for (var i = lane; i < n; i += LANES) {
        x[group * n + i] *= norm_scale * norm[i];
    }
}
