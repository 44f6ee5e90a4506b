// outputs, as `experts_out`, for many tokens: an invocation holds 8 rows of one expert and 4 entries of that expert's
// list in registers, so that every weight is decoded once for 4 tokens.
// The grid has room for any way in which tokens choose experts; an invocation finds its tile by walking the counts.
// No workgroup memory and no barrier. Sums in f32.
struct Params {
    n_blocks: u32,      // blocks of 32 weights in a row
    hidden_stride: u32, // vectors of 4 from slot to slot in hidden
    n_embd: u32,        // rows of an expert, a multiple of 4
    n_slots: u32,       // experts of a token
    first_expert: u32,  // id of the shard's first expert
    n_experts: u32,     // experts in the shard
    max_tokens: u32,    // places in a list
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> hidden: array<vec4<f32>>;        // [n_tokens, n_slots, hidden_stride]
@group(0) @binding(2) var<storage, read> lists: array<u32>;               // [all experts, max_tokens]
@group(0) @binding(3) var<storage, read> counts: array<u32>;              // [all experts]
@group(0) @binding(4) var<storage, read> quants: array<vec4<u32>>;        // [n_experts, n_embd, n_blocks, …]
@group(0) @binding(5) var<storage, read> scales: array<u32>;
@group(0) @binding(6) var<storage, read_write> outputs: array<vec4<f32>>; // [n_tokens, n_slots, n_embd / 4]

fn write_entry(entry: u32, first_row: u32, s: Sums) {
    let at = (entry * params.n_embd + first_row) / 4u;
    outputs[at] = s.low;
    if first_row + 4u < params.n_embd {
        outputs[at + 1u] = s.high;
    }
}

@compute @workgroup_size(WORKGROUP)
fn experts_out_tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n_row_tiles = (params.n_embd + 7u) / 8u;
    let first_row = (thread % n_row_tiles) * 8u;
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
    let x_rows = entries * params.hidden_stride;
    // Rows past the end repeat the last ones; their results are not written.
    let rows = vec4<u32>(0u, params.n_blocks, 2u * params.n_blocks, 3u * params.n_blocks);
    let low = (index * params.n_embd + first_row) * params.n_blocks + rows;
    let high = (index * params.n_embd + min(first_row + 4u, params.n_embd - 4u)) * params.n_blocks + rows;
    var s0: Sums;
    var s1: Sums;
    var s2: Sums;
    var s3: Sums;
    for (var block = 0u; block < params.n_blocks; block += 1u) {
        let tile = load_tile(low + block, high + block);
        for (var j = 0u; j < 8u; j += 1u) {
            let w = tile_quads(tile, j);
            let at = x_rows + block * 8u + j;
            s0 = add_dots(s0, w, hidden[at.x]);
            s1 = add_dots(s1, w, hidden[at.y]);
            s2 = add_dots(s2, w, hidden[at.z]);
            s3 = add_dots(s3, w, hidden[at.w]);
        }
    }
    write_entry(entries.x, first_row, s0);
    write_entry(entries.y, first_row, s1);
    write_entry(entries.z, first_row, s2);
    write_entry(entries.w, first_row, s3);
}
