// Normed rows: x[t] = norm ⊙ values[t] / sqrt(mean(values[t]²) + eps).
// A group of lanes takes one token. With last_only the step's last token alone is done, and its x written to row 0. All in f32.
struct Params {
    n_quads: u32,    // vectors of 4 in a row
    stride: u32,     // vectors of 4 from row to row of the values
    ring: u32,       // rows of the values when they are a ring over positions; 0 when row t is token t
    last_only: u32,  // 1 to do only the last token
    eps: f32,        // added to the mean square
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> values: array<vec4<f32>>;  // [n_tokens or ring, stride]
@group(0) @binding(3) var<storage, read> norm: array<vec4<f32>>;    // [n_quads]
@group(0) @binding(4) var<storage, read_write> x: array<vec4<f32>>; // [n_tokens or 1, n_quads]

fn value_quad(at: u32) -> vec4<f32> {
    return x[at];
}

@compute @workgroup_size(WORKGROUP)
fn norm_rows(
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
    var row = token;
    if params.ring > 0u {
        row = (step.position + token) % params.ring;
    }
    let at = row * params.stride;
    var squares = 0.0;
    for (var i = lane; i < n; i += LANES) {
        let v = values[at + i];
        squares += dot(v, v);
    }
    let factor = 1.0 / sqrt(reduce_sum(lane, squares) / f32(4u * n) + params.eps);
    for (var i = lane; i < n; i += LANES) {
        x[group * n + i] = factor * norm[i] * values[at + i];
    }
    finish_row(group, n, lane, LANES);
}
