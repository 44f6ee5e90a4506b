// sums[first_sum + t] = Σ of the words that thread t reads, modulo 2^32; together they read the slice once.
// A probe: nothing but reading is to take time. Integer sums are exact in any order, so every result can be checked.
// A thread reads `n_per_thread` vectors, `step` apart, from `thread · thread_step` on: with step 1 a run of its own, with
// step n_threads one of each row that all threads read side by side. Four loads are under way at once.
struct Params {
    n_quads: u32,      // vectors of 4 words in the slice
    n_threads: u32,    // invocations that share them
    n_per_thread: u32, // vectors that one reads at most
    thread_step: u32,  // vectors from thread to thread
    step: u32,         // vectors from one that a thread reads to its next
    first_sum: u32,    // where this dispatch's sums begin
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> words: array<vec4<u32>>;  // [n_quads]
@group(0) @binding(2) var<storage, read_write> sums: array<u32>;   // [first_sum + n_threads]

@compute @workgroup_size(WORKGROUP)
fn probe_read(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    if thread >= params.n_threads {
        return;
    }
    let step = params.step;
    var at = thread * params.thread_step;
    let end = min(at + params.n_per_thread * step, params.n_quads);
    var s0 = vec4<u32>(0u);
    var s1 = vec4<u32>(0u);
    var s2 = vec4<u32>(0u);
    var s3 = vec4<u32>(0u);
    for (; at + 3u * step < end; at += 4u * step) {
        s0 += words[at];
        s1 += words[at + step];
        s2 += words[at + 2u * step];
        s3 += words[at + 3u * step];
    }
    for (; at < end; at += step) {
        s0 += words[at];
    }
    let sum = (s0 + s1) + (s2 + s3);
    sums[params.first_sum + thread] = sum.x + sum.y + sum.z + sum.w;
}
