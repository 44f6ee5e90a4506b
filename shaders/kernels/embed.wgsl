// streams[t, s, :] = scale · table[tokens[position + t]] for each of the residual streams s.
// An invocation decodes one block of 32 weights of one token's row and writes it to the streams. Ids outside this
// shard of the table are left to the others; an id in no shard reads nothing. Values are not rounded.
struct Params {
    first_row: u32,   // id of the shard's first row
    n_rows: u32,      // rows of the shard
    n_blocks: u32,    // blocks of 32 weights in a row
    n_quads: u32,     // vectors of 4 in a stream
    n_streams: u32,   // residual streams
    n_positions: u32, // ids that `tokens` holds
    scale: f32,       // factor of every element
    max_tokens: u32,  // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> tokens: array<u32>;             // by position
@group(0) @binding(3) var<storage, read> quants: array<vec4<u32>>;       // [n_rows, n_blocks, …]
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read_write> streams: array<vec4<f32>>; // [n_tokens, n_streams, n_quads]

@compute @workgroup_size(WORKGROUP)
fn embed(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let token = thread / params.n_blocks;
    let block = thread % params.n_blocks;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let id = tokens[min(step.position + token, params.n_positions - 1u)];
    if id < params.first_row || id - params.first_row >= params.n_rows {
        return;
    }
    let weights = load_block((id - params.first_row) * params.n_blocks + block);
    let at = token * params.n_streams * params.n_quads + block * 8u;
    for (var j = 0u; j < 8u && block * 8u + j < params.n_quads; j += 1u) {
        let quad = params.scale * block_quad(weights, j);
        for (var s = 0u; s < params.n_streams; s += 1u) {
            streams[at + s * params.n_quads + j] = quad;
        }
    }
}
