// rows[p] = the latent of position p in f32, out of the cache, for every position up to the step's last token; and the step in
// which such rows are the tokens, for the products that make keys and values of them.
// An invocation takes a vector of 4.
struct Params {
    row_quads: u32,     // vectors of 4 from row to row of the cache
    n_quads: u32,       // vectors of 4 in a latent, the first of a row
    max_positions: u32, // positions to read at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> latents: array<KeyQuad>;       // [n_positions, row_quads]
@group(0) @binding(3) var<storage, read_write> rows: array<vec4<f32>>;  // [max_positions, n_quads]
@group(0) @binding(4) var<storage, read_write> seen: array<u32>;        // position 0, and the number of rows

@compute @workgroup_size(WORKGROUP)
fn mla_rows(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n_rows = min(step.position + step.n_tokens, params.max_positions);
    if thread == 0u {
        seen[0] = 0u;
        seen[1] = n_rows;
    }
    let quad = thread % params.n_quads;
    let position = thread / params.n_quads;
    if position >= n_rows {
        return;
    }
    rows[position * params.n_quads + quad] = unpack_key(latents[position * params.row_quads + quad]);
}
