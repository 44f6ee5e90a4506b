// I[t, c] = Σ_h weight[t, h] · scale · max(q[t, h] · key[c], 0) for the complete entries c < visible, where
// visible = (position + t + 1) / ratio. Nothing is computed where visible <= top_k: all are selected then.
// A group of lanes takes one entry of one token; lanes take HEADS heads in turn, which share the loads of its key. Sums in f32.
struct Params {
    queries_stride: u32,    // vectors of 4 from token to token of the queries
    queries_at: u32,        // first vector of the indexer's heads in a row
    n_heads: u32,
    n_quads: u32,           // vectors of 4 in a head and in a key
    rope_pairs: u32,        // for index_score_shared
    projection_stride: u32, // elements from row to row of the projections
    projection_ring: u32,   // rows of the projections; a token's row is its position modulo this, with 0 its place in the step
    weights_at: u32,        // first of a token's n_heads weights in a row
    n_entries: u32,         // entries that there can be
    ratio: u32,             // tokens of an entry
    top_k: u32,             // entries that will be selected
    scale: f32,
    max_tokens: u32,        // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> queries: array<vec4<f32>>; // [max_tokens, queries_stride]
@group(0) @binding(3) var<storage, read> projections: array<f32>;   // [projection_ring, projection_stride]
@group(0) @binding(4) var<storage, read> keys: array<vec4<f32>>;    // [n_entries, n_quads]
@group(0) @binding(5) var<storage, read> rope: array<vec2<f32>>;    // for index_score_shared
@group(0) @binding(6) var<storage, read_write> scores: array<f32>;  // [max_tokens, n_entries]

@compute @workgroup_size(WORKGROUP)
fn index_score(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let token = group / params.n_entries;
    let entry = group % params.n_entries;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let position = step.position + token;
    let visible = (position + 1u) / params.ratio;
    if visible <= params.top_k || entry >= visible {
        return;
    }
    var row = token;
    if params.projection_ring > 0u {
        row = position % params.projection_ring;
    }
    let weights_at = row * params.projection_stride + params.weights_at;
    let q_at = token * params.queries_stride + params.queries_at;
    let key_at = entry * params.n_quads;
    var sum = 0.0;
    for (var first = lane * HEADS; first < params.n_heads; first += LANES * HEADS) {
        // Heads past the end repeat the last one and are not added.
        var heads: array<u32, HEADS>;
        var products: array<f32, HEADS>;
        for (var h = 0u; h < HEADS; h += 1u) {
            heads[h] = q_at + min(first + h, params.n_heads - 1u) * params.n_quads;
            // WGSL begins every turn with zeros; Chromium on SwiftShader keeps those of the turn before.
            products[h] = 0.0;
        }
        for (var quad = 0u; quad < params.n_quads; quad += 1u) {
            let key = keys[key_at + quad];
            for (var h = 0u; h < HEADS; h += 1u) {
                products[h] += dot(queries[heads[h] + quad], key);
            }
        }
        for (var h = 0u; h < HEADS; h += 1u) {
            if first + h < params.n_heads {
                sum += projections[weights_at + first + h] * max(products[h], 0.0);
            }
        }
    }
    let score = params.scale * reduce_sum(lane, sum);
    if lane == 0u {
        scores[group] = score;
    }
}
