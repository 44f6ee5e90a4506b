// The same as `index_score` by tiles in workgroup memory, for GPUs: a workgroup takes ENTRIES entries of one token and all heads,
// HEADS of them at a time and DEPTH vectors of 4 of each, so that a key is read once for HEADS heads and a head once for ENTRIES
// keys. An invocation makes 4 heads by 4 entries of it. Where READY is 0 heads turn to the token's position as they are read.
// Sums in f32.
struct Params {
    queries_stride: u32,    // vectors of 4 from token to token of the queries
    queries_at: u32,        // first vector of the indexer's heads in a row
    n_heads: u32,
    n_quads: u32,           // vectors of 4 in a head and in a key
    rope_pairs: u32,        // pairs that turn, the last of a head, where READY is 0
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
@group(0) @binding(5) var<storage, read> rope: array<vec2<f32>>;    // see lib/rope.wgsl
@group(0) @binding(6) var<storage, read_write> scores: array<f32>;  // [max_tokens, n_entries]

const HEADS = 32u;
const DEPTH = 8u;
const STRIDE = DEPTH + 1u; // rows of a tile lie in other banks
const EACH = 4u;
const HEAD_LANES = HEADS / EACH;
const ENTRY_LANES = WORKGROUP / HEAD_LANES;
const ENTRIES = ENTRY_LANES * EACH;

var<workgroup> head_tile: array<vec4<f32>, HEADS * STRIDE>;
var<workgroup> key_tile: array<vec4<f32>, ENTRIES * STRIDE>;
var<workgroup> shares: array<f32, ENTRIES * HEAD_LANES>; // what each invocation's heads give to its entries

@compute @workgroup_size(WORKGROUP)
fn index_score_shared(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = workgroup.y * n_workgroups.x + workgroup.x;
    let n_tiles = (params.n_entries + ENTRIES - 1u) / ENTRIES;
    let first_entry = index % n_tiles * ENTRIES;
    let token = index / n_tiles;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let position = step.position + token;
    let visible = (position + 1u) / params.ratio;
    if visible <= params.top_k || first_entry >= visible {
        return;
    }
    var row = token;
    if params.projection_ring > 0u {
        row = position % params.projection_ring;
    }
    let weights_at = row * params.projection_stride + params.weights_at;
    let q_at = token * params.queries_stride + params.queries_at;
    let entry_lane = local % ENTRY_LANES;
    let head_lane = local / ENTRY_LANES;

    var totals = vec4<f32>(); // of the invocation's entries
    for (var first = 0u; first < params.n_heads; first += HEADS) {
        // WGSL begins every turn with zeros; Chromium on SwiftShader keeps those of the turn before.
        var sums: array<vec4<f32>, EACH>; // of 4 heads each
        for (var e = 0u; e < EACH; e += 1u) {
            sums[e] = vec4<f32>();
        }
        for (var chunk = 0u; chunk < params.n_quads; chunk += DEPTH) {
            workgroupBarrier(); // The tiles before are used up.
            for (var j = local; j < HEADS * DEPTH; j += WORKGROUP) {
                let quad = chunk + j % DEPTH;
                let head = first + j / DEPTH;
                var value = vec4<f32>();
                if quad < params.n_quads && head < params.n_heads {
                    value = queries[q_at + head * params.n_quads + quad];
                    if READY == 0u {
                        value = turned_quad(value, position, quad, 1.0);
                    }
                }
                head_tile[j / DEPTH * STRIDE + j % DEPTH] = value;
            }
            for (var j = local; j < ENTRIES * DEPTH; j += WORKGROUP) {
                let quad = chunk + j % DEPTH;
                let entry = first_entry + j / DEPTH;
                var value = vec4<f32>();
                if quad < params.n_quads && entry < visible {
                    value = keys[entry * params.n_quads + quad];
                }
                key_tile[j / DEPTH * STRIDE + j % DEPTH] = value;
            }
            workgroupBarrier();
            for (var i = 0u; i < DEPTH; i += 1u) {
                let at = head_lane * EACH * STRIDE + i;
                let a = head_tile[at];
                let b = head_tile[at + STRIDE];
                let c = head_tile[at + 2u * STRIDE];
                let d = head_tile[at + 3u * STRIDE];
                for (var e = 0u; e < EACH; e += 1u) {
                    let key = key_tile[(entry_lane + e * ENTRY_LANES) * STRIDE + i];
                    sums[e] += vec4<f32>(dot(a, key), dot(b, key), dot(c, key), dot(d, key));
                }
            }
        }
        var weights = vec4<f32>();
        for (var h = 0u; h < EACH; h += 1u) {
            let head = first + head_lane * EACH + h;
            if head < params.n_heads {
                weights[h] = projections[weights_at + head];
            }
        }
        for (var e = 0u; e < EACH; e += 1u) {
            totals[e] += dot(weights, max(sums[e], vec4<f32>()));
        }
    }
    for (var e = 0u; e < EACH; e += 1u) {
        shares[(entry_lane + e * ENTRY_LANES) * HEAD_LANES + head_lane] = totals[e];
    }
    workgroupBarrier();
    for (var j = local; j < ENTRIES; j += WORKGROUP) {
        var sum = 0.0;
        for (var l = 0u; l < HEAD_LANES; l += 1u) {
            sum += shares[j * HEAD_LANES + l];
        }
        if first_entry + j < visible {
            scores[token * params.n_entries + first_entry + j] = params.scale * sum;
        }
    }
}
