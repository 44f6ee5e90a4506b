// hidden, as `experts_in`, for many tokens: an invocation holds the gate and up rows of 4 hidden units of one expert
// and 4 entries of that expert's list in registers, so that every weight is decoded once for 4 tokens.
// The grid has room for any way in which tokens choose experts; an invocation finds its tile by walking the counts.
// No workgroup memory and no barrier. Sums in f32.
struct Params {
    n_blocks: u32,     // blocks of 32 weights in a row
    x_stride: u32,     // vectors of 4 from token to token in x
    n_hidden: u32,     // hidden units of an expert, a multiple of 4
    n_slots: u32,      // experts of a token
    first_expert: u32, // id of the shard's first expert
    n_experts: u32,    // experts in the shard
    limit: f32,        // where gate and up are cut off
    max_tokens: u32,   // places in a list
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;      // [n_tokens, x_stride]
@group(0) @binding(2) var<storage, read> lists: array<u32>;        // [all experts, max_tokens]: token · n_slots + slot
@group(0) @binding(3) var<storage, read> counts: array<u32>;       // [all experts]
@group(0) @binding(4) var<storage, read> weights: array<f32>;      // [n_tokens, n_slots]
@group(0) @binding(5) var<storage, read> quants: array<vec4<u32>>; // [2 (gate, up), n_experts, n_hidden, n_blocks, …]
@group(0) @binding(6) var<storage, read> scales: array<u32>;
@group(0) @binding(7) var<storage, read_write> hidden: array<f32>; // [n_tokens, n_slots, n_hidden]

fn write_entry(entry: u32, unit: u32, s: Sums) {
    let gate = min(s.low, vec4<f32>(params.limit));
    let up = clamp(s.high, vec4<f32>(-params.limit), vec4<f32>(params.limit));
    // The clamp keeps exp finite; beyond it silu is 0 to rounding.
    let silu = gate / (1.0 + exp(-max(gate, vec4<f32>(-80.0))));
    let values = silu * up * weights[entry];
    let at = entry * params.n_hidden + unit;
    hidden[at] = values.x;
    hidden[at + 1u] = values.y;
    hidden[at + 2u] = values.z;
    hidden[at + 3u] = values.w;
}

@compute @workgroup_size(WORKGROUP)
fn experts_in_tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n_row_tiles = params.n_hidden / 4u;
    let unit = (thread % n_row_tiles) * 4u;
    var tile = thread / n_row_tiles;
    var index = 0u; // of the expert in the shard
    var n_tiles = (counts[params.first_expert] + 3u) / 4u;
    while tile >= n_tiles {
        tile -= n_tiles;
        index += 1u;
        if index >= params.n_experts {
            return;
        }
        n_tiles = (counts[params.first_expert + index] + 3u) / 4u;
    }
    let expert = params.first_expert + index;
    let n_entries = min(counts[expert] - tile * 4u, 4u);
    // Entries past the end repeat the last one, and write the same values once more.
    let list = expert * params.max_tokens + tile * 4u;
    let places = list + min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(n_entries - 1u));
    let entries = vec4<u32>(lists[places.x], lists[places.y], lists[places.z], lists[places.w]);
    let x_rows = entries / params.n_slots * params.x_stride;
    // Gates of the four units are the tile's rows 0 to 3, ups are rows 4 to 7.
    let low = (index * params.n_hidden + unit + vec4<u32>(0u, 1u, 2u, 3u)) * params.n_blocks;
    let high = low + params.n_experts * params.n_hidden * params.n_blocks;
    var s0: Sums;
    var s1: Sums;
    var s2: Sums;
    var s3: Sums;
    for (var block = 0u; block < params.n_blocks; block += 1u) {
        let tile = load_tile(low + block, high + block);
        for (var j = 0u; j < 8u; j += 1u) {
            let w = tile_quads(tile, j);
            let at = x_rows + block * 8u + j;
            s0 = add_dots(s0, w, x[at.x]);
            s1 = add_dots(s1, w, x[at.y]);
            s2 = add_dots(s2, w, x[at.z]);
            s3 = add_dots(s3, w, x[at.w]);
        }
    }
    write_entry(entries.x, unit, s0);
    write_entry(entries.y, unit, s1);
    write_entry(entries.z, unit, s2);
    write_entry(entries.w, unit, s3);
}
