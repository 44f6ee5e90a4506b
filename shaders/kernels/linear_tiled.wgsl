// y[t, r] = Σ_i w[r, i] · x[t, i], as `linear`, for many tokens: an invocation holds a tile of 8 rows and 4 tokens in
// registers, so that every weight is decoded once for 4 tokens and every vector of x serves 8 rows.
// No workgroup memory and no barrier. Sums in f32.
struct Params {
    n_rows: u32,         // rows of this shard
    n_blocks: u32,       // blocks of 32 weights in a row
    n_in: u32,           // weights in a row before padding
    x_stride: u32,       // vectors of 4 from token to token in x
    y_stride: u32,       // elements from token to token in y
    y_offset: u32,       // element of y that row 0 writes
    y_ring: u32,         // tokens in y when it is a ring over positions; 0 when row t is token t
    rows_per_group: u32, // rows that read the same part of x: a multiple of 8, or all
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

// Sums of the rows from `first` on, which belong to one group, for one token.
fn write_rows(token: u32, first: u32, sums: vec4<f32>) {
    var y_row = token;
    if params.y_ring > 0u {
        y_row = (step.position + token) % params.y_ring;
    }
    let group = (params.first_row + first) / params.rows_per_group;
    let y_at = y_row * params.y_stride + params.y_offset + group * params.y_gap + first;
    for (var r = 0u; r < 4u && first + r < params.n_rows; r += 1u) {
        y[y_at + r] = sums[r];
    }
}

fn write_token(token: u32, first_row: u32, s: Sums) {
    if token < min(step.n_tokens, params.max_tokens) {
        write_rows(token, first_row, s.low);
        write_rows(token, first_row + 4u, s.high);
    }
}

@compute @workgroup_size(WORKGROUP)
fn linear_tiled(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n_row_tiles = (params.n_rows + 7u) / 8u;
    let first_row = (thread % n_row_tiles) * 8u;
    let first_token = thread / n_row_tiles * 4u;
    let n_tokens = min(step.n_tokens, params.max_tokens);
    if first_token >= n_tokens {
        return;
    }
    let group = (params.first_row + first_row) / params.rows_per_group;
    // Rows and tokens past the end repeat the last one; their results are not written.
    let last_row = vec4<u32>(params.n_rows - 1u);
    let four = vec4<u32>(0u, 1u, 2u, 3u);
    let low = min(first_row + four, last_row) * params.n_blocks;
    let high = min(first_row + 4u + four, last_row) * params.n_blocks;
    let tokens = min(first_token + four, vec4<u32>(n_tokens - 1u));
    let x_rows = tokens * params.x_stride + group * params.group_stride;
    var s0: Sums;
    var s1: Sums;
    var s2: Sums;
    var s3: Sums;
    for (var block = 0u; block < params.n_blocks; block += 1u) {
        let tile = load_tile(low + block, high + block);
        for (var j = 0u; j < 8u; j += 1u) {
            let w = tile_quads(tile, j);
            let at = x_rows + block * 8u + j;
            s0 = add_dots(s0, w, x[at.x]);
            s1 = add_dots(s1, w, x[at.y]);
            s2 = add_dots(s2, w, x[at.z]);
            s3 = add_dots(s3, w, x[at.w]);
        }
    }
    write_token(first_token, first_row, s0);
    write_token(first_token + 1u, first_row, s1);
    write_token(first_token + 2u, first_row, s2);
    write_token(first_token + 3u, first_row, s3);
}
