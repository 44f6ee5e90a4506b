// The mixing matrix of a hyper-connection times the four residual streams, in split-K: a token's vectors are cut into n_parts
// runs i of the same place in each stream, and what reads mix adds the parts up:
//   mix[t, part, r] = Σ_(i of part) Σ_k w[r, k, i] · X[t, k, i];   mix[t, part, n_rows] = Σ_(i of part) Σ_k X[t, k, i]²
// A matrix of so few and such long rows would else leave most of a GPU idle. A group of lanes takes ROWS rows of one part of one
// token. Only for weights without scales. Sums in f32.
struct Params {
    n_quads: u32,    // vectors of 4 in a stream
    n_rows: u32,     // rows of the matrix
    n_blocks: u32,   // blocks of 32 weights in a row
    n_parts: u32,
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> streams: array<vec4<f32>>; // [n_tokens, 4, n_quads]
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;  // [n_rows, n_blocks, …]
@group(0) @binding(4) var<storage, read_write> mix: array<f32>;     // [n_tokens, n_parts, (n_rows / 4 + 1) · 4]

@compute @workgroup_size(WORKGROUP)
fn hyper_mix(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n_groups = (params.n_rows + ROWS - 1u) / ROWS;
    let first = index % n_groups * ROWS;
    let part = index / n_groups % params.n_parts;
    let token = index / n_groups / params.n_parts;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let n = params.n_quads;
    let part_quads = (n + params.n_parts - 1u) / params.n_parts;
    let end = min((part + 1u) * part_quads, n);
    var squares = 0.0;
    var sums: array<f32, ROWS>;
    for (var i = part * part_quads + lane; i < end; i += LANES) {
        for (var k = 0u; k < 4u; k += 1u) {
            let quad = k * n + i;
            let v = streams[token * 4u * n + quad];
            squares += dot(v, v);
            for (var r = 0u; r < ROWS; r += 1u) {
                let row = min(first + r, params.n_rows - 1u);
                sums[r] += dot(block_quad(load_block(row * params.n_blocks + quad / 8u), quad % 8u), v);
            }
        }
    }
    let mix_at = (token * params.n_parts + part) * (params.n_rows / 4u + 1u) * 4u;
    if first == 0u {
        let sum = reduce_sum(lane, squares);
        if lane == 0u {
            mix[mix_at + params.n_rows] = sum;
        }
    }
    for (var r = 0u; r < ROWS; r += 1u) {
        let sum = reduce_sum(lane, sums[r]);
        if lane == 0u && first + r < params.n_rows {
            mix[mix_at + first + r] = sum;
        }
    }
}
