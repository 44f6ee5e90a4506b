// outputs, as `experts_out`, for many tokens: an invocation holds 4 rows of one expert and 4 entries of that expert's
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

@compute @workgroup_size(WORKGROUP)
fn experts_out_tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n_row_tiles = params.n_embd / 4u;
    let row_tile = thread % n_row_tiles;
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
    let first = (index * params.n_embd + row_tile * 4u) * params.n_blocks;
    var sums: array<vec4<f32>, 4>;
    for (var block = 0u; block < params.n_blocks; block += 1u) {
        let b0 = load_block(first + block);
        let b1 = load_block(first + params.n_blocks + block);
        let b2 = load_block(first + 2u * params.n_blocks + block);
        let b3 = load_block(first + 3u * params.n_blocks + block);
        for (var j = 0u; j < 8u; j += 1u) {
            let w0 = block_quad(b0, j);
            let w1 = block_quad(b1, j);
            let w2 = block_quad(b2, j);
            let w3 = block_quad(b3, j);
            for (var t = 0u; t < 4u; t += 1u) {
                let v = hidden[entries[t] * params.hidden_stride + block * 8u + j];
                sums[t] += vec4<f32>(dot(w0, v), dot(w1, v), dot(w2, v), dot(w3, v));
            }
        }
    }
    for (var t = 0u; t < n_entries; t += 1u) {
        outputs[entries[t] * n_row_tiles + row_tile] = sums[t];
    }
}
