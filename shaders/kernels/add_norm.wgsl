// A sub-layer's output joins the residual stream, and the next sub-layer's input is normed:
//   stream[t] += Σ_slot outputs[t, slot] (+ bias);   x[t] = norm ⊙ stream[t] / sqrt(mean(stream[t]²) + eps)
// A group of lanes takes one token. With last_only the step's last token alone is done, and its x written to row 0. All in f32.
struct Params {
    n_quads: u32,    // vectors of 4 in the stream
    n_slots: u32,    // outputs of a token; 0 where nothing joins
    last_only: u32,  // 1 to do only the last token
    eps: f32,        // added to the mean square
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> outputs: array<vec4<f32>>;      // [n_tokens, n_slots, n_quads]
@group(0) @binding(3) var<storage, read> norm: array<vec4<f32>>;         // [n_quads], and with BIAS = 1 the bias after it
@group(0) @binding(4) var<storage, read_write> stream: array<vec4<f32>>; // [n_tokens, n_quads]
@group(0) @binding(5) var<storage, read_write> x: array<vec4<f32>>;      // [n_tokens or 1, n_quads]

@compute @workgroup_size(WORKGROUP)
fn add_norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n_tokens = min(step.n_tokens, params.max_tokens);
    let skipped = select(0u, max(n_tokens, 1u) - 1u, params.last_only == 1u);
    let token = group + skipped;
    if token >= n_tokens {
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
            v += norm[n + i];
        }
        stream[token * n + i] = v;
        squares += dot(v, v);
    }
    let scale = 1.0 / sqrt(reduce_sum(lane, squares) / f32(4u * n) + params.eps);
    for (var i = lane; i < n; i += LANES) {
        x[group * n + i] = scale * norm[i] * stream[token * n + i];
    }
}
