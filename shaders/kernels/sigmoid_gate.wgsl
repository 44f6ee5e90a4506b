// values[t, i] ← values[t, i] · sigmoid(gates[t, i / run]): a gate for each element, or one for `run` consecutive ones.
// An invocation takes one element. All in f32.
struct Params {
    width: u32,      // elements of a token
    run: u32,        // elements that share a gate; a divisor of width
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> gates: array<f32>;        // [n_tokens, width / run]
@group(0) @binding(3) var<storage, read_write> values: array<f32>; // [n_tokens, width]

@compute @workgroup_size(WORKGROUP)
fn sigmoid_gate(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    if at / params.width >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    // The clamp keeps exp finite; beyond it the result is 0 to rounding.
    values[at] /= 1.0 + exp(-max(gates[at / params.run], -80.0));
}
