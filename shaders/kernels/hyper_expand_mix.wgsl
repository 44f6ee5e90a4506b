// hyper_expand and the hyper_mix that follows it, in one dispatch:
//   next[t, k, :] = post_k · f + Σ_j comb[j][k] · X[t, j, :], f = Σ_slots outputs
//   mix = w times next, and the squares of next, in split-K as hyper_mix says
// A group of lanes takes ROWS rows of one part of one token and works its part of next out for itself, which costs less than to
// wait for it; of a part a group writes every n_groups-th vector. Only for weights without scales. Sums in f32, slots in order.
struct Params {
    n_quads: u32,    // vectors of 4 in a stream
    n_slots: u32,    // outputs to add up for a token
    n_rows: u32,     // rows of the matrix
    n_blocks: u32,   // blocks of 32 weights in a row
    n_parts: u32,    // parts of mix
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> streams: array<vec4<f32>>;      // [n_tokens, 4, n_quads]
@group(0) @binding(3) var<storage, read> coefficients: array<vec4<f32>>; // [n_tokens, 6]: pre, post, rows of comb
@group(0) @binding(4) var<storage, read> outputs: array<vec4<f32>>;      // [n_tokens, n_slots, n_quads]
@group(0) @binding(5) var<storage, read> quants: array<vec4<u32>>;       // [n_rows, n_blocks, …]
@group(0) @binding(6) var<storage, read_write> next: array<vec4<f32>>;   // [n_tokens, 4, n_quads]
@group(0) @binding(7) var<storage, read_write> mix: array<f32>;          // [n_tokens, n_parts, (n_rows / 4 + 1) · 4]

@compute @workgroup_size(WORKGROUP)
fn hyper_expand_mix(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n_groups = (params.n_rows + ROWS - 1u) / ROWS;
    let group = index % n_groups;
    let part = index / n_groups % params.n_parts;
    let token = index / n_groups / params.n_parts;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let first = group * ROWS;
    let n = params.n_quads;
    let part_quads = (n + params.n_parts - 1u) / params.n_parts;
    let end = min((part + 1u) * part_quads, n);
    let c = token * 6u;
    let post = coefficients[c + 1u];
    let c0 = coefficients[c + 2u];
    let c1 = coefficients[c + 3u];
    let c2 = coefficients[c + 4u];
    let c3 = coefficients[c + 5u];
    var squares = 0.0;
    var sums: array<f32, ROWS>;
    for (var i = part * part_quads + lane; i < end; i += LANES) {
        var f = vec4<f32>();
        for (var slot = 0u; slot < params.n_slots; slot += 1u) {
            f += outputs[(token * params.n_slots + slot) * n + i];
        }
        let at = token * 4u * n + i;
        let x0 = streams[at];
        let x1 = streams[at + n];
        let x2 = streams[at + 2u * n];
        let x3 = streams[at + 3u * n];
        let is_mine = i % n_groups == group;
        for (var k = 0u; k < 4u; k += 1u) {
            let v = post[k] * f + (c0[k] * x0 + c1[k] * x1 + c2[k] * x2 + c3[k] * x3);
            squares += dot(v, v);
            if is_mine {
                next[at + k * n] = v;
            }
            let quad = k * n + i;
            for (var r = 0u; r < ROWS; r += 1u) {
                let row = min(first + r, params.n_rows - 1u);
                sums[r] += dot(block_quad(load_block(row * params.n_blocks + quad / 8u), quad % 8u), v);
            }
        }
    }
    let mix_at = (token * params.n_parts + part) * (params.n_rows / 4u + 1u) * 4u;
    if group == 0u {
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
