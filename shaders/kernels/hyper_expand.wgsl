// Hyper-connections after a sub-layer: next[t, k, :] = post_k · f + Σ_j comb[j][k] · X[t, j, :], f = Σ_slots outputs.
// The sum runs over the first index of comb. An invocation takes 4 elements of one token. Sums in f32, slots in order.
struct Params {
    n_quads: u32,    // vectors of 4 in a stream
    n_slots: u32,    // outputs to add up for a token
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> streams: array<vec4<f32>>;      // [n_tokens, 4, n_quads]
@group(0) @binding(3) var<storage, read> coefficients: array<vec4<f32>>; // [n_tokens, 6]: pre, post, rows of comb
@group(0) @binding(4) var<storage, read> outputs: array<vec4<f32>>;      // [n_tokens, n_slots, n_quads]
@group(0) @binding(5) var<storage, read_write> next: array<vec4<f32>>;   // [n_tokens, 4, n_quads]

@compute @workgroup_size(WORKGROUP)
fn hyper_expand(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n = params.n_quads;
    let token = thread / n;
    let i = thread % n;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    var f = vec4<f32>();
    for (var slot = 0u; slot < params.n_slots; slot += 1u) {
        f += outputs[(token * params.n_slots + slot) * n + i];
    }
    let at = token * 4u * n + i;
    let x0 = streams[at];
    let x1 = streams[at + n];
    let x2 = streams[at + 2u * n];
    let x3 = streams[at + 3u * n];
    let c = token * 6u;
    let post = coefficients[c + 1u];
    let c0 = coefficients[c + 2u];
    let c1 = coefficients[c + 3u];
    let c2 = coefficients[c + 4u];
    let c3 = coefficients[c + 5u];
    for (var k = 0u; k < 4u; k += 1u) {
        next[at + k * n] = post[k] * f + (c0[k] * x0 + c1[k] * x1 + c2[k] * x2 + c3[k] * x3);
    }
}
