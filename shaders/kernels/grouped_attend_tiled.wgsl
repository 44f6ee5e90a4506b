// The same as `grouped_attend` for many queries on a GPU: flash attention by tiles. A row is a query: a token and one of the
// query heads that share a key head. A workgroup takes ROWS rows over one run of keys, tile by tile of 64 keys:
//   scores:  an invocation makes those of 4 rows by 4 keys, 16 keys apart, in registers; all heads of a key are read once
//   weights: the greatest score of a row goes through workgroup memory, then exp
//   sums:    an invocation takes 4 rows and every 16th vector of 4 of the values; weights come from workgroup memory
// Older sums are scaled down when the greatest score rises. All in f32.
struct Params {
    n_heads: u32,
    n_kv_heads: u32,
    n_quads: u32,      // vectors of 4 in a query and a key, and from value to value of the cache: QUADS
    value_quads: u32,  // vectors of 4 in a value: VALUE_QUADS
    heads_stride: u32, // vectors of 4 from token to token in heads
    n_positions: u32,  // positions in the cache
    window: u32,       // keys that a token sees at most
    n_splits: u32,     // 1 but for a step of one token
    scale: f32,
    max_tokens: u32,   // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> heads: array<vec4<f32>>;         // [n_tokens, heads_stride], queries first
@group(0) @binding(3) var<storage, read> keys: array<KeyQuad>;            // [n_kv_heads], see lib/key_order.wgsl
@group(0) @binding(4) var<storage, read> values: array<ValueQuad>;        // [n_kv_heads, n_positions, QUADS]
@group(0) @binding(5) var<storage, read_write> partial: array<vec4<f32>>; // [n_tokens, n_heads, n_splits, VALUE_QUADS]
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>;   // [n_tokens, n_heads, n_splits]

const LEAST = -1e30;
const KEYS = 64u;
const ROWS = WORKGROUP / 4u;
// Vectors of 4 of the values that an invocation takes of each row.
const PARTS = (VALUE_QUADS + 15u) / 16u;

var<workgroup> weights: array<vec4<f32>, KEYS * ROWS / 4u>; // [ROWS / 4][KEYS], of 4 rows each
var<workgroup> shares: array<vec4<f32>, WORKGROUP>;         // what each invocation found of its 4 rows

@compute @workgroup_size(WORKGROUP)
fn grouped_attend_tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = workgroup.y * n_workgroups.x + workgroup.x;
    let group = params.n_heads / params.n_kv_heads;
    let n_tiles = (params.max_tokens * group + ROWS - 1u) / ROWS;
    let run = index % params.n_splits;
    let kv_head = index / params.n_splits % params.n_kv_heads;
    // The last rows see the most keys: they begin first.
    let nth = index / params.n_splits / params.n_kv_heads;
    if nth >= n_tiles {
        return;
    }
    let first_row = (n_tiles - 1u - nth) * ROWS;
    let n_rows = min(step.n_tokens, params.max_tokens) * group;
    if first_row >= n_rows {
        return;
    }
    let last_row = min(first_row + ROWS, n_rows) - 1u;
    let n_before = step.position + last_row / group + 1u;
    // Keys that no row sees, since the first one's window begins behind them.
    let first_seen = step.position + first_row / group + 1u;
    let skipped = first_seen - min(first_seen, params.window);
    let n_keys = n_before - skipped;
    let n_blocks = (n_keys + BLOCK - 1u) / BLOCK;
    let run_keys = (n_blocks + params.n_splits - 1u) / params.n_splits * BLOCK;
    let first = skipped + min(run * run_keys, n_keys);
    let end = min(first + run_keys, n_before);
    let cache_at = kv_head * params.n_positions * QUADS;

    let four = local / 16u; // its rows, four by four
    let lane = local % 16u;
    // Rows past the end repeat the last one, and write the same.
    let rows = min(first_row + four * 4u + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last_row));
    let tokens = rows / group;
    let query_at = tokens * params.heads_stride + (kv_head * group + rows % group) * QUADS;
    let seen = step.position + tokens + 1u;
    let unseen = seen - min(seen, vec4<u32>(params.window));

    var greatest = vec4<f32>(LEAST);
    var total = vec4<f32>();
    var a: array<vec4<f32>, PARTS>;
    var b: array<vec4<f32>, PARTS>;
    var c: array<vec4<f32>, PARTS>;
    var d: array<vec4<f32>, PARTS>;
    for (var part = 0u; part < PARTS; part += 1u) {
        a[part] = vec4<f32>();
        b[part] = vec4<f32>();
        c[part] = vec4<f32>();
        d[part] = vec4<f32>();
    }
    for (var tile = first; tile < end; tile += KEYS) {
        // Keys past the end repeat the last one, and weigh nothing.
        let key = tile + lane + vec4<u32>(0u, 16u, 32u, 48u);
        let there = min(key, vec4<u32>(end - 1u));
        let k0 = cache_at + key_quad(there.x, 0u, QUADS);
        let k1 = cache_at + key_quad(there.y, 0u, QUADS);
        let k2 = cache_at + key_quad(there.z, 0u, QUADS);
        let k3 = cache_at + key_quad(there.w, 0u, QUADS);
        var s0 = vec4<f32>();
        var s1 = vec4<f32>();
        var s2 = vec4<f32>();
        var s3 = vec4<f32>();
        for (var i = 0u; i < QUADS; i += 1u) {
            let q = mat4x4<f32>(heads[query_at.x + i], heads[query_at.y + i], heads[query_at.z + i], heads[query_at.w + i]);
            s0 += unpack_key(keys[k0 + i * KEYS_TOGETHER]) * q;
            s1 += unpack_key(keys[k1 + i * KEYS_TOGETHER]) * q;
            s2 += unpack_key(keys[k2 + i * KEYS_TOGETHER]) * q;
            s3 += unpack_key(keys[k3 + i * KEYS_TOGETHER]) * q;
        }
        let limit = min(seen, vec4<u32>(end));
        s0 = select(vec4<f32>(LEAST), params.scale * s0, (vec4<u32>(key.x) < limit) & (vec4<u32>(key.x) >= unseen));
        s1 = select(vec4<f32>(LEAST), params.scale * s1, (vec4<u32>(key.y) < limit) & (vec4<u32>(key.y) >= unseen));
        s2 = select(vec4<f32>(LEAST), params.scale * s2, (vec4<u32>(key.z) < limit) & (vec4<u32>(key.z) >= unseen));
        s3 = select(vec4<f32>(LEAST), params.scale * s3, (vec4<u32>(key.w) < limit) & (vec4<u32>(key.w) >= unseen));
        shares[local] = max(max(s0, s1), max(s2, s3));
        workgroupBarrier(); // The weights of the tile before are used up, too.
        var most = greatest;
        for (var l = 0u; l < 16u; l += 1u) {
            most = max(most, shares[four * 16u + l]);
        }
        let kept = exp(greatest - most);
        greatest = most;
        s0 = exp(s0 - most);
        s1 = exp(s1 - most);
        s2 = exp(s2 - most);
        s3 = exp(s3 - most);
        total = kept * total + ((s0 + s1) + (s2 + s3));
        let weight_at = four * KEYS;
        weights[weight_at + lane] = s0;
        weights[weight_at + lane + 16u] = s1;
        weights[weight_at + lane + 32u] = s2;
        weights[weight_at + lane + 48u] = s3;
        workgroupBarrier();
        for (var part = 0u; part < PARTS; part += 1u) {
            a[part] *= kept.x;
            b[part] *= kept.y;
            c[part] *= kept.z;
            d[part] *= kept.w;
        }
        let n_here = min(end - tile, KEYS);
        for (var k = 0u; k < n_here; k += 1u) {
            let w = weights[weight_at + k];
            let value_at = cache_at + (tile + k) * QUADS;
            for (var part = 0u; part < PARTS; part += 1u) {
                let value = unpack_value(values[value_at + min(lane + 16u * part, VALUE_QUADS - 1u)]);
                a[part] += w.x * value;
                b[part] += w.y * value;
                c[part] += w.z * value;
                d[part] += w.w * value;
            }
        }
    }

    workgroupBarrier(); // The shares of the last tile are used up.
    shares[local] = total;
    workgroupBarrier();
    let heads_at = tokens * params.n_heads + kv_head * group + rows % group;
    let out_at = heads_at * params.n_splits + run;
    if first < end {
        for (var part = 0u; part < PARTS; part += 1u) {
            let quad = lane + 16u * part;
            if quad < VALUE_QUADS {
                partial[out_at.x * VALUE_QUADS + quad] = a[part];
                partial[out_at.y * VALUE_QUADS + quad] = b[part];
                partial[out_at.z * VALUE_QUADS + quad] = c[part];
                partial[out_at.w * VALUE_QUADS + quad] = d[part];
            }
        }
    }
    if lane == 0u {
        var sum = vec4<f32>();
        for (var l = 0u; l < 16u; l += 1u) {
            sum += shares[four * 16u + l];
        }
        stats[out_at.x] = vec2<f32>(greatest.x, sum.x);
        stats[out_at.y] = vec2<f32>(greatest.y, sum.y);
        stats[out_at.z] = vec2<f32>(greatest.z, sum.z);
        stats[out_at.w] = vec2<f32>(greatest.w, sum.w);
    }
}
