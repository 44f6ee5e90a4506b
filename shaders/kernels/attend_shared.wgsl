// The same as `attend` for many tokens on a GPU. A workgroup takes HEADS heads of one token, which share its keys:
//   greatest: HEAD_LANES invocations take a head
//   weights:  the same, BLOCK keys at a time, into workgroup memory
//   sums:     an invocation takes QUADS vectors of 4 of every head, and reads each key once for all of them
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
const BLOCK = 64u;

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
    let first_head = index % n_head_tiles * HEADS;
    let token = index / n_head_tiles;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let seen = seen_by(token);
    let n_keys = seen.n_window + seen.n_entries;
    // Heads past the end repeat the last one; their results are not written.
    let slot = local / HEAD_LANES;
    let lane = local % HEAD_LANES;
    let z_at = (token * params.n_heads + min(first_head + slot, params.n_heads - 1u)) * params.scores_stride;
    let sink = scores[z_at + n_keys];
    var greatest = sink;
    for (var k = lane; k < n_keys; k += HEAD_LANES) {
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
    for (var block = 0u; block < n_keys; block += BLOCK) {
        let n_here = min(n_keys - block, BLOCK);
        workgroupBarrier(); // The weights of the block before are used up.
        for (var k = lane; k < n_here; k += HEAD_LANES) {
            let weight = exp(scores[z_at + block + k] - greatest);
            weights[slot * BLOCK + k] = weight;
            total += weight;
        }
        workgroupBarrier();
        let n_window = min(max(seen.n_window, block) - block, n_here);
        for (var k = 0u; k < n_window; k += 1u) {
            let key = window_key(seen, block + k);
            for (var q = 0u; q < QUADS; q += 1u) {
                let value = window[key + quads[q]];
                for (var h = 0u; h < HEADS; h += 1u) {
                    sums[h][q] += weights[h * BLOCK + k] * value;
                }
            }
        }
        for (var k = n_window; k < n_here; k += 1u) {
            let key = entry_key(token, block + k - seen.n_window);
            for (var q = 0u; q < QUADS; q += 1u) {
                let value = entries[key + quads[q]];
                for (var h = 0u; h < HEADS; h += 1u) {
                    sums[h][q] += weights[h * BLOCK + k] * value;
                }
            }
        }
    }
    workgroupBarrier(); // What is greatest was read by all.
    shares[local] = total;
    workgroupBarrier();
    if lane == 0u {
        var sum = exp(sink - greatest);
        for (var l = 0u; l < HEAD_LANES; l += 1u) {
            sum += shares[slot * HEAD_LANES + l];
        }
        factors[slot] = 1.0 / sum;
    }
    workgroupBarrier();
    for (var q = 0u; q < QUADS; q += 1u) {
        let quad = local + q * WORKGROUP;
        for (var h = 0u; h < HEADS; h += 1u) {
            let head = first_head + h;
            if head < params.n_heads && quad < params.n_quads {
                let sum = sums[h][q] * factors[h];
                let low = turned_back(sum.xy, seen.position, 2u * quad);
                let high = turned_back(sum.zw, seen.position, 2u * quad + 1u);
                out[(token * params.n_heads + head) * params.n_quads + quad] = vec4<f32>(low, high);
            }
        }
    }
}
