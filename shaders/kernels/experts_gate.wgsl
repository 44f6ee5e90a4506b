// The hidden values of experts whose products have biases, gpt-oss's:
//   hidden[t, slot, i] = weights[t, slot] · g / (1 + exp(−alpha · g)) · (u + 1), with
//   g = min(raw[t, slot, stride · i] + bias[e, stride · i], limit)
//   u = clamp(raw[t, slot, stride · i + up_at] + bias[e, stride · i + up_at], −limit, limit)
// for the expert e of the slot; a slot without one is left alone. An invocation takes one hidden value. All in f32.
struct Params {
    n_hidden: u32,   // hidden units of an expert; raw and bias have twice as many
    n_slots: u32,    // experts of a token
    n_experts: u32,  // experts with a bias
    stride: u32,     // from gate to gate: 1, or 2 where gates and ups alternate
    up_at: u32,      // from a gate to its up
    limit: f32,      // where gate (above) and up (both ways) are cut off
    alpha: f32,      // factor within the sigmoid
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> raw: array<f32>;          // [n_tokens, n_slots, 2 n_hidden]
@group(0) @binding(3) var<storage, read> experts: array<u32>;      // [n_tokens, n_slots]
@group(0) @binding(4) var<storage, read> weights: array<f32>;      // [n_tokens, n_slots]
@group(0) @binding(5) var<storage, read> bias: array<f32>;         // [n_experts, 2 n_hidden]
@group(0) @binding(6) var<storage, read_write> hidden: array<f32>; // [n_tokens, n_slots, n_hidden]

@compute @workgroup_size(WORKGROUP)
fn experts_gate(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n = params.n_hidden;
    let entry = thread / n;
    if entry >= min(step.n_tokens, params.max_tokens) * params.n_slots {
        return;
    }
    let expert = experts[entry];
    if expert >= params.n_experts {
        return;
    }
    let at = params.stride * (thread % n);
    let raw_at = entry * 2u * n + at;
    let bias_at = expert * 2u * n + at;
    let g = min(raw[raw_at] + bias[bias_at], params.limit);
    let u = clamp(raw[raw_at + params.up_at] + bias[bias_at + params.up_at], -params.limit, params.limit);
    // The clamp keeps exp finite; beyond it the result is 0 to rounding.
    hidden[thread] = weights[entry] * g / (1.0 + exp(-max(params.alpha * g, -80.0))) * (u + 1.0);
}
