// The same as `attend_score` by tiles in workgroup memory, for GPUs: a workgroup takes HEADS heads of one token and KEYS of its
// keys, DEPTH vectors of 4 at a time, so that a key is read once for HEADS heads and a head once for KEYS keys. An invocation
// makes 4 heads by 2 keys of it. Sums in f32.
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

const DEPTH = 16u;
const STRIDE = DEPTH + 1u; // rows of a tile lie in other banks
const EACH_HEADS = 4u;
const EACH_KEYS = 2u;
const KEY_LANES = KEYS / EACH_KEYS;

var<workgroup> head_tile: array<vec4<f32>, HEADS * STRIDE>;
var<workgroup> key_tile: array<vec4<f32>, KEYS * STRIDE>;
var<workgroup> key_at: array<u32, KEYS>; // first vector of 4 of each key, in window or entries

@compute @workgroup_size(WORKGROUP)
fn attend_score_shared(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = workgroup.y * n_workgroups.x + workgroup.x;
    let n_key_tiles = (params.n_scores + KEYS - 1u) / KEYS;
    let n_head_tiles = (params.n_heads + HEADS - 1u) / HEADS;
    let first_key = index % n_key_tiles * KEYS;
    let first_head = index / n_key_tiles % n_head_tiles * HEADS;
    let token = index / n_key_tiles / n_head_tiles;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let seen = seen_by(token);
    let n_keys = seen.n_window + seen.n_entries;
    if first_key > n_keys {
        return;
    }
    if local < KEYS {
        let k = first_key + local;
        if k < seen.n_window {
            key_at[local] = window_key(seen, k);
        } else if k < n_keys {
            key_at[local] = entry_key(token, k - seen.n_window);
        }
    }

    let key_lane = local % KEY_LANES;
    let head_lane = local / KEY_LANES * EACH_HEADS;
    var sums: array<vec4<f32>, EACH_KEYS>; // of 4 heads each
    for (var chunk = 0u; chunk < params.n_quads; chunk += DEPTH) {
        workgroupBarrier(); // The places of keys are there, and the tiles before are used up.
        for (var j = local; j < HEADS * DEPTH; j += WORKGROUP) {
            let quad = chunk + j % DEPTH;
            let head = min(first_head + j / DEPTH, params.n_heads - 1u);
            var value = vec4<f32>();
            if quad < params.n_quads {
                value = queries[token * params.queries_stride + head * params.n_quads + quad];
            }
            head_tile[j / DEPTH * STRIDE + j % DEPTH] = value;
        }
        for (var j = local; j < KEYS * DEPTH; j += WORKGROUP) {
            let quad = chunk + j % DEPTH;
            let k = first_key + j / DEPTH;
            var value = vec4<f32>();
            if quad < params.n_quads {
                if k < seen.n_window {
                    value = window[key_at[j / DEPTH] + quad];
                } else if k < n_keys {
                    value = entries[key_at[j / DEPTH] + quad];
                }
            }
            key_tile[j / DEPTH * STRIDE + j % DEPTH] = value;
        }
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i += 1u) {
            let a = head_tile[head_lane * STRIDE + i];
            let b = head_tile[(head_lane + 1u) * STRIDE + i];
            let c = head_tile[(head_lane + 2u) * STRIDE + i];
            let d = head_tile[(head_lane + 3u) * STRIDE + i];
            for (var e = 0u; e < EACH_KEYS; e += 1u) {
                let key = key_tile[(key_lane + e * KEY_LANES) * STRIDE + i];
                sums[e] += vec4<f32>(dot(a, key), dot(b, key), dot(c, key), dot(d, key));
            }
        }
    }
    for (var e = 0u; e < EACH_KEYS; e += 1u) {
        let k = first_key + key_lane + e * KEY_LANES;
        for (var h = 0u; h < EACH_HEADS; h += 1u) {
            let head = first_head + head_lane + h;
            if k <= n_keys && head < params.n_heads {
                let z = select(params.scale * sums[e][h], sinks[head], k == n_keys);
                scores[(token * params.n_heads + head) * params.scores_stride + k] = z;
            }
        }
    }
}
