// A sub-layer's outputs join the residual stream, and the next sub-layer's input is normed, in one dispatch:
//   next[t] = stream[t] + Σ_slot outputs[t, slot] (+ bias);   x[t] = norm ⊙ next[t] / sqrt(mean(next[t]²) + eps)
// A group of lanes takes one token. All in f32, slots in order.
struct Params {
    n_quads: u32,    // vectors of 4 in the stream
    n_slots: u32,    // outputs of a token
    eps: f32,        // added to the mean square
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> stream: array<vec4<f32>>;     // [n_tokens, n_quads]
@group(0) @binding(3) var<storage, read> outputs: array<vec4<f32>>;    // [n_tokens, n_slots, n_quads]
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;       // [n_quads], with BIAS = 1
@group(0) @binding(5) var<storage, read> norm: array<vec4<f32>>;       // [n_quads]
@group(0) @binding(6) var<storage, read_write> next: array<vec4<f32>>; // [n_tokens, n_quads]
@group(0) @binding(7) var<storage, read_write> x: array<vec4<f32>>;    // [n_tokens, n_quads]

fn value_quad(at: u32) -> vec4<f32> {
    return x[at];
}

@compute @workgroup_size(WORKGROUP)
fn add_norm(
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
    var squares = 0.0;
    // A lane reads back only what it wrote itself.
    for (var i = lane; i < n; i += LANES) {
        var v = stream[token * n + i];
        for (var slot = 0u; slot < params.n_slots; slot += 1u) {
            v += outputs[(token * params.n_slots + slot) * n + i];
        }
        if BIAS == 1u {
            v += bias[i];
        }
        next[token * n + i] = v;
        squares += dot(v, v);
    }
    let factor = 1.0 / sqrt(reduce_sum(lane, squares) / f32(4u * n) + params.eps);
    for (var i = lane; i < n; i += LANES) {
        x[token * n + i] = factor * norm[i] * next[token * n + i];
    }
    finish_row(token, n, lane, LANES);
}
