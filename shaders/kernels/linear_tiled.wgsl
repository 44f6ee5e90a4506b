// y[t, r] = Σ_i w[r, i] · x[t, i], as `linear`, for many tokens: an invocation holds a tile of 4 rows and TOKENS tokens in
// registers, so that every weight is decoded once for TOKENS tokens and every vector of x serves 4 rows.
// No workgroup memory and no barrier. Sums in f32.
struct Params {
    n_rows: u32,         // rows of this shard
    n_blocks: u32,       // blocks of 32 weights in a row
    n_in: u32,           // weights in a row before padding
    x_stride: u32,       // vectors of 4 from token to token in x
    y_stride: u32,       // elements from token to token in y
    y_offset: u32,       // element of y that row 0 writes
    y_ring: u32,         // tokens in y when it is a ring over positions; 0 when row t is token t
    rows_per_group: u32, // rows that read the same part of x: a multiple of 4, or all
    group_stride: u32,   // vectors of 4 from part to part
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
fn linear_tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n_row_tiles = (params.n_rows + 3u) / 4u;
    let first_row = (thread % n_row_tiles) * 4u;
    let first_token = thread / n_row_tiles * TOKENS;
    let n_tokens = min(step.n_tokens, params.max_tokens);
    if first_token >= n_tokens {
        return;
    }
    let group = (params.first_row + first_row) / params.rows_per_group;
    // Rows and tokens past the end repeat the last one; their results are not written.
    let last_row = params.n_rows - 1u;
    let rows = min(vec4<u32>(first_row) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last_row)) * params.n_blocks;
    var x_rows: array<u32, TOKENS>;
    for (var t = 0u; t < TOKENS; t += 1u) {
        x_rows[t] = min(first_token + t, n_tokens - 1u) * params.x_stride + group * params.group_stride;
    }
    var sums: array<vec4<f32>, TOKENS>;
    for (var block = 0u; block < params.n_blocks; block += 1u) {
        let b0 = load_block(rows.x + block);
        let b1 = load_block(rows.y + block);
        let b2 = load_block(rows.z + block);
        let b3 = load_block(rows.w + block);
        for (var j = 0u; j < 8u; j += 1u) {
            let w0 = block_quad(b0, j);
            let w1 = block_quad(b1, j);
            let w2 = block_quad(b2, j);
            let w3 = block_quad(b3, j);
            for (var t = 0u; t < TOKENS; t += 1u) {
                let v = x[x_rows[t] + block * 8u + j];
                sums[t] += vec4<f32>(dot(w0, v), dot(w1, v), dot(w2, v), dot(w3, v));
            }
        }
    }
    for (var t = 0u; t < TOKENS; t += 1u) {
        let token = first_token + t;
        if token < n_tokens {
            var y_row = token;
            if params.y_ring > 0u {
                y_row = (step.position + token) % params.y_ring;
            }
            let y_at = y_row * params.y_stride + params.y_offset + first_row;
            for (var r = 0u; r < 4u && first_row + r < params.n_rows; r += 1u) {
                y[y_at + r] = sums[t][r];
            }
        }
    }
}
