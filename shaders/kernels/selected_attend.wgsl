// A part of V3.2's attention: the token at position p sees the rows of n = min(p + 1, top_k) chosen positions, cut into
// n_splits runs of whole blocks. A row is the key of every head, and its begin the value. lib/attend_run.wgsl says what becomes of a
// run: here of HEADS heads.
struct Params {
    n_heads: u32,
    n_quads: u32,      // vectors of 4 in a query and a row
    value_quads: u32,  // vectors of 4 in a value
    heads_stride: u32, // vectors of 4 from token to token in heads
    top_k: u32,
    n_splits: u32,
    scale: f32,
    max_tokens: u32,   // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> heads: array<vec4<f32>>;         // [n_tokens, heads_stride]
@group(0) @binding(3) var<storage, read> rows: array<KeyQuad>;            // [n_positions, n_quads]
@group(0) @binding(4) var<storage, read> selected: array<u32>;            // [n_tokens, top_k]
@group(0) @binding(5) var<storage, read_write> partial: array<vec4<f32>>; // [n_tokens, n_heads, n_splits, value_quads]
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>;   // [n_tokens, n_heads, n_splits]

// Rows are counted as they are chosen, for all tokens.
fn key_place(n: u32, k: u32) -> u32 {
    return selected[k] * n;
}

fn key_at(place: u32, i: u32) -> vec4<f32> {
    return unpack_key(rows[place + i]);
}

fn value_at(n: u32, k: u32, i: u32) -> vec4<f32> {
    return unpack_key(rows[selected[k] * n + i]);
}

@compute @workgroup_size(WORKGROUP)
fn selected_attend(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n_tiles = (params.n_heads + HEADS - 1u) / HEADS;
    let run = index % params.n_splits;
    let tile = index / params.n_splits % n_tiles;
    let token = index / params.n_splits / n_tiles;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let n_rows = min(step.position + token + 1u, params.top_k);
    let n_blocks = (n_rows + BLOCK - 1u) / BLOCK;
    let run_rows = (n_blocks + params.n_splits - 1u) / params.n_splits * BLOCK;
    let begin = token * params.top_k;
    let first = begin + min(run * run_rows, n_rows);
    let end = min(first + run_rows, begin + n_rows);
    attend_run(lane, Run(token, run, first, end, 0u, params.n_heads, tile, params.n_quads));
}
