// z[t, h, k] = scale · Σ_i q[t, h, i] · key_k[i] for every key k of token t (see lib/keys.wgsl).
// After a token's keys stands the head's sink, as it is: a score that no key has.
// A team takes one key of one head of one token; lanes take vectors of 4 in turn. Sums in f32.
struct Params {
    queries_stride: u32, // vectors of 4 from token to token
    n_heads: u32,
    n_quads: u32,        // vectors of 4 in a head
    window_len: u32,
    window_ring: u32,
    ratio: u32,
    top_k: u32,
    n_scores: u32,       // most scores of a token: its keys and the sink
    scores_stride: u32,  // scores from head to head
    scale: f32,
    max_tokens: u32,     // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> queries: array<vec4<f32>>; // [max_tokens, queries_stride]
@group(0) @binding(3) var<storage, read> window: array<vec4<f32>>;  // [window_ring, n_quads]
@group(0) @binding(4) var<storage, read> entries: array<vec4<f32>>; // [.., n_quads]
@group(0) @binding(5) var<storage, read> selected: array<u32>;      // [max_tokens, top_k]
@group(0) @binding(6) var<storage, read> sinks: array<f32>;         // [n_heads]
@group(0) @binding(7) var<storage, read_write> scores: array<f32>;  // [max_tokens, n_heads, scores_stride]

@compute @workgroup_size(WORKGROUP)
fn attend_score(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let team = team_index(workgroup, n_workgroups, local);
    let lane = team_lane(local);
    let k = team % params.n_scores;
    let head = team / params.n_scores % params.n_heads;
    let token = team / params.n_scores / params.n_heads;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let position = step.position + token;
    let z_at = (token * params.n_heads + head) * params.scores_stride + k;
    let n_keys = window_count(position) + entry_count(position);
    if k == n_keys {
        scores[z_at] = sinks[head];
    }
    if k >= n_keys {
        return;
    }
    let row = key_row(token, k);
    let q_at = token * params.queries_stride + head * params.n_quads;
    var sum = 0.0;
    for (var quad = lane; quad < params.n_quads; quad += TEAM) {
        sum += dot(queries[q_at + quad], key_quad(row, quad));
    }
    let z = params.scale * team_sum(lane, sum);
    if lane == 0u {
        scores[z_at] = z;
    }
}
