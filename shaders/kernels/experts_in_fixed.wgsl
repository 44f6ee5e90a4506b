// hidden[t, slot, i] = silu(min(g, limit)) · clamp(u, −limit, limit) · weights[t, slot], as `experts_in`, with x in fixed point (see
// fixed_point.wgsl) and weights as four codes of 8 bits in a word; sums over a block are exact, as in `linear_fixed`.
// A group of lanes takes ROWS hidden units of one slot and walks along their gate and up rows together; lanes take blocks in turn, or
// BLOCK_LANES of them a block together. Slots as in `experts_in`.
struct Params {
    n_blocks: u32,     // blocks of 32 weights in a row
    x_stride: u32,     // vectors of 4 words from token to token in x
    n_hidden: u32,     // hidden units of an expert
    n_slots: u32,      // experts of a token
    first_expert: u32, // id of the shard's first expert
    n_experts: u32,    // experts in the shard
    limit: f32,        // where gate and up are cut off
    max_tokens: u32,   // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> x: array<vec4<u32>>;       // [n_tokens, n_blocks, FIXED_QUADS]
@group(0) @binding(5) var<storage, read> quants: array<vec4<u32>>;  // [2 (gate, up), n_experts, n_hidden, n_blocks, …]
@group(0) @binding(6) var<storage, read> scales: array<u32>;
@group(0) @binding(7) var<storage, read_write> hidden: array<f32>;  // [n_tokens, n_slots, n_hidden]

fn fixed_at(at: u32) -> vec4<u32> {
    return x[at];
}

@compute @workgroup_size(WORKGROUP)
fn experts_in_fixed(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = group_lane(local);
    let n_row_groups = (params.n_hidden + ROWS - 1u) / ROWS;
    let entry = row_owner(workgroup, n_workgroups, n_row_groups);
    if entry >= min(step.n_tokens, params.max_tokens) * params.n_slots {
        return;
    }
    let group = row_group(workgroup, n_workgroups, local, n_row_groups);
    // The whole workgroup has one slot, so it leaves or stays together.
    let expert = slot_expert(entry, local, group < GROUPS);
    if expert < params.first_expert || expert - params.first_expert >= params.n_experts {
        return;
    }
    let first = group * ROWS;
    let gate_row = (expert - params.first_expert) * params.n_hidden;
    let up_offset = params.n_experts * params.n_hidden * params.n_blocks;
    let x_at = entry / params.n_slots * params.x_stride;
    var gates: array<f32, ROWS>;
    var ups: array<f32, ROWS>;
    if BLOCK_LANES == 4u {
        // The first block of each row, as in `linear`.
        var rows_at: array<u32, ROWS>;
        for (var r = 0u; r < ROWS; r += 1u) {
            rows_at[r] = (gate_row + min(first + r, params.n_hidden - 1u)) * params.n_blocks;
        }
        let j = lane & 3u;
        for (var block = lane / 4u; block < params.n_blocks; block += LANES / 4u) {
            let x_block = x_at + (block * FIXED_QUADS);
            let v = fixed_quads(x_block, j);
            let head = fixed_head(x_block);
            let unit = bitcast<f32>(head.x);
            // One of the four adds what belongs to the whole block.
            let v_sums = select(vec2<i32>(0), bitcast<vec2<i32>>(head.yz), j == 0u);
            for (var r = 0u; r < ROWS; r += 1u) {
                let at = rows_at[r] + block;
                let gate = load_quarter(at, j);
                let up = load_quarter(at + up_offset, j);
                gates[r] += unit * block_sum(gate, quad_dots(gate, quarter_quad(j), v), v_sums);
                ups[r] += unit * block_sum(up, quad_dots(up, quarter_quad(j), v), v_sums);
            }
        }
    } else {
        for (var block = lane; block < params.n_blocks; block += LANES) {
            let x_block = x_at + (block * FIXED_QUADS);
            let v0 = fixed_quads(x_block, 0u);
            let v1 = fixed_quads(x_block, 1u);
            let v2 = fixed_quads(x_block, 2u);
            let v3 = fixed_quads(x_block, 3u);
            let head = fixed_head(x_block);
            let unit = bitcast<f32>(head.x);
            let v_sums = bitcast<vec2<i32>>(head.yz);
            for (var r = 0u; r < ROWS; r += 1u) {
                let at = (gate_row + min(first + r, params.n_hidden - 1u)) * params.n_blocks + block;
                let gate = load_block(at);
                let up = load_block(at + up_offset);
                gates[r] += unit * block_sum(gate, block_dots(gate, v0, v1, v2, v3), v_sums);
                ups[r] += unit * block_sum(up, block_dots(up, v0, v1, v2, v3), v_sums);
            }
        }
    }
    let weight = slot_weight(entry);
    for (var r = 0u; r < ROWS; r += 1u) {
        let sums = reduce_pair(lane, vec2<f32>(gates[r], ups[r]));
        let g = min(sums.x, params.limit);
        let u = clamp(sums.y, -params.limit, params.limit);
        if lane == 0u && first + r < params.n_hidden {
            // The clamp keeps exp finite; beyond it silu is 0 to rounding.
            let silu = g / (1.0 + exp(-max(g, -80.0)));
            hidden[entry * params.n_hidden + first + r] = silu * u * weight;
        }
    }
}
