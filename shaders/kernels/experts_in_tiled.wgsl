// hidden, as `experts_in`, for many tokens: an invocation holds the gate and up rows of 2 hidden units of one expert
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

@compute @workgroup_size(WORKGROUP)
fn experts_in_tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n_row_tiles = params.n_hidden / 2u;
    let unit = (thread % n_row_tiles) * 2u;
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
    // Entries past the end repeat the last one; their results are not written.
    let list = expert * params.max_tokens + tile * 4u;
    let places = list + min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(n_entries - 1u));
    let entries = vec4<u32>(lists[places.x], lists[places.y], lists[places.z], lists[places.w]);
    let x_rows = entries / params.n_slots * params.x_stride;
    let gate_row = (index * params.n_hidden + unit) * params.n_blocks;
    let up_row = gate_row + params.n_experts * params.n_hidden * params.n_blocks;
    // For each entry: gate of both units, then up of both.
    var sums: array<vec4<f32>, 4>;
    for (var block = 0u; block < params.n_blocks; block += 1u) {
        let gate_0 = load_block(gate_row + block);
        let gate_1 = load_block(gate_row + params.n_blocks + block);
        let up_0 = load_block(up_row + block);
        let up_1 = load_block(up_row + params.n_blocks + block);
        for (var j = 0u; j < 8u; j += 1u) {
            let g0 = block_quad(gate_0, j);
            let g1 = block_quad(gate_1, j);
            let u0 = block_quad(up_0, j);
            let u1 = block_quad(up_1, j);
            for (var t = 0u; t < 4u; t += 1u) {
                let v = x[x_rows[t] + block * 8u + j];
                sums[t] += vec4<f32>(dot(g0, v), dot(g1, v), dot(u0, v), dot(u1, v));
            }
        }
    }
    for (var t = 0u; t < n_entries; t += 1u) {
        let g = min(sums[t].xy, vec2<f32>(params.limit));
        let u = clamp(sums[t].zw, vec2<f32>(-params.limit), vec2<f32>(params.limit));
        // The clamp keeps exp finite; beyond it silu is 0 to rounding.
        let silu = g / (1.0 + exp(-max(g, vec2<f32>(-80.0))));
        let values = silu * u * weights[entries[t]];
        hidden[entries[t] * params.n_hidden + unit] = values.x;
        hidden[entries[t] * params.n_hidden + unit + 1u] = values.y;
    }
}
