// hidden, as `experts_in`, for many tokens on a GPU: a workgroup takes a tile of one expert's gate and up rows, by turns, and
// of entries of that expert's list, in workgroup memory (lib/gemm.wgsl). Sums in f32.
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
@group(0) @binding(1) var<storage, read> x: array<TokenQuad>;      // [n_tokens, x_stride]
@group(0) @binding(2) var<storage, read> lists: array<u32>;        // [all experts, max_tokens]: token · n_slots + slot
@group(0) @binding(3) var<storage, read> counts: array<u32>;       // [all experts]
@group(0) @binding(4) var<storage, read> weights: array<f32>;      // [n_tokens, n_slots]
@group(0) @binding(5) var<storage, read> quants: array<vec4<u32>>; // [2 (gate, up), n_experts, n_hidden, n_blocks, …]
@group(0) @binding(6) var<storage, read> scales: array<u32>;
@group(0) @binding(7) var<storage, read_write> hidden: array<f32>; // [n_tokens, n_slots, n_hidden]

// The tile's first hidden unit, where its entries begin in their list, and how many there are.
var<private> tile_unit: u32;
var<private> tile_list: u32;
var<private> tile_entries: u32;

fn x_quad(at: u32) -> TokenQuad {
    return x[at];
}

// Gate and up of one unit, and of the next.
fn write_four(four: u32, place: u32, sums: vec4<f32>) {
    let unit = tile_unit + four * 2u;
    if place >= tile_entries || unit >= params.n_hidden {
        return;
    }
    let gate = min(sums.xz, vec2<f32>(params.limit));
    let up = clamp(sums.yw, vec2<f32>(-params.limit), vec2<f32>(params.limit));
    // The clamp keeps exp finite; beyond it silu is 0 to rounding.
    let silu = gate / (1.0 + exp(-max(gate, vec2<f32>(-80.0))));
    let entry = lists[tile_list + place];
    let values = silu * up * weights[entry];
    let at = entry * params.n_hidden + unit;
    hidden[at] = values.x;
    hidden[at + 1u] = values.y;
}

@compute @workgroup_size(WORKGROUP)
fn experts_in_shared(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = workgroup.y * n_workgroups.x + workgroup.x;
    let n_unit_tiles = (params.n_hidden * 2u + TILE_ROWS - 1u) / TILE_ROWS;
    let first_unit = number % n_unit_tiles * (TILE_ROWS / 2u);
    let tile = expert_tile(number / n_unit_tiles);
    if tile.n_entries == 0u {
        return;
    }
    tile_unit = first_unit;
    tile_list = tile.list;
    tile_entries = tile.n_entries;
    // Units and entries past the end repeat the last one.
    for (var i = local; i < ROW_FOURS; i += WORKGROUP) {
        let units = min(vec2<u32>(first_unit + i * 2u) + vec2<u32>(0u, 1u), vec2<u32>(params.n_hidden - 1u));
        let gates = tile.expert * params.n_hidden + units;
        let ups = gates + params.n_experts * params.n_hidden;
        w_from[i] = vec4<u32>(gates.x, ups.x, gates.y, ups.y) * params.n_blocks;
    }
    for (var i = local; i < TOKEN_FOURS; i += WORKGROUP) {
        x_from[i] = entries_of(tile, i) / params.n_slots * params.x_stride;
    }
    multiply_tile(local, params.n_blocks);
}
