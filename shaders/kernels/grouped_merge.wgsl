// Attention's output from its runs (see grouped_attend.wgsl): with M = max_s M_s and w_s = exp(M_s − M),
//   out[t, h] = Σ_s w_s · partial_s / (Σ_s w_s · total_s + sink)
// over the runs that have keys. With SINKS = 1 a head has a sink z, which M counts in: sink = exp(z − M); else it is 0.
// An invocation takes 4 elements of one head. All in f32.
struct Params {
    n_heads: u32,
    n_quads: u32,    // vectors of 4 in a head
    n_splits: u32,
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> partial: array<vec4<f32>>;   // [n_tokens, n_heads, n_splits, n_quads]
@group(0) @binding(3) var<storage, read> stats: array<vec2<f32>>;     // [n_tokens, n_heads, n_splits]
@group(0) @binding(4) var<storage, read> sinks: array<f32>;           // [n_heads]
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>; // [n_tokens, n_heads, n_quads]

@compute @workgroup_size(WORKGROUP)
fn grouped_merge(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n = params.n_quads;
    let head = thread / n; // of all heads of all tokens
    if head / params.n_heads >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let first = head * params.n_splits;
    var greatest = -1e30;
    if SINKS == 1u {
        greatest = sinks[head % params.n_heads];
    }
    for (var run = 0u; run < params.n_splits; run += 1u) {
        greatest = max(greatest, stats[first + run].x);
    }
    var sum = vec4<f32>();
    var total = 0.0;
    for (var run = 0u; run < params.n_splits; run += 1u) {
        let stat = stats[first + run];
        if stat.y > 0.0 { // A run without keys left nothing there.
            let weight = exp(stat.x - greatest);
            sum += weight * partial[(first + run) * n + thread % n];
            total += weight * stat.y;
        }
    }
    if SINKS == 1u {
        total += exp(sinks[head % params.n_heads] - greatest);
    }
    out[thread] = sum / total;
}
