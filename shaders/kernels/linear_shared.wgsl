// y[t, r] = Σ_i w[r, i] · x[t, i], as `linear`, for many tokens on a GPU: a workgroup takes a tile of rows and tokens in
// workgroup memory (lib/gemm.wgsl, or lib/gemm_packed.wgsl over x in fixed point). Sums in f32.
struct Params {
    n_rows: u32,         // rows of this shard
    n_blocks: u32,       // blocks of 32 weights in a row
    n_in: u32,           // weights in a row before padding
    x_stride: u32,       // vectors of 4 from token to token in x
    y_stride: u32,       // elements from token to token in y
    y_offset: u32,       // element of y that row 0 writes
    y_ring: u32,         // tokens in y when it is a ring over positions; 0 when row t is token t
    rows_per_group: u32, // rows that read the same part of x: a multiple of TILE_ROWS, or all
    group_stride: u32,   // vectors of 4 from part to part
    y_gap: u32,          // elements of y that are left out after each group
    first_row: u32,      // row 0's number in the whole matrix
    max_tokens: u32,     // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> x: array<TokenQuad>;      // [n_tokens, n_in], or in fixed point
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>; // [n_rows, n_blocks, …]
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;      // [n_tokens, y_stride]

// The tile's first row and first token.
var<private> tile_row: u32;
var<private> tile_token: u32;

fn x_quad(at: u32) -> TokenQuad {
    return x[at];
}

fn write_four(four: u32, token_of_tile: u32, sums: vec4<f32>) {
    let first = tile_row + four * 4u;
    let token = tile_token + token_of_tile;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
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

@compute @workgroup_size(WORKGROUP)
fn linear_shared(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let tile = workgroup.y * n_workgroups.x + workgroup.x;
    let n_row_tiles = (params.n_rows + TILE_ROWS - 1u) / TILE_ROWS;
    let first_row = tile % n_row_tiles * TILE_ROWS;
    let first_token = tile / n_row_tiles * TILE_TOKENS;
    let n_tokens = min(step.n_tokens, params.max_tokens);
    if first_token >= n_tokens {
        return;
    }
    tile_row = first_row;
    tile_token = first_token;
    // Rows and tokens past the end repeat the last one.
    for (var i = local; i < ROW_FOURS; i += WORKGROUP) {
        let rows = first_row + i * 4u + vec4<u32>(0u, 1u, 2u, 3u);
        w_from[i] = min(rows, vec4<u32>(params.n_rows - 1u)) * params.n_blocks;
    }
    let group = (params.first_row + first_row) / params.rows_per_group;
    for (var i = local; i < TOKEN_FOURS; i += WORKGROUP) {
        let tokens = first_token + i * 4u + vec4<u32>(0u, 1u, 2u, 3u);
        x_from[i] = min(tokens, vec4<u32>(n_tokens - 1u)) * params.x_stride + group * params.group_stride;
    }
    multiply_tile(local, params.n_blocks);
}
