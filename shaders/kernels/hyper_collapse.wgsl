// Hyper-connections before a sub-layer: four residual streams X become one normed input x, and the coefficients that
// put the sub-layer's output back. With m = ρ · mix, ρ = 1 / sqrt(mean(X²) + norm_eps):
//   pre  = σ(m[0..4] · scale[0] + base[0..4]) + hyper_eps
//   post = 2 σ(m[4..8] · scale[1] + base[4..8])
//   comb = sinkhorn(m[8..24] · scale[2] + base[8..24]): softmax of each row, + hyper_eps, columns divided by their
//          sums + hyper_eps; then rows and columns alike, sinkhorn_iterations − 1 times. Columns come last.
//   x    = norm ⊙ y / sqrt(mean(y²) + norm_eps), y = Σ_i pre_i · X_i
// A group of lanes takes one token; every lane works out the 24 coefficients for itself, in registers, and keeps its part of y as
// lib/kept_*.wgsl says. All in f32.
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
@group(0) @binding(4) var<storage, read> affine: array<vec4<f32>>; // base [24], then scales [3]
@group(0) @binding(5) var<storage, read> norm: array<vec4<f32>>;                // [n_quads]
@group(0) @binding(6) var<storage, read_write> coefficients: array<vec4<f32>>;  // [n_tokens, 6]: pre, post, rows of comb
@group(0) @binding(7) var<storage, read_write> x: array<vec4<f32>>;             // [n_tokens, n_quads]

const MIX_QUADS = 7u; // 24 coefficients, and the squares

// The clamp keeps exp finite; beyond it the result is 0 to rounding.
fn sigmoid(v: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(-max(v, vec4<f32>(-80.0))));
}

fn total(v: vec4<f32>) -> f32 {
    return dot(v, vec4<f32>(1.0));
}

fn softmax(v: vec4<f32>) -> vec4<f32> {
    let e = exp(v - max(max(v.x, v.y), max(v.z, v.w)));
    return e / total(e);
}

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

    let m = token * 6u;
    let eps = params.hyper_eps;
    let pre = sigmoid(rho * sums[0] * affine[6].x + affine[0]) + eps;
    let post = 2.0 * sigmoid(rho * sums[1] * affine[6].y + affine[1]);
    var c0 = softmax(rho * sums[2] * affine[6].z + affine[2]) + eps;
    var c1 = softmax(rho * sums[3] * affine[6].z + affine[3]) + eps;
    var c2 = softmax(rho * sums[4] * affine[6].z + affine[4]) + eps;
    var c3 = softmax(rho * sums[5] * affine[6].z + affine[5]) + eps;
    for (var k = 0u; k < params.sinkhorn_iterations; k += 1u) {
        if k > 0u {
            c0 /= total(c0) + eps;
            c1 /= total(c1) + eps;
            c2 /= total(c2) + eps;
            c3 /= total(c3) + eps;
        }
        let columns = c0 + c1 + c2 + c3 + eps;
        c0 /= columns;
        c1 /= columns;
        c2 /= columns;
        c3 /= columns;
    }
    if lane == 0u {
        coefficients[m] = pre;
        coefficients[m + 1u] = post;
        coefficients[m + 2u] = c0;
        coefficients[m + 3u] = c1;
        coefficients[m + 4u] = c2;
        coefficients[m + 5u] = c3;
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
            x[token * n + i] = kept(token * n + i, turn) * norm_scale * norm[i];
        }
    }
}
