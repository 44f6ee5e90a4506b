// The output norm of a gated delta net: y = norm ⊙ x / sqrt(mean(x²) + eps) ⊙ silu(z), head by head, silu(v) = v / (1 + exp(−v)).
// A group of lanes takes one head of one token. All in f32.
struct Params {
    n_heads: u32,
    head_dim: u32,
    z_stride: u32,   // elements from token to token of the projections
    z_at: u32,       // first element of z in them, [n_heads, head_dim]
    eps: f32,        // added to mean squares
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> x: array<f32>;           // [n_tokens, n_heads, head_dim]
@group(0) @binding(3) var<storage, read> projections: array<f32>; // [n_tokens, z_stride]
@group(0) @binding(4) var<storage, read> norm: array<f32>;        // [head_dim]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;     // as x

@compute @workgroup_size(WORKGROUP)
fn gated_norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let token = group / params.n_heads;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let n = params.head_dim;
    var squares = 0.0;
    for (var i = lane; i < n; i += LANES) {
        squares += x[group * n + i] * x[group * n + i];
    }
    let factor = 1.0 / sqrt(reduce_sum(lane, squares) / f32(n) + params.eps);
    let z_at = token * params.z_stride + params.z_at + (group % params.n_heads) * n;
    for (var i = lane; i < n; i += LANES) {
        let z = projections[z_at + i];
        // The clamp keeps exp finite; beyond it the result is 0 to rounding.
        y[group * n + i] = factor * norm[i] * x[group * n + i] * (z / (1.0 + exp(-max(z, -80.0))));
    }
}
