// hidden[t] = act(min(gate[t], limit)) ⊙ clamp(up[t], ±limit), act(v) = v / (1 + exp(−turn(v))), for a feed-forward network without experts.
// turn(v) = v makes it SiLU; with GELU = 1, turn(v) = 2 √(2/π) (v + 0.044715 v³), which makes it GELU by tanh.
// An invocation takes QUADS vectors of 4, of one token. All in f32.
struct Params {
    n_quads: u32,    // vectors of 4 in the hidden values
    limit: f32,      // where gate and up are cut off
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> gate_up: array<vec4<f32>>;      // [n_tokens, 2, n_quads]: gate, then up
@group(0) @binding(3) var<storage, read_write> hidden: array<vec4<f32>>; // [n_tokens, n_quads]

fn turn(v: vec4<f32>) -> vec4<f32> {
    if GELU == 1u {
        return 1.5957691 * (v + 0.044715 * v * v * v);
    }
    return v;
}

fn value_quad(at: u32) -> vec4<f32> {
    return hidden[at];
}

@compute @workgroup_size(WORKGROUP)
fn swiglu(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n = params.n_quads;
    let token = thread * QUADS / n;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    for (var at = thread * QUADS; at < (thread + 1u) * QUADS; at += 1u) {
        let gate = min(gate_up[token * 2u * n + at % n], vec4<f32>(params.limit));
        let up = clamp(gate_up[(token * 2u + 1u) * n + at % n], vec4<f32>(-params.limit), vec4<f32>(params.limit));
        // The clamp keeps exp finite; beyond it the result is 0 to rounding.
        hidden[at] = gate / (1.0 + exp(-max(turn(gate), vec4<f32>(-80.0)))) * up;
    }
    finish_row(thread, QUADS, 0u, 1u);
}
