// Keys of tokens, normed and turned to their positions, in the window: see lib/window_row.wgsl. A group of lanes takes one token.
struct Params {
    projection_stride: u32, // elements from row to row of the projections
    projection_ring: u32,   // rows of the projections; a token's row is its position modulo this
    key_at: u32,            // first element of the key in a row
    key_dim: u32,
    rope_pairs: u32,
    window_ring: u32,       // rows of the window
    eps: f32,
    max_tokens: u32,        // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rope: array<vec2<f32>>;         // see lib/rope.wgsl
@group(0) @binding(3) var<storage, read> projections: array<f32>;        // [projection_ring, projection_stride]
@group(0) @binding(4) var<storage, read> kv_norm: array<f32>;            // [key_dim]
@group(0) @binding(5) var<storage, read_write> window: array<vec2<f32>>; // [window_ring, key_dim]

@compute @workgroup_size(WORKGROUP)
fn window_keys(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    window_row(group_index(workgroup, n_workgroups, local), group_lane(local));
}
