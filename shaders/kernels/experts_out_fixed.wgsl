// outputs[t, slot, d] = Σ_i down[e][d, i] · hidden[t, slot, i], as `experts_out`, with hidden in fixed point (see fixed_point.wgsl) and
// weights as four codes of 8 bits in a word; sums over a block are exact, as in `linear_fixed`.
// A group of lanes takes ROWS rows of one slot and walks along them block by block; lanes take blocks in turn, or BLOCK_LANES of them
// a block together.
struct Params {
    n_blocks: u32,      // blocks of 32 weights in a row
    hidden_stride: u32, // vectors of 4 words from slot to slot in hidden
    n_embd: u32,        // rows of an expert
    n_slots: u32,       // experts of a token
    first_expert: u32,  // id of the shard's first expert
    n_experts: u32,     // experts in the shard
    max_tokens: u32,    // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> hidden: array<vec4<u32>>;  // [n_tokens, n_slots, n_blocks, FIXED_QUADS]
@group(0) @binding(3) var<storage, read> experts: array<u32>;       // [n_tokens, n_slots]
@group(0) @binding(4) var<storage, read> quants: array<vec4<u32>>;  // [n_experts, n_embd, n_blocks, …]
@group(0) @binding(5) var<storage, read> scales: array<u32>;
@group(0) @binding(6) var<storage, read_write> outputs: array<f32>; // [n_tokens, n_slots, n_embd]

fn fixed_at(at: u32) -> vec4<u32> {
    return hidden[at];
}

@compute @workgroup_size(WORKGROUP)
fn experts_out_fixed(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = group_lane(local);
    let n_row_groups = (params.n_embd + ROWS - 1u) / ROWS;
    let entry = row_owner(workgroup, n_workgroups, n_row_groups);
    if entry >= min(step.n_tokens, params.max_tokens) * params.n_slots {
        return;
    }
    // The whole group reads the same word of a read-only buffer, so it leaves or stays together.
    let expert = experts[entry];
    if expert < params.first_expert || expert - params.first_expert >= params.n_experts {
        return;
    }
    let first = row_group(workgroup, n_workgroups, local, n_row_groups) * ROWS;
    let down_row = (expert - params.first_expert) * params.n_embd;
    var sums: array<f32, ROWS>;
    let hidden_at = entry * params.hidden_stride;
    if BLOCK_LANES == 4u {
        // The first block of each row, as in `linear`.
        var rows_at: array<u32, ROWS>;
        for (var r = 0u; r < ROWS; r += 1u) {
            rows_at[r] = (down_row + min(first + r, params.n_embd - 1u)) * params.n_blocks;
        }
        let j = lane & 3u;
        for (var block = lane / 4u; block < params.n_blocks; block += LANES / 4u) {
            let from_block = hidden_at + (block * FIXED_QUADS);
            let v = fixed_quads(from_block, j);
            let head = fixed_head(from_block);
            // One of the four adds what belongs to the whole block.
            let v_sums = select(vec2<i32>(0), bitcast<vec2<i32>>(head.yz), j == 0u);
            for (var r = 0u; r < ROWS; r += 1u) {
                let down = load_quarter(rows_at[r] + block, j);
                sums[r] += bitcast<f32>(head.x) * block_sum(down, quad_dots(down, quarter_quad(j), v), v_sums);
            }
        }
    } else {
        for (var block = lane; block < params.n_blocks; block += LANES) {
            let from_block = hidden_at + (block * FIXED_QUADS);
            let v0 = fixed_quads(from_block, 0u);
            let v1 = fixed_quads(from_block, 1u);
            let v2 = fixed_quads(from_block, 2u);
            let v3 = fixed_quads(from_block, 3u);
            let head = fixed_head(from_block);
            let v_sums = bitcast<vec2<i32>>(head.yz);
            for (var r = 0u; r < ROWS; r += 1u) {
                let down = load_block((down_row + min(first + r, params.n_embd - 1u)) * params.n_blocks + block);
                sums[r] += bitcast<f32>(head.x) * block_sum(down, block_dots(down, v0, v1, v2, v3), v_sums);
            }
        }
    }
    reduce_rows(lane, &sums);
    for (var r = 0u; r < ROWS; r += 1u) {
        if lane == 0u && first + r < params.n_embd {
            outputs[entry * params.n_embd + first + r] = sums[r];
        }
    }
}
