// outputs[t, slot, d] = Σ_i down[e][d, i] · hidden[t, slot, i] for the expert e of the slot; slots of experts outside
// this shard are left to the others. The slot's weight is already in hidden.
// A group of lanes takes ROWS rows of SLOTS slots and walks along them block by block; lanes take blocks in turn. Sums in f32.
// SLOTS is 1, or all of a token: then their outputs are added up, those of another shard's experts as zeros, and `joined` says
// what comes of the sum (lib/output_plain.wgsl, lib/slots_added.wgsl).
struct Params {
    n_blocks: u32,      // blocks of 32 weights in a row
    hidden_stride: u32, // vectors of 4 from slot to slot in hidden
    n_embd: u32,        // rows of an expert
    n_slots: u32,       // experts of a token
    first_expert: u32,  // id of the shard's first expert
    n_experts: u32,     // experts in the shard
    max_tokens: u32,    // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> hidden: array<vec4<f32>>;  // [n_tokens, n_slots, hidden_stride]
@group(0) @binding(3) var<storage, read> experts: array<u32>;       // [n_tokens, n_slots]
@group(0) @binding(4) var<storage, read> quants: array<vec4<u32>>;  // [n_experts, n_embd, n_blocks, …]
@group(0) @binding(5) var<storage, read> scales: array<u32>;
@group(0) @binding(6) var<storage, read_write> outputs: array<f32>; // [n_tokens, n_slots / SLOTS, n_embd]

@compute @workgroup_size(WORKGROUP)
fn experts_out(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = group_lane(local);
    let n_row_groups = (params.n_embd + ROWS - 1u) / ROWS;
    let first_entry = row_owner(workgroup, n_workgroups, n_row_groups) * SLOTS;
    if first_entry >= min(step.n_tokens, params.max_tokens) * params.n_slots {
        return;
    }
    let first = row_group(workgroup, n_workgroups, local, n_row_groups) * ROWS;
    var sums: array<f32, ROWS>;
    for (var entry = first_entry; entry < first_entry + SLOTS; entry += 1u) {
        // The whole group reads the same word of a read-only buffer, so it leaves or stays together.
        let expert = experts[entry];
        if expert < params.first_expert || expert - params.first_expert >= params.n_experts {
            if SLOTS == 1u {
                return;
            }
            continue;
        }
        let down_row = (expert - params.first_expert) * params.n_embd;
        if BLOCK_LANES == 4u {
            // The first block of each row, as in `linear`.
            var rows_at: array<u32, ROWS>;
            for (var r = 0u; r < ROWS; r += 1u) {
                rows_at[r] = (down_row + min(first + r, params.n_embd - 1u)) * params.n_blocks;
            }
            let j = lane & 3u;
            for (var block = lane / 4u; block < params.n_blocks; block += LANES / 4u) {
                let x = read_quarter(entry * params.hidden_stride, block, j);
                for (var r = 0u; r < ROWS; r += 1u) {
                    sums[r] += quarter_dot(load_quarter(rows_at[r] + block, j), j, x);
                }
            }
        } else {
            for (var block = lane; block < params.n_blocks; block += LANES) {
                let v = read_inputs(entry * params.hidden_stride, block * 8u, local);
                for (var r = 0u; r < ROWS; r += 1u) {
                    let down = (down_row + min(first + r, params.n_embd - 1u)) * params.n_blocks + block;
                    sums[r] += block_dot(load_block(down), v);
                }
            }
        }
    }
    reduce_rows(lane, &sums);
    for (var r = 0u; r < ROWS; r += 1u) {
        if lane == 0u && first + r < params.n_embd {
            let at = first_entry / SLOTS * params.n_embd + first + r;
            outputs[at] = joined(at, sums[r]);
        }
    }
}
