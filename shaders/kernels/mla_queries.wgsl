// absorbed[t, h, …] = the last 2·n_pairs elements of query head h, the last 2·rope_pairs of them turned to the token's position:
// the part of a query that latent attention compares as it is, or a whole head. A pair is two neighbours. An invocation takes
// one. All in f32.
struct Params {
    n_heads: u32,
    stride: u32,          // elements from token to token in queries
    head_dim: u32,        // elements of a query head
    n_pairs: u32,         // pairs of a head that are written, its last
    rope_pairs: u32,      // pairs that turn, the last of them
    absorbed_stride: u32, // elements from head to head in absorbed, the last 2·n_pairs of which are written
    rope_scale: f32,      // factor of what turned
    max_tokens: u32,      // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rope: array<vec2<f32>>;       // see lib/rope.wgsl
@group(0) @binding(3) var<storage, read> queries: array<f32>;          // [max_tokens, stride]
@group(0) @binding(4) var<storage, read_write> absorbed: array<f32>;   // [max_tokens, n_heads, absorbed_stride]

@compute @workgroup_size(WORKGROUP)
fn mla_queries(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let pair = thread % params.n_pairs;
    let head = thread / params.n_pairs % params.n_heads;
    let token = thread / params.n_pairs / params.n_heads;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    // Pairs count from the end of a head.
    let before_end = 2u * (params.n_pairs - pair);
    let read_at = token * params.stride + (head + 1u) * params.head_dim - before_end;
    let write_at = (token * params.n_heads + head + 1u) * params.absorbed_stride - before_end;
    var v = vec2<f32>(queries[read_at], queries[read_at + 1u]);
    let n_copied = params.n_pairs - params.rope_pairs;
    if pair >= n_copied {
        v = rotate_pair(v, params.rope_scale * rope_turn(step.position + token, pair - n_copied));
    }
    absorbed[write_at] = v.x;
    absorbed[write_at + 1u] = v.y;
}
