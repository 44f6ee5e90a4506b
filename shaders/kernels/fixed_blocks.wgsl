// x in fixed point, as kernels/fixed_point.wgsl, all of it: rows that lie side by side, in whole blocks of 32 values. An invocation
// takes a block.
struct Params {
    n_blocks: u32, // blocks of 32 values
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;           // [n_blocks, 8]
@group(0) @binding(2) var<storage, read_write> fixed: array<vec4<u32>>; // [n_blocks, FIXED_QUADS]

fn value_quad(at: u32) -> vec4<f32> {
    return x[at];
}

@compute @workgroup_size(WORKGROUP)
fn fixed_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let block = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    if block < params.n_blocks {
        fix_block(block * 8u, block * FIXED_QUADS);
    }
}
