// hidden[t, slot, i] = silu(min(g, limit)) · clamp(u, −limit, limit) · weights[t, slot], g = gate[e][i] · x[t] and
// u = up[e][i] · x[t] for the expert e of the slot; slots of experts outside this shard are left to the others.
// A group of lanes takes ROWS hidden units of one slot and walks along their gate and up rows together; lanes take blocks in turn.
// Sums in f32. Which expert a slot has, and with what weight, is for the slot contract (lib/slots_*.wgsl).
struct Params {
    n_blocks: u32,     // blocks of 32 weights in a row
    x_stride: u32,     // vectors of 4 from token to token in x
    n_hidden: u32,     // hidden units of an expert
    n_slots: u32,      // experts of a token
    first_expert: u32, // id of the shard's first expert
    n_experts: u32,    // experts in the shard
    limit: f32,        // where gate and up are cut off
    max_tokens: u32,   // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;       // [n_tokens, x_stride]
@group(0) @binding(5) var<storage, read> quants: array<vec4<u32>>;  // [2 (gate, up), n_experts, n_hidden, n_blocks, …]
@group(0) @binding(6) var<storage, read> scales: array<u32>;
@group(0) @binding(7) var<storage, read_write> hidden: array<f32>;  // [n_tokens, n_slots, n_hidden]

@compute @workgroup_size(WORKGROUP)
fn experts_in(
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
            let x = read_quarter(x_at, block, j);
            for (var r = 0u; r < ROWS; r += 1u) {
                let at = rows_at[r] + block;
                gates[r] += quarter_dot(load_quarter(at, j), j, x);
                ups[r] += quarter_dot(load_quarter(at + up_offset, j), j, x);
            }
        }
    } else {
        for (var block = lane; block < params.n_blocks; block += LANES) {
            let v = read_inputs(x_at, block * 8u, local);
            for (var r = 0u; r < ROWS; r += 1u) {
                let at = (gate_row + min(first + r, params.n_hidden - 1u)) * params.n_blocks + block;
                gates[r] += block_dot(load_block(at), v);
                ups[r] += block_dot(load_block(at + up_offset), v);
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
