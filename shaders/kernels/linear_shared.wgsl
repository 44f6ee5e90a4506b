// y[t, r] = Σ_i w[r, i] · x[t, i], as `linear`, for many tokens on a GPU: a workgroup takes a tile of 64 rows and 64
// tokens. Block by block of 32 it puts both into workgroup memory as floats, so that every weight is decoded once for 64
// tokens; an invocation sums up 4 rows by 4 tokens in registers. Sums in f32.
struct Params {
    n_rows: u32,         // rows of this shard
    n_blocks: u32,       // blocks of 32 weights in a row
    n_in: u32,           // weights in a row before padding
    x_stride: u32,       // vectors of 4 from token to token in x
    y_stride: u32,       // elements from token to token in y
    y_offset: u32,       // element of y that row 0 writes
    y_ring: u32,         // tokens in y when it is a ring over positions; 0 when row t is token t
    rows_per_group: u32, // rows that read the same part of x: a multiple of 64, or all
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

// [32 of a row][16 groups of 4 rows, or of 4 tokens].
var<workgroup> w_tile: array<vec4<f32>, 512>;
var<workgroup> x_tile: array<vec4<f32>, 512>;

fn write_rows(token: u32, first: u32, n_tokens: u32, sums: vec4<f32>) {
    if token >= n_tokens {
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
    let n_row_tiles = (params.n_rows + 63u) / 64u;
    let first_row = tile % n_row_tiles * 64u;
    let first_token = tile / n_row_tiles * 64u;
    let n_tokens = min(step.n_tokens, params.max_tokens);
    if first_token >= n_tokens {
        return;
    }
    let group = (params.first_row + first_row) / params.rows_per_group;
    // Of each block an invocation brings a quad of 4 rows or of 4 tokens. Those past the end repeat the last one; their
    // results are not written.
    let quad = local & 7u;
    let four = (local >> 3u) & 15u;
    let to = quad * 64u + four;
    let from_four = four * 4u + vec4<u32>(0u, 1u, 2u, 3u);
    let rows = min(first_row + from_four, vec4<u32>(params.n_rows - 1u)) * params.n_blocks;
    let tokens = min(first_token + from_four, vec4<u32>(n_tokens - 1u));
    let x_at = tokens * params.x_stride + group * params.group_stride + quad;
    let my_rows = local & 15u;
    let my_tokens = local >> 4u;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var block = 0u; block < params.n_blocks; block += 1u) {
        if local < 128u {
            let a = block_quad(load_block(rows.x + block), quad);
            let b = block_quad(load_block(rows.y + block), quad);
            let c = block_quad(load_block(rows.z + block), quad);
            let d = block_quad(load_block(rows.w + block), quad);
            w_tile[to] = vec4<f32>(a.x, b.x, c.x, d.x);
            w_tile[to + 16u] = vec4<f32>(a.y, b.y, c.y, d.y);
            w_tile[to + 32u] = vec4<f32>(a.z, b.z, c.z, d.z);
            w_tile[to + 48u] = vec4<f32>(a.w, b.w, c.w, d.w);
        } else {
            let a = x[x_at.x + block * 8u];
            let b = x[x_at.y + block * 8u];
            let c = x[x_at.z + block * 8u];
            let d = x[x_at.w + block * 8u];
            x_tile[to] = vec4<f32>(a.x, b.x, c.x, d.x);
            x_tile[to + 16u] = vec4<f32>(a.y, b.y, c.y, d.y);
            x_tile[to + 32u] = vec4<f32>(a.z, b.z, c.z, d.z);
            x_tile[to + 48u] = vec4<f32>(a.w, b.w, c.w, d.w);
        }
        workgroupBarrier();
        for (var i = 0u; i < 32u; i += 1u) {
            let w = w_tile[i * 16u + my_rows];
            let v = x_tile[i * 16u + my_tokens];
            s0 += w * v.x;
            s1 += w * v.y;
            s2 += w * v.z;
            s3 += w * v.w;
        }
        workgroupBarrier();
    }
    let row = first_row + my_rows * 4u;
    let token = first_token + my_tokens * 4u;
    write_rows(token, row, n_tokens, s0);
    write_rows(token + 1u, row, n_tokens, s1);
    write_rows(token + 2u, row, n_tokens, s2);
    write_rows(token + 3u, row, n_tokens, s3);
}
