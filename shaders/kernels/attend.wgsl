// out[t, h] = Σ_k p_k · key_k over the keys of token t (see lib/keys.wgsl), turned back by the token's position, where
//   p_k = exp(z_k − M) / (Σ_k exp(z_k − M) + exp(sink[h] − M)), M = max(sink[h], max_k z_k).
// The sink, the score after the keys', takes weight and has no value. Keys were turned to their own positions, so the last 2·rope_pairs elements
// of the sum turn back by the query's.
// An invocation takes 4 elements of one head of one token, and finds M and the sum for itself. All in f32.
struct Params {
    n_heads: u32,
    n_quads: u32,       // vectors of 4 in a head
    window_len: u32,
    window_ring: u32,
    ratio: u32,
    top_k: u32,
    scores_stride: u32, // scores from head to head
    rope_pairs: u32,
    max_tokens: u32,    // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> scores: array<f32>;          // [max_tokens, n_heads, scores_stride]
@group(0) @binding(3) var<storage, read> window: array<vec4<f32>>;    // [window_ring, n_quads]
@group(0) @binding(4) var<storage, read> entries: array<vec4<f32>>;   // [.., n_quads]
@group(0) @binding(5) var<storage, read> selected: array<u32>;        // [max_tokens, top_k]
@group(0) @binding(6) var<storage, read> rope: array<vec2<f32>>;      // see lib/rope.wgsl
@group(0) @binding(7) var<storage, read_write> out: array<vec4<f32>>; // [max_tokens, n_heads, n_quads]

@compute @workgroup_size(WORKGROUP)
fn attend(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let quad = at % params.n_quads;
    let head = at / params.n_quads % params.n_heads;
    let token = at / params.n_quads / params.n_heads;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let position = step.position + token;
    let n_keys = window_count(position) + entry_count(position);
    let z_at = (token * params.n_heads + head) * params.scores_stride;
    let sink = scores[z_at + n_keys];
    var greatest = sink;
    for (var k = 0u; k < n_keys; k += 1u) {
        greatest = max(greatest, scores[z_at + k]);
    }
    var total = exp(sink - greatest);
    var sum = vec4<f32>();
    for (var k = 0u; k < n_keys; k += 1u) {
        let weight = exp(scores[z_at + k] - greatest);
        total += weight;
        sum += weight * key_quad(key_row(token, k), quad);
    }
    sum /= total;
    out[at] = vec4<f32>(turned_back(sum.xy, position, 2u * quad), turned_back(sum.zw, position, 2u * quad + 1u));
}

// A pair of the head, turned back if it is among the last rope_pairs.
fn turned_back(v: vec2<f32>, position: u32, pair: u32) -> vec2<f32> {
    let first = 2u * params.n_quads - params.rope_pairs;
    if pair < first {
        return v;
    }
    let turn = rope_turn(position, pair - first);
    return rotate_pair(v, vec2<f32>(turn.x, -turn.y));
}
