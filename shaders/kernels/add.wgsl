// A sub-layer's outputs join the residual stream: next[t] = stream[t] + Σ_slot outputs[t, slot] (+ bias).
// An invocation takes 4 elements of one token. All in f32, slots in order.
struct Params {
    n_quads: u32,    // vectors of 4 in the stream
    n_slots: u32,    // outputs of a token
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> stream: array<vec4<f32>>;     // [n_tokens, n_quads]
@group(0) @binding(3) var<storage, read> outputs: array<vec4<f32>>;    // [n_tokens, n_slots, n_quads]
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;       // [n_quads], with BIAS = 1
@group(0) @binding(5) var<storage, read_write> next: array<vec4<f32>>; // [n_tokens, n_quads]

@compute @workgroup_size(WORKGROUP)
fn add(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n = params.n_quads;
    let token = thread / n;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    var v = stream[thread];
    for (var slot = 0u; slot < params.n_slots; slot += 1u) {
        v += outputs[(token * params.n_slots + slot) * n + thread % n];
    }
    if BIAS == 1u {
        v += bias[thread % n];
    }
    next[thread] = v;
}
