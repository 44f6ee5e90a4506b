// A run of keys that heads attend to, which share them. For each head, over the run's keys k, with z_k = scale · query · key_k and
// M = max z_k:
//   partial = Σ_k exp(z_k − M) · value_k;   stats = (M, Σ_k exp(z_k − M))
// and (−1e30, 0) where a run has no keys. `grouped_merge` makes one of the runs.
// A group of lanes takes HEADS heads, block by block of BLOCK keys: M and the sums are carried from block to block, the older ones
// scaled down when M rises. Lanes take keys in turn for the scores, and vectors of 4 for the sums. All in f32.
// The kernel binds heads, partial and stats, has the params by which they lie, and says of keys of n vectors of 4 where key k is,
// key_place(n, k), what vector i of the key there is, key_at(place, i), and what that of its value is, value_at(n, k, i).
struct Run {
    token: u32,
    number: u32,     // of the token's n_splits runs
    first: u32,      // its keys, as the kernel counts them
    end: u32,
    first_head: u32, // of the heads that share them
    n_heads: u32,    // how many these are
    tile: u32,       // which HEADS of them
    n: u32,          // vectors of 4 in a key
}

const LEAST = -1e30;

fn attend_run(lane: u32, run: Run) {
    let n = run.n;
    // Heads past the last one repeat it, and are not written.
    var query_at: array<u32, HEADS>;
    var out_at: array<u32, HEADS>;
    var is_there: array<bool, HEADS>;
    var greatest: array<f32, HEADS>;
    var totals: array<f32, HEADS>;
    for (var h = 0u; h < HEADS; h += 1u) {
        let member = run.tile * HEADS + h;
        let head = run.first_head + min(member, run.n_heads - 1u);
        query_at[h] = run.token * params.heads_stride + head * n;
        out_at[h] = (run.token * params.n_heads + head) * params.n_splits + run.number;
        is_there[h] = member < run.n_heads;
        greatest[h] = LEAST;
        totals[h] = 0.0;
    }
    for (var block = run.first; block < run.end; block += BLOCK) {
        let n_here = min(BLOCK, run.end - block);
        block_barrier(); // Readers of the block before are done.
        var most: array<f32, HEADS>;
        for (var h = 0u; h < HEADS; h += 1u) {
            most[h] = LEAST;
        }
        for (var k = lane; k < n_here; k += LANES) {
            let place = key_place(n, block + k);
            // Cleared by hand: SwiftShader under Chromium keeps a loop's arrays from turn to turn.
            var z: array<f32, HEADS>;
            for (var h = 0u; h < HEADS; h += 1u) {
                z[h] = 0.0;
            }
            // Four at a time: loops cost turns (`Config::within_turns`).
            var i = 0u;
            for (; i + 3u < n; i += 4u) {
                let a = key_at(place, i);
                let b = key_at(place, i + 1u);
                let c = key_at(place, i + 2u);
                let d = key_at(place, i + 3u);
                for (var h = 0u; h < HEADS; h += 1u) {
                    let at = query_at[h] + i;
                    z[h] += dot(a, heads[at]) + dot(b, heads[at + 1u]) + dot(c, heads[at + 2u]) + dot(d, heads[at + 3u]);
                }
            }
            for (; i < n; i += 1u) {
                let a = key_at(place, i);
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
                let a = value_at(n, block + k, i);
                let b = value_at(n, block + k + 1u, i);
                let c = value_at(n, block + k + 2u, i);
                let d = value_at(n, block + k + 3u, i);
                for (var h = 0u; h < HEADS; h += 1u) {
                    let w = h * BLOCK + k;
                    sums[h] += block_weights[w] * a + block_weights[w + 1u] * b;
                    sums[h] += block_weights[w + 2u] * c + block_weights[w + 3u] * d;
                }
            }
            for (; k < n_here; k += 1u) {
                let a = value_at(n, block + k, i);
                for (var h = 0u; h < HEADS; h += 1u) {
                    sums[h] += block_weights[h * BLOCK + k] * a;
                }
            }
            for (var h = 0u; h < HEADS; h += 1u) {
                if is_there[h] {
                    let at = out_at[h] * params.value_quads + i;
                    // What lies there from another step may be no number, which a product with 0 would keep.
                    let older = select(kept[h] * partial[at], vec4<f32>(), block == run.first);
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
