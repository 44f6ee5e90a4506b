// The same as `attend` on a GPU. A workgroup takes HEADS heads of one token, which share its keys, and one of RUNS runs of these:
//   greatest: HEAD_LANES invocations take a head
//   weights:  the same, BLOCK keys at a time, into workgroup memory
//   sums:     an invocation takes QUADS vectors of 4 of every head, and reads each key once for all of them, four keys at a time
// With RUNS = 1 that is the result. Else out is [n_tokens, n_heads, RUNS, n_quads + 1]: a run's sums, neither divided nor turned, and
// behind them its greatest score and the sum of its weights; attend_merge makes the result of them. The sink counts in the first run.
// All in f32.
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

const HEAD_LANES = WORKGROUP / HEADS;
const LEAST = -1e30;

var<workgroup> key_at: array<u32, BLOCK>; // first vector of 4 of each key, in window or entries
var<workgroup> weights: array<f32, HEADS * BLOCK>;
var<workgroup> shares: array<f32, WORKGROUP>; // what each invocation found of its head
var<workgroup> factors: array<f32, HEADS>;    // 1 / the sum of a head's weights

@compute @workgroup_size(WORKGROUP)
fn attend_shared(
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
    let z_at = (token * params.n_heads + min(first_head + slot, params.n_heads - 1u)) * params.scores_stride;
    let sink = select(LEAST, scores[z_at + n_keys], run == 0u);
    var greatest = sink;
    for (var k = begin + lane; k < end; k += HEAD_LANES) {
        greatest = max(greatest, scores[z_at + k]);
    }
    shares[local] = greatest;
    workgroupBarrier();
    for (var l = 0u; l < HEAD_LANES; l += 1u) {
        greatest = max(greatest, shares[slot * HEAD_LANES + l]);
    }

    // Quads past the end repeat the last one.
    var quads: array<u32, QUADS>;
    for (var q = 0u; q < QUADS; q += 1u) {
        quads[q] = min(local + q * WORKGROUP, params.n_quads - 1u);
    }
    var total = 0.0;
    var sums: array<array<vec4<f32>, QUADS>, HEADS>;
    for (var block = begin; block < end; block += BLOCK) {
        let n_here = min(end - block, BLOCK);
        workgroupBarrier(); // The weights of the block before are used up.
        for (var k = local; k < BLOCK; k += WORKGROUP) {
            // Keys past the end repeat the last one, with a weight of 0.
            key_at[k] = place_of(seen, token, block + min(k, n_here - 1u));
        }
        for (var k = lane; k < BLOCK; k += HEAD_LANES) {
            var weight = 0.0;
            if k < n_here {
                weight = exp(scores[z_at + block + k] - greatest);
            }
            weights[slot * BLOCK + k] = weight;
            total += weight;
        }
        workgroupBarrier();
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
    if lane == 0u {
        var sum = select(0.0, exp(sink - greatest), run == 0u);
        for (var l = 0u; l < HEAD_LANES; l += 1u) {
            sum += shares[slot * HEAD_LANES + l];
        }
        factors[slot] = 1.0 / sum;
        if RUNS > 1u && first_head + slot < params.n_heads {
            let at = ((token * params.n_heads + first_head + slot) * RUNS + run) * (params.n_quads + 1u);
            out[at + params.n_quads] = vec4<f32>(greatest, sum, 0.0, 0.0);
        }
    }
    workgroupBarrier();
    for (var q = 0u; q < QUADS; q += 1u) {
        let quad = local + q * WORKGROUP;
        for (var h = 0u; h < HEADS; h += 1u) {
            let head = token * params.n_heads + first_head + h;
            if first_head + h >= params.n_heads || quad >= params.n_quads {
                continue;
            }
            if RUNS > 1u {
                out[(head * RUNS + run) * (params.n_quads + 1u) + quad] = sums[h][q];
            } else {
                let sum = sums[h][q] * factors[h];
                out[head * params.n_quads + quad] = turned_quad(sum, seen.position, quad, -1.0);
            }
        }
    }
}
