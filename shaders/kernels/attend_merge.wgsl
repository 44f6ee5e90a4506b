// Attention's output from the runs of attend_shared.wgsl: with M = max_r M_r and w_r = exp(M_r − M),
//   out[t, h] = Σ_r w_r · sums_r / Σ_r w_r · total_r
// over the runs that have keys or the sink, turned back by the token's position. An invocation takes 4 elements of one head. All in f32.
struct Params {
    n_heads: u32,
    n_quads: u32,    // vectors of 4 in a head
    n_runs: u32,
    rope_pairs: u32,
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> runs: array<vec4<f32>>;      // [n_tokens, n_heads, n_runs, n_quads + 1]
@group(0) @binding(3) var<storage, read> rope: array<vec2<f32>>;      // see lib/rope.wgsl
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>; // [n_tokens, n_heads, n_quads]

@compute @workgroup_size(WORKGROUP)
fn attend_merge(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n = params.n_quads;
    let head = thread / n; // of all heads of all tokens
    let token = head / params.n_heads;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let quad = thread % n;
    let first = head * params.n_runs * (n + 1u);
    var greatest = -1e30;
    for (var run = 0u; run < params.n_runs; run += 1u) {
        greatest = max(greatest, runs[first + run * (n + 1u) + n].x);
    }
    var sum = vec4<f32>();
    var total = 0.0;
    for (var run = 0u; run < params.n_runs; run += 1u) {
        let at = first + run * (n + 1u);
        let stat = runs[at + n];
        let weight = exp(stat.x - greatest);
        total += weight * stat.y;
        sum += weight * runs[at + quad];
    }
    sum /= total;
    out[thread] = turned_quad(sum, step.position + token, quad, -1.0);
}
