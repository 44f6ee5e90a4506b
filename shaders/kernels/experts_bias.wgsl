// outputs[t, n_slots − 1] = Σ_k weights[t, k] · bias[experts[t, k]] over a token's other slots: the biases of its experts'
// outputs, in the slot that no expert writes. An invocation takes 4 elements of one token. All in f32.
struct Params {
    n_quads: u32,    // vectors of 4 in an output
    n_slots: u32,    // experts of a token, and the slot for this
    n_experts: u32,  // experts with a bias
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> experts: array<u32>;             // [n_tokens, n_slots]
@group(0) @binding(3) var<storage, read> weights: array<f32>;             // [n_tokens, n_slots]
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;          // [n_experts, n_quads]
@group(0) @binding(5) var<storage, read_write> outputs: array<vec4<f32>>; // [n_tokens, n_slots, n_quads]

@compute @workgroup_size(WORKGROUP)
fn experts_bias(
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
    let slots = token * params.n_slots;
    var sum = vec4<f32>();
    for (var k = 0u; k + 1u < params.n_slots; k += 1u) {
        // Only logits that are no numbers name an expert that is not there.
        let expert = min(experts[slots + k], params.n_experts - 1u);
        sum += weights[slots + k] * bias[expert * n + thread % n];
    }
    outputs[(slots + params.n_slots - 1u) * n + thread % n] = sum;
}
