// What the delta rule takes of a token made ready, in place and beside it:
//   q ← q / (sqrt(Σq² + 1e-6) · sqrt(head_dim)) and k ← k / sqrt(Σk² + 1e-6), head by head
//   gates[t, h] = (exp(decay[h] · softplus(a[h] + bias[h])), sigmoid(b[h])): what is kept of the state, and what is written
// decay is negative: −exp(A_log). A group of lanes takes one head of one token, or all gates of one. All in f32.
struct Params {
    n_key_heads: u32,   // heads of q, and as many of k
    n_value_heads: u32,
    head_dim: u32,      // elements of a head of q or k
    y_stride: u32,      // elements from token to token in y: q | k | v
    stride: u32,        // elements from token to token of the projections
    b_at: u32,          // first element of b in them
    a_at: u32,          // first element of a
    max_tokens: u32,    // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> projections: array<f32>;     // [n_tokens, stride]
@group(0) @binding(3) var<storage, read> affine: array<f32>;          // decay [n_value_heads], then bias [n_value_heads]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;         // [n_tokens, y_stride]
@group(0) @binding(5) var<storage, read_write> gates: array<vec2<f32>>; // [n_tokens, n_value_heads]

// ln(1 + exp(v)), which is v itself where exp would overflow.
fn softplus(v: f32) -> f32 {
    return max(v, 0.0) + log(1.0 + exp(-abs(v)));
}

@compute @workgroup_size(WORKGROUP)
fn delta_heads(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n_jobs = 2u * params.n_key_heads + 1u;
    let token = group / n_jobs;
    let job = group % n_jobs;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    if job == n_jobs - 1u {
        let from_token = token * params.stride;
        for (var head = lane; head < params.n_value_heads; head += LANES) {
            let a = projections[from_token + params.a_at + head] + affine[params.n_value_heads + head];
            let b = projections[from_token + params.b_at + head];
            gates[token * params.n_value_heads + head] =
                vec2<f32>(exp(affine[head] * softplus(a)), 1.0 / (1.0 + exp(-max(b, -80.0))));
        }
        return;
    }
    let at = token * params.y_stride + job * params.head_dim;
    var squares = 0.0;
    for (var i = lane; i < params.head_dim; i += LANES) {
        squares += y[at + i] * y[at + i];
    }
    var factor = 1.0 / sqrt(reduce_sum(lane, squares) + 1e-6);
    if job < params.n_key_heads {
        factor /= sqrt(f32(params.head_dim));
    }
    // A lane reads and writes its own elements only.
    for (var i = lane; i < params.head_dim; i += LANES) {
        y[at + i] *= factor;
    }
}
