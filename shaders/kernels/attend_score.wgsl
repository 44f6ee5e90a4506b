// z[t, h, k] = scale · Σ_i q[t, h, i] · key_k[i] for every key k of token t (see lib/keys.wgsl).
// After a token's keys stands the head's sink, as it is: a score that no key has.
// A group of lanes takes one key of HEADS heads of one token, so that they share its loads; lanes take vectors of 4 in turn. Sums in f32.
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
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n_head_tiles = (params.n_heads + HEADS - 1u) / HEADS;
    let k = group % params.n_scores;
    let first_head = group / params.n_scores % n_head_tiles * HEADS;
    let token = group / params.n_scores / n_head_tiles;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let seen = seen_by(token);
    let n_keys = seen.n_window + seen.n_entries;
    if k > n_keys {
        return;
    }
    // Heads past the end repeat the last one; their results are not written.
    var q_at: array<u32, HEADS>;
    for (var h = 0u; h < HEADS; h += 1u) {
        q_at[h] = token * params.queries_stride + min(first_head + h, params.n_heads - 1u) * params.n_quads;
    }
    var sums: array<f32, HEADS>;
    if k < seen.n_window {
        let key = window_key(seen, k);
        for (var quad = lane; quad < params.n_quads; quad += LANES) {
            let value = window[key + quad];
            for (var h = 0u; h < HEADS; h += 1u) {
                sums[h] += dot(queries[q_at[h] + quad], value);
            }
        }
    } else if k < n_keys {
        let key = entry_key(token, k - seen.n_window);
        for (var quad = lane; quad < params.n_quads; quad += LANES) {
            let value = entries[key + quad];
            for (var h = 0u; h < HEADS; h += 1u) {
                sums[h] += dot(queries[q_at[h] + quad], value);
            }
        }
    }
    for (var h = 0u; h < HEADS; h += 1u) {
        let head = first_head + h;
        let z = params.scale * reduce_sum(lane, sums[h]);
        if lane == 0u && head < params.n_heads {
            scores[(token * params.n_heads + head) * params.scores_stride + k] = select(z, sinks[head], k == n_keys);
        }
    }
}
