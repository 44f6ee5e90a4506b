// The same as `grouped_attend` for few tokens on a GPU: flash decoding. A workgroup takes HEADS query heads that share a key
// head over one run of keys, block by block of WORKGROUP keys, so that keys and values are read once for all of them.
//   scores:  an invocation takes a whole key, so that no sum is exchanged; in blocks (lib/key_order.wgsl) those of a
//            subgroup lie side by side
//   weights: HEAD_LANES invocations take a head: the greatest score, exp, and the sum
//   sums:    an invocation takes a vector of 4 of the values, and every KEY_SETS-th key
// Older sums are scaled down when the greatest score rises. All in f32. Heads come, and sums go, by a contract:
// lib/queries_ready.wgsl, lib/queries_made.wgsl.
struct Params {
    n_heads: u32,
    n_kv_heads: u32,
    n_quads: u32,      // vectors of 4 in a query, a key and a value: QUADS
    value_quads: u32,  // the same
    heads_stride: u32, // vectors of 4 from token to token in heads
    n_positions: u32,  // positions in the cache
    window: u32,       // keys that a token sees at most
    n_splits: u32,
    scale: f32,
    max_tokens: u32,   // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;

const LEAST = -1e30;
const HEAD_LANES = WORKGROUP / HEAD_SLOTS;
const KEY_SETS = WORKGROUP / QUADS;

var<workgroup> quads: array<vec4<f32>, HEADS * QUADS>; // the queries, and at the end the sums
var<workgroup> weights: array<f32, HEADS * WORKGROUP>;
var<workgroup> shares: array<f32, WORKGROUP>;          // what each invocation found of its head
var<workgroup> kept: array<f32, HEAD_SLOTS>;           // factors of the older sums

@compute @workgroup_size(WORKGROUP)
fn grouped_attend_decode(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = workgroup.y * n_workgroups.x + workgroup.x;
    let group = params.n_heads / params.n_kv_heads;
    let n_tiles = (group + HEADS - 1u) / HEADS;
    let run = index % params.n_splits;
    let tile = index / params.n_splits % n_tiles;
    let kv_head = index / params.n_splits / n_tiles % params.n_kv_heads;
    let token = index / params.n_splits / n_tiles / params.n_kv_heads;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let n_before = step.position + token + 1u;
    let n_keys = min(n_before, params.window);
    let n_blocks = (n_keys + BLOCK - 1u) / BLOCK;
    let run_keys = (n_blocks + params.n_splits - 1u) / params.n_splits * BLOCK;
    let first = n_before - n_keys + min(run * run_keys, n_keys);
    let end = min(first + run_keys, n_before);
    let cache_at = kv_head * params.n_positions * QUADS;
    let first_head = kv_head * group + tile * HEADS;
    // Heads past the group's end repeat its last one, and are not written.
    let n_there = min(HEADS, group - tile * HEADS);
    if first < end {
        make_ready(local, token, first_head, n_there, end == n_before);
    }

    let slot = local / HEAD_LANES; // the head whose weights it makes, if there is one
    let lane = local % HEAD_LANES;
    let key_set = local / QUADS;
    let quad = local % QUADS;
    var greatest = LEAST;
    var total = 0.0;
    var sums: array<vec4<f32>, HEADS>;
    for (var h = 0u; h < HEADS; h += 1u) {
        sums[h] = vec4<f32>();
    }
    for (var block = first; block < end; block += WORKGROUP) {
        let n_here = min(end - block, WORKGROUP);
        workgroupBarrier(); // The queries are there, and the weights of the block before are used up.
        if local < n_here {
            let key_at = cache_at + key_quad(block + local, 0u, QUADS);
            var z: array<f32, HEADS>;
            for (var h = 0u; h < HEADS; h += 1u) {
                z[h] = 0.0;
            }
            for (var i = 0u; i < QUADS; i += 1u) {
                let key = unpack_key(keys[key_at + i * KEYS_TOGETHER]);
                for (var h = 0u; h < HEADS; h += 1u) {
                    z[h] += dot(key, quads[h * QUADS + i]);
                }
            }
            for (var h = 0u; h < HEADS; h += 1u) {
                weights[h * WORKGROUP + local] = z[h];
            }
        }
        workgroupBarrier();
        var most = LEAST;
        if slot < HEADS {
            for (var k = lane; k < n_here; k += HEAD_LANES) {
                most = max(most, weights[slot * WORKGROUP + k]);
            }
        }
        shares[local] = most;
        workgroupBarrier();
        most = greatest;
        for (var l = 0u; l < HEAD_LANES; l += 1u) {
            most = max(most, shares[slot * HEAD_LANES + l]);
        }
        let factor = exp(greatest - most);
        greatest = most;
        total *= factor;
        if slot < HEADS {
            for (var k = lane; k < n_here; k += HEAD_LANES) {
                let weight = exp(weights[slot * WORKGROUP + k] - most);
                weights[slot * WORKGROUP + k] = weight;
                total += weight;
            }
        }
        if lane == 0u {
            kept[slot] = factor;
        }
        workgroupBarrier();
        for (var h = 0u; h < HEADS; h += 1u) {
            sums[h] *= kept[h];
        }
        // Four keys at a time, so that four reads are under way.
        var k = select(n_here, key_set, key_set < KEY_SETS);
        let value_at = cache_at + block * QUADS + quad;
        for (; k + 3u * KEY_SETS < n_here; k += 4u * KEY_SETS) {
            let at = value_at + k * QUADS;
            let a = unpack_value(values[at]);
            let b = unpack_value(values[at + KEY_SETS * QUADS]);
            let c = unpack_value(values[at + 2u * KEY_SETS * QUADS]);
            let d = unpack_value(values[at + 3u * KEY_SETS * QUADS]);
            for (var h = 0u; h < HEADS; h += 1u) {
                let w = h * WORKGROUP + k;
                sums[h] += weights[w] * a + weights[w + KEY_SETS] * b;
                sums[h] += weights[w + 2u * KEY_SETS] * c + weights[w + 3u * KEY_SETS] * d;
            }
        }
        for (; k < n_here; k += KEY_SETS) {
            let value = unpack_value(values[value_at + k * QUADS]);
            for (var h = 0u; h < HEADS; h += 1u) {
                sums[h] += weights[h * WORKGROUP + k] * value;
            }
        }
    }

    shares[local] = total;
    if first < end {
        for (var turn = 0u; turn < KEY_SETS; turn += 1u) {
            workgroupBarrier();
            if key_set == turn {
                for (var h = 0u; h < HEADS; h += 1u) {
                    // In the first turn queries stand there.
                    let older = select(quads[h * QUADS + quad], vec4<f32>(), turn == 0u);
                    quads[h * QUADS + quad] = older + sums[h];
                }
            }
        }
    }
    workgroupBarrier();
    let out_at = (token * params.n_heads + first_head) * params.n_splits + run;
    if first < end {
        for (var j = local; j < n_there * QUADS; j += WORKGROUP) {
            keep_sum((out_at + j / QUADS * params.n_splits) * QUADS + j % QUADS, quads[j]);
        }
    }
    if lane == 0u && slot < n_there {
        var sum = 0.0;
        for (var l = 0u; l < HEAD_LANES; l += 1u) {
            sum += shares[slot * HEAD_LANES + l];
        }
        keep_stat(out_at + slot * params.n_splits, vec2<f32>(greatest, sum));
    }
}
