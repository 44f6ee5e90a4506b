// Queries made ready, in place, see lib/rotate_head.wgsl. A group of lanes takes one head of one token.
struct Params {
    stride: u32,         // elements from token to token
    n_heads: u32,
    head_dim: u32,
    n_index_heads: u32,
    index_head_dim: u32,
    rope_pairs: u32,
    eps: f32,
    max_tokens: u32,     // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rope: array<vec2<f32>>;          // see lib/rope.wgsl
@group(0) @binding(3) var<storage, read_write> queries: array<vec2<f32>>; // [max_tokens, stride]

@compute @workgroup_size(WORKGROUP)
fn rotate(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    rotate_head(group_index(workgroup, n_workgroups, local), group_lane(local));
}
