// The indexer of V3.2, from a token's projections:
// job 0:     key = (k − mean(k)) / sqrt(var(k) + eps) · norm + bias, then turned; stored to the cache at the position
// job 1 + h: query head h turned, in place
// Of a head the first 2·rope_pairs elements turn, by halves: element i with element i + rope_pairs.
// A group of lanes takes one job of one token; lanes take elements. All in f32.
struct Params {
    queries_stride: u32, // elements from token to token of the queries
    queries_at: u32,     // first element of the indexer's heads in a row
    n_heads: u32,
    head_dim: u32,       // elements of a head and of the key
    keys_stride: u32,    // elements from token to token of the projections
    key_at: u32,         // first element of the key
    rope_pairs: u32,     // pairs that turn
    rope_scale: f32,     // factor of what turned
    eps: f32,
    max_tokens: u32,     // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> projections: array<f32>;     // [max_tokens, keys_stride]
@group(0) @binding(3) var<storage, read> affine: array<f32>;          // [2, head_dim]: norm and bias
@group(0) @binding(4) var<storage, read> rope: array<vec2<f32>>;      // see lib/rope.wgsl
@group(0) @binding(5) var<storage, read_write> queries: array<f32>;   // [max_tokens, queries_stride]
@group(0) @binding(6) var<storage, read_write> keys: array<f32>;      // [n_positions, head_dim]

@compute @workgroup_size(WORKGROUP)
fn index_heads(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n_jobs = params.n_heads + 1u;
    let token = group / n_jobs;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let job = group % n_jobs;
    let position = step.position + token;
    let n = params.head_dim;
    let pairs = params.rope_pairs;
    if job > 0u {
        let at = token * params.queries_stride + params.queries_at + (job - 1u) * n;
        for (var i = lane; i < pairs; i += LANES) {
            let turn = params.rope_scale * rope_turn(position, i);
            let turned = rotate_pair(vec2<f32>(queries[at + i], queries[at + i + pairs]), turn);
            queries[at + i] = turned.x;
            queries[at + i + pairs] = turned.y;
        }
        return;
    }
    let x_at = token * params.keys_stride + params.key_at;
    var sum = 0.0;
    for (var i = lane; i < n; i += LANES) {
        sum += projections[x_at + i];
    }
    let mean = reduce_sum(lane, sum) / f32(n);
    var squares = 0.0;
    for (var i = lane; i < n; i += LANES) {
        let off = projections[x_at + i] - mean;
        squares += off * off;
    }
    let factor = 1.0 / sqrt(reduce_sum(lane, squares) / f32(n) + params.eps);
    let key_at = position * n;
    for (var i = lane; i < pairs; i += LANES) {
        let j = i + pairs;
        let low = (projections[x_at + i] - mean) * factor * affine[i] + affine[n + i];
        let high = (projections[x_at + j] - mean) * factor * affine[j] + affine[n + j];
        let turned = rotate_pair(vec2<f32>(low, high), params.rope_scale * rope_turn(position, i));
        keys[key_at + i] = turned.x;
        keys[key_at + j] = turned.y;
    }
    for (var i = 2u * pairs + lane; i < n; i += LANES) {
        keys[key_at + i] = (projections[x_at + i] - mean) * factor * affine[i] + affine[n + i];
    }
}
