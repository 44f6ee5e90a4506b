// rows[t, slot] = x[t]: the input of a token once for each of its experts, for products whose rows go with slots.
// An invocation copies 4 elements.
struct Params {
    n_quads: u32,    // vectors of 4 in x
    n_slots: u32,    // experts of a token
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;          // [n_tokens, n_quads]
@group(0) @binding(3) var<storage, read_write> rows: array<vec4<f32>>; // [n_tokens, n_slots, n_quads]

@compute @workgroup_size(WORKGROUP)
fn experts_spread(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let token = thread / params.n_quads / params.n_slots;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    rows[thread] = x[token * params.n_quads + thread % params.n_quads];
}
