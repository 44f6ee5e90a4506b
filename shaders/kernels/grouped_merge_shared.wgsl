// The same as `grouped_merge` on a GPU: a workgroup takes a head. First the weights of all runs, in workgroup memory; then
// sets of invocations take runs in turn, each invocation a vector of 4. All in f32.
struct Params {
    n_heads: u32,
    n_quads: u32,    // vectors of 4 in a head
    n_splits: u32,   // at most MOST_SPLITS
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> partial: array<vec4<f32>>;   // [n_tokens, n_heads, n_splits, n_quads]
@group(0) @binding(3) var<storage, read> stats: array<vec2<f32>>;     // [n_tokens, n_heads, n_splits]
@group(0) @binding(4) var<storage, read> sinks: array<f32>;           // [n_heads], with SINKS = 1
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>; // [n_tokens, n_heads, n_quads]

var<workgroup> runs: array<vec2<f32>, MOST_SPLITS>; // greatest and total of each run
var<workgroup> weights: array<f32, MOST_SPLITS>;
var<workgroup> sums: array<vec4<f32>, WORKGROUP>;

fn value_quad(at: u32) -> vec4<f32> {
    return out[at];
}

@compute @workgroup_size(WORKGROUP)
fn grouped_merge_shared(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let head = workgroup.y * n_workgroups.x + workgroup.x; // of all heads of all tokens
    if head / params.n_heads >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let first_run = head * params.n_splits;
    for (var run = local; run < params.n_splits; run += WORKGROUP) {
        runs[run] = stats[first_run + run];
    }
    workgroupBarrier();
    var greatest = -1e30;
    if SINKS == 1u {
        greatest = sinks[head % params.n_heads];
    }
    for (var run = 0u; run < params.n_splits; run += 1u) {
        greatest = max(greatest, runs[run].x);
    }
    for (var run = local; run < params.n_splits; run += WORKGROUP) {
        weights[run] = exp(runs[run].x - greatest);
    }
    workgroupBarrier();
    var total = 0.0;
    for (var run = 0u; run < params.n_splits; run += 1u) {
        total += weights[run] * runs[run].y;
    }
    if SINKS == 1u {
        total += exp(sinks[head % params.n_heads] - greatest);
    }
    // A head may be wider than a workgroup: then part by part.
    let n = params.n_quads;
    let width = min(n, WORKGROUP);
    let n_sets = WORKGROUP / width;
    let run_set = local / width;
    for (var first = 0u; first < n; first += width) {
        let quad = first + local % width;
        var sum = vec4<f32>();
        if quad < n && run_set < n_sets {
            for (var run = run_set; run < params.n_splits; run += n_sets) {
                if runs[run].y > 0.0 { // A run without keys left nothing there.
                    sum += weights[run] * partial[(first_run + run) * n + quad];
                }
            }
        }
        sums[local] = sum;
        workgroupBarrier();
        if quad < n && run_set == 0u {
            for (var other = 1u; other < n_sets; other += 1u) {
                sum += sums[other * width + local];
            }
            out[head * n + quad] = sum / total;
        }
        workgroupBarrier(); // The sums of this part are used up.
    }
    finish_row(head, n, local, WORKGROUP);
}
