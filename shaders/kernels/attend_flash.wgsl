// attend_score and attend in one, on a GPU: flash decoding. A workgroup takes HEADS heads of one token and one of RUNS runs of its keys,
// BLOCK keys at a time:
//   scores:  tiles of heads and keys in workgroup memory, DEPTH vectors of 4 at a time, as in attend_score_shared.wgsl
//   weights: HEAD_LANES invocations take a head; where a greater score comes, what was summed before is scaled down
//   sums:    an invocation takes QUADS vectors of 4 of every head, and reads each key once for all of them, four keys at a time
// Where READY is 0 queries are made ready here, see rotate.wgsl: heads turn as they are read, and are normalised by their scores' factor.
// A run leaves its sums, neither divided nor turned, and behind them its greatest score and the sum of its weights; attend_merge makes
// the result of them. The sink counts in the first run. All in f32.
struct Params {
    queries_stride: u32, // vectors of 4 from token to token
    n_heads: u32,
    n_quads: u32,        // vectors of 4 in a head
    window_len: u32,
    window_ring: u32,
    ratio: u32,
    top_k: u32,
    n_scores: u32,       // most scores of a token: its keys and the sink
    rope_pairs: u32,
    scale: f32,
    eps: f32,            // where READY is 0: added to a head's mean square
    n_entries: u32,      // scores of the indexer from token to token, where entries are chosen here
    max_tokens: u32,     // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> queries: array<vec4<f32>>;   // [max_tokens, queries_stride]
@group(0) @binding(3) var<storage, read> window: array<vec4<f32>>;    // [window_ring, n_quads]
@group(0) @binding(4) var<storage, read> entries: array<vec4<f32>>;   // [.., n_quads]
@group(0) @binding(5) var<storage, read> selected: array<u32>;        // [max_tokens, top_k], or scores
@group(0) @binding(6) var<storage, read> sinks: array<f32>;           // [n_heads]
@group(0) @binding(7) var<storage, read> rope: array<vec2<f32>>;      // see lib/rope.wgsl
@group(0) @binding(8) var<storage, read_write> out: array<vec4<f32>>; // [max_tokens, n_heads, RUNS, n_quads + 1]

const HEAD_LANES = WORKGROUP / HEADS;
const EACH = HEADS * BLOCK / WORKGROUP; // scores of an invocation
const DEPTH = 16u;
const STRIDE = DEPTH + 1u; // rows of a tile lie in other banks
const LEAST = -1e30;

var<workgroup> head_tile: array<vec4<f32>, HEADS * STRIDE>;
var<workgroup> key_tile: array<vec4<f32>, BLOCK * STRIDE>;
var<workgroup> key_at: array<u32, BLOCK>; // first vector of 4 of each key, in window or entries
var<workgroup> weights: array<f32, HEADS * BLOCK>; // scores at first
var<workgroup> shares: array<f32, WORKGROUP>; // what each invocation found of its head
var<workgroup> factors: array<f32, HEADS>;    // what a head's sums so far are scaled by
var<workgroup> norms: array<f32, HEADS>;      // what a head's query is normalised by

@compute @workgroup_size(WORKGROUP)
fn attend_flash(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = workgroup.y * n_workgroups.x + workgroup.x;
    let n_head_tiles = (params.n_heads + HEADS - 1u) / HEADS;
    let run = index % RUNS;
    let first_head = index / RUNS % n_head_tiles * HEADS;
    let token = index / RUNS / n_head_tiles;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let seen = seen_by(token);
    let n_keys = seen.n_window + seen.n_entries;
    let n_blocks = (n_keys + BLOCK - 1u) / BLOCK;
    let run_keys = (n_blocks + RUNS - 1u) / RUNS * BLOCK;
    let begin = min(run * run_keys, n_keys);
    let end = min(begin + run_keys, n_keys);
    // Heads past the end repeat the last one; their results are not written.
    let slot = local / HEAD_LANES;
    let lane = local % HEAD_LANES;
    let key = local % BLOCK;
    let first_slot = local / BLOCK;
    // Quads past the end repeat the last one.
    var quads: array<u32, QUADS>;
    for (var q = 0u; q < QUADS; q += 1u) {
        quads[q] = min(local + q * WORKGROUP, params.n_quads - 1u);
    }
    var greatest = LEAST;
    var total = 0.0; // of an invocation's own keys
    if run == 0u {
        greatest = sinks[min(first_head + slot, params.n_heads - 1u)];
        total = select(0.0, 1.0, lane == 0u);
    }
    if READY == 0u {
        let at = token * params.queries_stride + min(first_head + slot, params.n_heads - 1u) * params.n_quads;
        var squares = 0.0;
        for (var quad = lane; quad < params.n_quads; quad += HEAD_LANES) {
            let v = queries[at + quad];
            squares += dot(v, v);
        }
        shares[local] = squares;
        workgroupBarrier();
        if lane == 0u {
            squares = 0.0;
            for (var l = 0u; l < HEAD_LANES; l += 1u) {
                squares += shares[slot * HEAD_LANES + l];
            }
            norms[slot] = 1.0 / sqrt(squares / f32(4u * params.n_quads) + params.eps);
        }
    }
    choose_entries(local, token, max(begin, seen.n_window) - seen.n_window, max(end, seen.n_window) - seen.n_window);
    var sums: array<array<vec4<f32>, QUADS>, HEADS>;
    for (var block = begin; block < end; block += BLOCK) {
        let n_here = min(end - block, BLOCK);
        workgroupBarrier(); // The block before is used up.
        if local < BLOCK {
            // Keys past the end repeat the last one, with a weight of 0.
            key_at[local] = place_of(seen, token, block + min(local, n_here - 1u));
        }
        // WGSL begins every turn with zeros; Chromium on SwiftShader keeps those of the turn before.
        var scores: array<f32, EACH>;
        for (var e = 0u; e < EACH; e += 1u) {
            scores[e] = 0.0;
        }
        for (var chunk = 0u; chunk < params.n_quads; chunk += DEPTH) {
            workgroupBarrier(); // The places of keys are there, and the tiles before are used up.
            for (var j = local; j < HEADS * DEPTH; j += WORKGROUP) {
                let quad = chunk + j % DEPTH;
                let head = min(first_head + j / DEPTH, params.n_heads - 1u);
                var value = vec4<f32>();
                if quad < params.n_quads {
                    value = queries[token * params.queries_stride + head * params.n_quads + quad];
                    if READY == 0u {
                        value = turned_quad(value, seen.position, quad, 1.0);
                    }
                }
                head_tile[j / DEPTH * STRIDE + j % DEPTH] = value;
            }
            for (var j = local; j < BLOCK * DEPTH; j += WORKGROUP) {
                let quad = chunk + j % DEPTH;
                var value = vec4<f32>();
                if quad < params.n_quads {
                    value = value_of(key_at[j / DEPTH], quad);
                }
                key_tile[j / DEPTH * STRIDE + j % DEPTH] = value;
            }
            workgroupBarrier();
            for (var i = 0u; i < DEPTH; i += 1u) {
                let of_key = key_tile[key * STRIDE + i];
                for (var e = 0u; e < EACH; e += 1u) {
                    scores[e] += dot(head_tile[(first_slot + e * (HEADS / EACH)) * STRIDE + i], of_key);
                }
            }
        }
        for (var e = 0u; e < EACH; e += 1u) {
            let of_head = first_slot + e * (HEADS / EACH);
            var scale = params.scale;
            if READY == 0u {
                scale *= norms[of_head];
            }
            weights[of_head * BLOCK + key] = select(LEAST, scale * scores[e], key < n_here);
        }
        workgroupBarrier();
        var peak = greatest;
        for (var k = lane; k < BLOCK; k += HEAD_LANES) {
            peak = max(peak, weights[slot * BLOCK + k]);
        }
        shares[local] = peak;
        workgroupBarrier();
        for (var l = 0u; l < HEAD_LANES; l += 1u) {
            peak = max(peak, shares[slot * HEAD_LANES + l]);
        }
        let factor = exp(greatest - peak);
        greatest = peak;
        total *= factor;
        for (var k = lane; k < BLOCK; k += HEAD_LANES) {
            let weight = exp(weights[slot * BLOCK + k] - peak);
            weights[slot * BLOCK + k] = weight;
            total += weight;
        }
        if lane == 0u {
            factors[slot] = factor;
        }
        workgroupBarrier();
        for (var h = 0u; h < HEADS; h += 1u) {
            for (var q = 0u; q < QUADS; q += 1u) {
                sums[h][q] *= factors[h];
            }
        }
        for (var k = 0u; k < n_here; k += 4u) {
            for (var q = 0u; q < QUADS; q += 1u) {
                let a = value_of(key_at[k], quads[q]);
                let b = value_of(key_at[k + 1u], quads[q]);
                let c = value_of(key_at[k + 2u], quads[q]);
                let d = value_of(key_at[k + 3u], quads[q]);
                for (var h = 0u; h < HEADS; h += 1u) {
                    let w = h * BLOCK + k;
                    sums[h][q] += weights[w] * a + weights[w + 1u] * b;
                    sums[h][q] += weights[w + 2u] * c + weights[w + 3u] * d;
                }
            }
        }
    }
    workgroupBarrier(); // What is greatest was read by all.
    shares[local] = total;
    workgroupBarrier();
    if lane == 0u && first_head + slot < params.n_heads {
        var sum = 0.0;
        for (var l = 0u; l < HEAD_LANES; l += 1u) {
            sum += shares[slot * HEAD_LANES + l];
        }
        let at = ((token * params.n_heads + first_head + slot) * RUNS + run) * (params.n_quads + 1u);
        out[at + params.n_quads] = vec4<f32>(greatest, sum, 0.0, 0.0);
    }
    for (var q = 0u; q < QUADS; q += 1u) {
        let quad = local + q * WORKGROUP;
        for (var h = 0u; h < HEADS; h += 1u) {
            if first_head + h < params.n_heads && quad < params.n_quads {
                let head = token * params.n_heads + first_head + h;
                out[(head * RUNS + run) * (params.n_quads + 1u) + quad] = sums[h][q];
            }
        }
    }
}
