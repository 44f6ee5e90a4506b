// A part of V3.2's attention: the token at position p sees the rows of n = min(p + 1, top_k) chosen positions, cut into
// n_splits runs of whole blocks. A row is the key of every head, and its begin the value.
// For each head and each run, over its rows k, with z_k = scale · query · row_k and M = max z_k:
//   partial = Σ_k exp(z_k − M) · value_k;   stats = (M, Σ_k exp(z_k − M))
// and (−1e30, 0) where a run has no rows. `grouped_merge` makes one of them.
// A group of lanes takes HEADS heads over one run, block by block of BLOCK rows: M and the sums are carried from block to
// block, the older ones scaled down when M rises. Lanes take rows in turn for the scores, and vectors of 4 for the sums.
// All in f32.
struct Params {
    n_heads: u32,
    n_quads: u32,      // vectors of 4 in a query and a row
    value_quads: u32,  // vectors of 4 in a value
    heads_stride: u32, // vectors of 4 from token to token in heads
    top_k: u32,
    n_splits: u32,
    scale: f32,
    max_tokens: u32,   // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> heads: array<vec4<f32>>;         // [n_tokens, heads_stride]
@group(0) @binding(3) var<storage, read> rows: array<KeyQuad>;            // [n_positions, n_quads]
@group(0) @binding(4) var<storage, read> selected: array<u32>;            // [n_tokens, top_k]
@group(0) @binding(5) var<storage, read_write> partial: array<vec4<f32>>; // [n_tokens, n_heads, n_splits, value_quads]
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>;   // [n_tokens, n_heads, n_splits]

const LEAST = -1e30;

@compute @workgroup_size(WORKGROUP)
fn selected_attend(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n = params.n_quads;
    let n_tiles = (params.n_heads + HEADS - 1u) / HEADS;
    let run = index % params.n_splits;
    let tile = index / params.n_splits % n_tiles;
    let token = index / params.n_splits / n_tiles;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let n_rows = min(step.position + token + 1u, params.top_k);
    let n_blocks = (n_rows + BLOCK - 1u) / BLOCK;
    let run_rows = (n_blocks + params.n_splits - 1u) / params.n_splits * BLOCK;
    let first = min(run * run_rows, n_rows);
    let end = min(first + run_rows, n_rows);
    let selected_at = token * params.top_k;

    // Heads past the last one repeat it, and are not written.
    var query_at: array<u32, HEADS>;
    var out_at: array<u32, HEADS>;
    var is_there: array<bool, HEADS>;
    var greatest: array<f32, HEADS>;
    var totals: array<f32, HEADS>;
    for (var h = 0u; h < HEADS; h += 1u) {
        let head = min(tile * HEADS + h, params.n_heads - 1u);
        query_at[h] = token * params.heads_stride + head * n;
        out_at[h] = (token * params.n_heads + head) * params.n_splits + run;
        is_there[h] = tile * HEADS + h < params.n_heads;
        greatest[h] = LEAST;
        totals[h] = 0.0;
    }
    for (var block = first; block < end; block += BLOCK) {
        let n_here = min(BLOCK, end - block);
        block_barrier(); // Readers of the block before are done.
        var most: array<f32, HEADS>;
        for (var h = 0u; h < HEADS; h += 1u) {
            most[h] = LEAST;
        }
        for (var k = lane; k < n_here; k += LANES) {
            let row_at = selected[selected_at + block + k] * n;
            // Cleared by hand: SwiftShader under Chromium keeps a loop's arrays from turn to turn.
            var z: array<f32, HEADS>;
            for (var h = 0u; h < HEADS; h += 1u) {
                z[h] = 0.0;
            }
            // Four at a time: loops cost turns (`Config::within_turns`).
            var i = 0u;
            for (; i + 3u < n; i += 4u) {
                let a = unpack_key(rows[row_at + i]);
                let b = unpack_key(rows[row_at + i + 1u]);
                let c = unpack_key(rows[row_at + i + 2u]);
                let d = unpack_key(rows[row_at + i + 3u]);
                for (var h = 0u; h < HEADS; h += 1u) {
                    let at = query_at[h] + i;
                    z[h] += dot(a, heads[at]) + dot(b, heads[at + 1u]) + dot(c, heads[at + 2u]) + dot(d, heads[at + 3u]);
                }
            }
            for (; i < n; i += 1u) {
                let a = unpack_key(rows[row_at + i]);
                for (var h = 0u; h < HEADS; h += 1u) {
                    z[h] += dot(a, heads[query_at[h] + i]);
                }
            }
            for (var h = 0u; h < HEADS; h += 1u) {
                let score = params.scale * z[h];
                block_weights[h * BLOCK + k] = score;
                most[h] = max(most[h], score);
            }
        }
        var kept: array<f32, HEADS>;
        var added: array<f32, HEADS>;
        for (var h = 0u; h < HEADS; h += 1u) {
            let m = max(greatest[h], reduce_max(lane, most[h]));
            kept[h] = exp(greatest[h] - m);
            greatest[h] = m;
            added[h] = 0.0;
        }
        for (var k = lane; k < n_here; k += LANES) {
            for (var h = 0u; h < HEADS; h += 1u) {
                let weight = exp(block_weights[h * BLOCK + k] - greatest[h]);
                block_weights[h * BLOCK + k] = weight;
                added[h] += weight;
            }
        }
        for (var h = 0u; h < HEADS; h += 1u) {
            totals[h] = kept[h] * totals[h] + reduce_sum(lane, added[h]);
        }
        block_barrier(); // All weights of the block are there.
        for (var i = lane; i < params.value_quads; i += LANES) {
            var sums: array<vec4<f32>, HEADS>;
            for (var h = 0u; h < HEADS; h += 1u) {
                sums[h] = vec4<f32>();
            }
            var k = 0u;
            for (; k + 3u < n_here; k += 4u) {
                let a = unpack_key(rows[selected[selected_at + block + k] * n + i]);
                let b = unpack_key(rows[selected[selected_at + block + k + 1u] * n + i]);
                let c = unpack_key(rows[selected[selected_at + block + k + 2u] * n + i]);
                let d = unpack_key(rows[selected[selected_at + block + k + 3u] * n + i]);
                for (var h = 0u; h < HEADS; h += 1u) {
                    let w = h * BLOCK + k;
                    sums[h] += block_weights[w] * a + block_weights[w + 1u] * b;
                    sums[h] += block_weights[w + 2u] * c + block_weights[w + 3u] * d;
                }
            }
            for (; k < n_here; k += 1u) {
                let a = unpack_key(rows[selected[selected_at + block + k] * n + i]);
                for (var h = 0u; h < HEADS; h += 1u) {
                    sums[h] += block_weights[h * BLOCK + k] * a;
                }
            }
            for (var h = 0u; h < HEADS; h += 1u) {
                if is_there[h] {
                    let at = out_at[h] * params.value_quads + i;
                    // What lies there from another step may be no number, which a product with 0 would keep.
                    let older = select(kept[h] * partial[at], vec4<f32>(), block == first);
                    partial[at] = older + sums[h];
                }
            }
        }
    }
    if lane == 0u {
        for (var h = 0u; h < HEADS; h += 1u) {
            if is_there[h] {
                stats[out_at[h]] = vec2<f32>(greatest[h], totals[h]);
            }
        }
    }
}
