// Query heads made ready, in place. For each of n_heads heads x of head_dim elements, the first at element `first` of a token's row:
//   x ← x / sqrt(mean(x²) + eps), where heads are normalised; then the last 2·rope_pairs elements turn to the token's position.
// A group of lanes takes one head of one token; lanes take pairs, and only their own. All in f32.
struct Params {
    stride: u32,     // elements from token to token
    first: u32,
    n_heads: u32,
    head_dim: u32,
    normalised: u32, // 1 or 0
    rope_pairs: u32,
    eps: f32,
    max_tokens: u32, // tokens to compute at most
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
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let token = group / params.n_heads;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let at = (token * params.stride + params.first + group % params.n_heads * params.head_dim) / 2u;
    let n_pairs = params.head_dim / 2u;
    let first_turned = n_pairs - params.rope_pairs;
    var factor = 1.0;
    if params.normalised == 1u {
        var squares = 0.0;
        for (var pair = lane; pair < n_pairs; pair += LANES) {
            let v = queries[at + pair];
            squares += dot(v, v);
        }
        factor = 1.0 / sqrt(reduce_sum(lane, squares) / f32(params.head_dim) + params.eps);
        for (var pair = lane; pair < first_turned; pair += LANES) {
            queries[at + pair] *= factor;
        }
    }
    let position = step.position + token;
    for (var pair = lane; pair < params.rope_pairs; pair += LANES) {
        let v = queries[at + first_turned + pair];
        queries[at + first_turned + pair] = rotate_pair(factor * v, rope_turn(position, pair));
    }
}
