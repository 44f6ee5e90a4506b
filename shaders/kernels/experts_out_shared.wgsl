// outputs, as `experts_out`, for many tokens on a GPU: a workgroup takes a tile of one expert's rows and of entries of that
// expert's list, in workgroup memory (lib/gemm.wgsl). Sums in f32.
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
@group(0) @binding(1) var<storage, read> hidden: array<TokenQuad>;        // [n_tokens, n_slots, hidden_stride]
@group(0) @binding(2) var<storage, read> lists: array<u32>;               // [all experts, max_tokens]
@group(0) @binding(3) var<storage, read> counts: array<u32>;              // [all experts]
@group(0) @binding(4) var<storage, read> quants: array<vec4<u32>>;        // [n_experts, n_embd, n_blocks, …]
@group(0) @binding(5) var<storage, read> scales: array<u32>;
@group(0) @binding(6) var<storage, read_write> outputs: array<vec4<f32>>; // [n_tokens, n_slots, n_embd / 4]

// The tile's first row, where its entries begin in their list, and how many there are.
var<private> tile_row: u32;
var<private> tile_list: u32;
var<private> tile_entries: u32;

fn x_quad(at: u32) -> TokenQuad {
    return hidden[at];
}

fn write_four(four: u32, place: u32, sums: vec4<f32>) {
    let row = tile_row + four * 4u;
    if place < tile_entries && row < params.n_embd {
        outputs[(lists[tile_list + place] * params.n_embd + row) / 4u] = sums;
    }
}

@compute @workgroup_size(WORKGROUP)
fn experts_out_shared(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = workgroup.y * n_workgroups.x + workgroup.x;
    let n_row_tiles = (params.n_embd + TILE_ROWS - 1u) / TILE_ROWS;
    let first_row = number % n_row_tiles * TILE_ROWS;
    let tile = expert_tile(number / n_row_tiles);
    if tile.n_entries == 0u {
        return;
    }
    tile_row = first_row;
    tile_list = tile.list;
    tile_entries = tile.n_entries;
    // Rows and entries past the end repeat the last one.
    for (var i = local; i < ROW_FOURS; i += WORKGROUP) {
        let rows = min(first_row + i * 4u + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.n_embd - 1u));
        w_from[i] = (tile.expert * params.n_embd + rows) * params.n_blocks;
    }
    for (var i = local; i < TOKEN_FOURS; i += WORKGROUP) {
        x_from[i] = entries_of(tile, i) * params.hidden_stride;
    }
    multiply_tile(local, params.n_blocks);
}
