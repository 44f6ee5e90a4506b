// x in fixed point, for kernels that multiply by packed dot products. Each block of 32 values becomes v · 2^e, with whole v and the
// least e by which they fit PLANES planes of signed bytes: of two, v = 256 · high + low, 32512 = 127 · 256 at most; of one, 127. A power
// of two makes every step exact, so that all adapters round alike; half a unit is at most 1/32512, or 1/127, of the block's greatest
// value. With two planes a block of the result is five vectors of words:
//   j = 0 … 3: high bytes of values 4j to 4j+3, high bytes of 16+4j to 16+4j+3, and the low bytes of both;
//   then 2^e, Σ v over the first 16 values, Σ v over the last 16, and 0.
// With one plane it is three: of j = 0 and 1 the bytes of both, of j = 2 and 3, then the last as above.
// A block with an infinity or what is no number has that for 2^e. An invocation takes a block.
struct Params {
    n_blocks: u32,     // blocks of 32 values in a row
    x_stride: u32,     // vectors of 4 from token to token in x
    n_rows: u32,       // rows of a token
    row_stride: u32,   // vectors of 4 from row to row in x
    max_tokens: u32,   // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;          // [n_tokens, n_rows, n_blocks, 8]
@group(0) @binding(3) var<storage, read_write> fixed: array<vec4<u32>>; // [n_tokens, n_rows, n_blocks, FIXED_QUADS]

fn value_quad(at: u32) -> vec4<f32> {
    return x[at];
}

@compute @workgroup_size(WORKGROUP)
fn fixed_point(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let row = thread / params.n_blocks;
    let token = row / params.n_rows;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let at = token * params.x_stride + (row % params.n_rows) * params.row_stride + (thread % params.n_blocks) * 8u;
    fix_block(at, thread * FIXED_QUADS);
}
