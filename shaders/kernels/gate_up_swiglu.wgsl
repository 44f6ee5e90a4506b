// A matrix of gate rows and, after them, up rows times a few vectors, and swiglu of the two products, in one dispatch:
//   hidden[t, i] = act(min(g, limit)) · clamp(u, ±limit), g = w[i] · x[t], u = w[n_hidden + i] · x[t], act(v) = v / (1 + exp(−turn(v)))
// A group of lanes takes ROWS hidden units of one token and walks along their gate and up rows together; lanes take blocks in
// turn, or BLOCK_LANES of them a block together. x is read by an input contract (lib/input_*.wgsl). Sums in f32.
struct Params {
    n_hidden: u32,   // hidden units
    n_blocks: u32,   // blocks of 32 weights in a row
    n_in: u32,       // weights in a row before padding
    x_stride: u32,   // vectors of 4 from token to token in x
    limit: f32,      // where gate and up are cut off
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;       // [n_tokens, x_stride]
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;  // [2 (gate, up), n_hidden, n_blocks, …]
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read_write> hidden: array<f32>;  // [n_tokens, n_hidden]

fn turn(v: f32) -> f32 {
    if GELU == 1u {
        return 1.5957691 * (v + 0.044715 * v * v * v);
    }
    return v;
}

@compute @workgroup_size(WORKGROUP)
fn gate_up_swiglu(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = group_lane(local);
    let n_row_groups = (params.n_hidden + ROWS - 1u) / ROWS;
    let token = row_owner(workgroup, n_workgroups, n_row_groups);
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let row_group = row_group(workgroup, n_workgroups, local, n_row_groups);
    let first = row_group * ROWS;
    let x_at = input_row(token) * params.x_stride;
    let up_offset = params.n_hidden * params.n_blocks;
    var gates: array<f32, ROWS>;
    var ups: array<f32, ROWS>;
    if BLOCK_LANES == 4u {
        // The first block of each row, as in `linear`.
        var rows_at: array<u32, ROWS>;
        for (var r = 0u; r < ROWS; r += 1u) {
            rows_at[r] = min(first + r, params.n_hidden - 1u) * params.n_blocks;
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
                let at = min(first + r, params.n_hidden - 1u) * params.n_blocks + block;
                gates[r] += block_dot(load_block(at), v);
                ups[r] += block_dot(load_block(at + up_offset), v);
            }
        }
    }
    let factor = input_factor(lane);
    input_keep(x_at, token, row_group * LANES + lane, n_row_groups * LANES, factor);
    for (var r = 0u; r < ROWS; r += 1u) {
        let sums = factor * reduce_pair(lane, vec2<f32>(gates[r], ups[r]));
        let g = min(sums.x, params.limit);
        let u = clamp(sums.y, -params.limit, params.limit);
        if lane == 0u && first + r < params.n_hidden {
            // The clamp keeps exp finite; beyond it the result is 0 to rounding.
            hidden[token * params.n_hidden + first + r] = g / (1.0 + exp(-max(turn(g), -80.0))) * u;
        }
    }
}
