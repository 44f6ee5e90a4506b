// out[t, h] = Σ_k p_k · key_k over the keys of token t (see lib/keys.wgsl), turned back by the token's position, where
//   p_k = exp(z_k − M) / (Σ_k exp(z_k − M) + exp(sink[h] − M)), M = max(sink[h], max_k z_k).
// The sink, the score after the keys', takes weight and has no value. Keys were turned to their own positions, so the
// last 2·rope_pairs elements of the sum turn back by the query's.
// An invocation takes QUADS · 4 elements of HEADS heads of one token, and finds M and the sum for itself: a tile shares
// the weights between its quads and the keys between its heads. All in f32.
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

// What an invocation knows of its heads. Its quads of key k are values.
struct Tile {
    z_at: array<u32, HEADS>,     // first score of each head
    greatest: array<f32, HEADS>, // M
    totals: array<f32, HEADS>,
    sums: array<array<vec4<f32>, QUADS>, HEADS>,
    values: array<vec4<f32>, QUADS>,
}

@compute @workgroup_size(WORKGROUP)
fn attend(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n_quad_tiles = (params.n_quads + QUADS - 1u) / QUADS;
    let n_head_tiles = (params.n_heads + HEADS - 1u) / HEADS;
    let first_quad = thread % n_quad_tiles * QUADS;
    let first_head = thread / n_quad_tiles % n_head_tiles * HEADS;
    let token = thread / n_quad_tiles / n_head_tiles;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let seen = seen_by(token);
    let n_keys = seen.n_window + seen.n_entries;
    // Heads and quads past the end repeat the last one; their results are not written.
    var quads: array<u32, QUADS>;
    for (var q = 0u; q < QUADS; q += 1u) {
        quads[q] = min(first_quad + q, params.n_quads - 1u);
    }
    var tile: Tile;
    var sinks: array<f32, HEADS>;
    for (var h = 0u; h < HEADS; h += 1u) {
        let head = min(first_head + h, params.n_heads - 1u);
        tile.z_at[h] = (token * params.n_heads + head) * params.scores_stride;
        sinks[h] = scores[tile.z_at[h] + n_keys];
        tile.greatest[h] = sinks[h];
    }
    for (var k = 0u; k < n_keys; k += 1u) {
        for (var h = 0u; h < HEADS; h += 1u) {
            tile.greatest[h] = max(tile.greatest[h], scores[tile.z_at[h] + k]);
        }
    }
    for (var k = 0u; k < seen.n_window; k += 1u) {
        let key = window_key(seen, k);
        for (var q = 0u; q < QUADS; q += 1u) {
            tile.values[q] = window[key + quads[q]];
        }
        add_key(&tile, k);
    }
    for (var i = 0u; i < seen.n_entries; i += 1u) {
        let key = entry_key(token, i);
        for (var q = 0u; q < QUADS; q += 1u) {
            tile.values[q] = entries[key + quads[q]];
        }
        add_key(&tile, seen.n_window + i);
    }
    for (var h = 0u; h < HEADS; h += 1u) {
        let total = tile.totals[h] + exp(sinks[h] - tile.greatest[h]);
        for (var q = 0u; q < QUADS; q += 1u) {
            let head = first_head + h;
            let quad = first_quad + q;
            if head < params.n_heads && quad < params.n_quads {
                let sum = tile.sums[h][q] / total;
                out[(token * params.n_heads + head) * params.n_quads + quad] = turned_quad(sum, seen.position, quad, -1.0);
            }
        }
    }
}

fn add_key(tile: ptr<function, Tile>, k: u32) {
    for (var h = 0u; h < HEADS; h += 1u) {
        let weight = exp(scores[(*tile).z_at[h] + k] - (*tile).greatest[h]);
        (*tile).totals[h] += weight;
        for (var q = 0u; q < QUADS; q += 1u) {
            (*tile).sums[h][q] += weight * (*tile).values[q];
        }
    }
}
