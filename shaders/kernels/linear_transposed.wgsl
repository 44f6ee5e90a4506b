// y[t, g, c] = Σ_r x[t, g, r] · w[g · rows + r, c]: for each group of rows the sum of them, weighted by a part of x. The
// product with the transpose of a matrix that lies by rows, as files keep what makes keys of latents.
// An invocation takes 4 columns of one group, for one token or for a tile of 4 tokens. Sums in f32, in the order of rows.
struct Params {
    n_groups: u32,       // groups of this shard
    first_group: u32,    // the first one's number in x and y
    rows: u32,           // rows of a group
    n_blocks: u32,       // blocks of 32 weights in a row
    n_quads: u32,        // vectors of 4 in a row before padding
    x_stride: u32,       // elements from token to token in x
    x_group_stride: u32, // elements from group to group
    y_stride: u32,       // vectors of 4 from token to token in y
    y_group_stride: u32, // vectors of 4 from group to group
    max_tokens: u32,     // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>; // [n_groups, rows, n_blocks, …]
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn linear_transposed(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let quad = thread % params.n_quads;
    let group = thread / params.n_quads % params.n_groups;
    let first_token = thread / params.n_quads / params.n_groups * TOKENS;
    let n_tokens = min(step.n_tokens, params.max_tokens);
    if first_token >= n_tokens {
        return;
    }
    // Tokens past the end repeat the last one; their results are not written.
    let tokens = min(first_token + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(n_tokens - 1u));
    let x_at = tokens * params.x_stride + (params.first_group + group) * params.x_group_stride;
    let first_block = group * params.rows * params.n_blocks + quad / 8u;
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var r = 0u; r < params.rows; r += 1u) {
        let w = block_quad(load_block(first_block + r * params.n_blocks), quad % 8u);
        s0 += x[x_at.x + r] * w;
        if TOKENS > 1u {
            s1 += x[x_at.y + r] * w;
            s2 += x[x_at.z + r] * w;
            s3 += x[x_at.w + r] * w;
        }
    }
    let y_at = tokens * params.y_stride + (params.first_group + group) * params.y_group_stride + quad;
    y[y_at.x] = s0;
    if TOKENS > 1u {
        if first_token + 1u < n_tokens {
            y[y_at.y] = s1;
        }
        if first_token + 2u < n_tokens {
            y[y_at.z] = s2;
        }
        if first_token + 3u < n_tokens {
            y[y_at.w] = s3;
        }
    }
}
