// y[t, r] = Σ_i w[r, i] · x[t, i]: a matrix of any weight format times a few vectors.
// A group of lanes takes ROWS rows of one token and walks along them block by block; lanes take blocks in turn, or BLOCK_LANES of
// them a block together, so that neighbours read activations that lie beside each other.
// Rows may be cut into groups that read different parts of x (the grouped output projection).
// The scale and the offset of a block are taken out of its sum. Sums in f32; the order differs between groups, so results agree to rounding.
// x is read by an input contract (lib/input_*.wgsl), and y written by an output contract (lib/output_*.wgsl).
struct Params {
    n_rows: u32,         // rows of this shard
    n_blocks: u32,       // blocks of 32 weights in a row
    n_in: u32,           // weights in a row before padding
    x_stride: u32,       // vectors of 4 from token to token in x
    y_stride: u32,       // elements from token to token in y
    y_offset: u32,       // element of y that row 0 writes
    y_ring: u32,         // tokens in y when it is a ring over positions; 0 when row t is token t
    rows_per_group: u32, // rows that read the same part of x
    group_stride: u32,   // vectors of 4 from part to part
    y_gap: u32,          // elements of y that are left out after each group
    first_row: u32,      // row 0's number in the whole matrix
    max_tokens: u32,     // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;      // [n_tokens, n_in]
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>; // [n_rows, n_blocks, …]
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;      // [n_tokens, y_stride]

@compute @workgroup_size(WORKGROUP)
fn linear(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lane = group_lane(local);
    let n_row_groups = (params.n_rows + ROWS - 1u) / ROWS;
    let token = row_owner(workgroup, n_workgroups, n_row_groups);
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let row_group = row_group(workgroup, n_workgroups, local, n_row_groups);
    let first = row_group * ROWS;
    let group = (params.first_row + min(first, params.n_rows - 1u)) / params.rows_per_group;
    let x_at = input_row(token) * params.x_stride + group * params.group_stride;
    var sums: array<f32, ROWS>;
    if BLOCK_LANES == 4u {
        // The first block of each row: compilers leave this in the loop.
        var rows_at: array<u32, ROWS>;
        for (var r = 0u; r < ROWS; r += 1u) {
            rows_at[r] = min(first + r, params.n_rows - 1u) * params.n_blocks;
        }
        let j = lane & 3u;
        for (var block = lane / 4u; block < params.n_blocks; block += LANES / 4u) {
            let x = read_quarter(x_at, block, j);
            for (var r = 0u; r < ROWS; r += 1u) {
                sums[r] += quarter_dot(load_quarter(rows_at[r] + block, j), j, x);
            }
        }
    } else {
        for (var block = lane; block < params.n_blocks; block += LANES) {
            let v = read_inputs(x_at, block * 8u, local);
            for (var r = 0u; r < ROWS; r += 1u) {
                sums[r] += block_dot(load_block(min(first + r, params.n_rows - 1u) * params.n_blocks + block), v);
            }
        }
    }
    let factor = input_factor(lane);
    input_keep(x_at, token, row_group * LANES + lane, n_row_groups * LANES, factor);
    var y_row = token;
    if params.y_ring > 0u {
        y_row = (step.position + token) % params.y_ring;
    }
    let y_at = y_row * params.y_stride + params.y_offset + group * params.y_gap + first;
    reduce_rows(lane, &sums);
    for (var r = 0u; r < ROWS; r += 1u) {
        if lane == 0u && first + r < params.n_rows {
            y[y_at + r] = joined(y_at + r, factor * sums[r]);
        }
    }
}
