// to[i] = from[i]: a probe of reading and writing together, with nothing else to do.
// Threads take vectors as in probe_read: a run of its own each, or side by side, four at once.
struct Params {
    n_quads: u32,      // vectors of 4 words in each slice
    n_threads: u32,    // invocations that share them
    n_per_thread: u32, // vectors that one copies at most
    thread_step: u32,  // vectors from thread to thread
    step: u32,         // vectors from one that a thread copies to its next
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4<u32>>;     // [n_quads]
@group(0) @binding(2) var<storage, read_write> copied: array<vec4<u32>>; // [n_quads]

@compute @workgroup_size(WORKGROUP)
fn probe_copy(
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
    for (; at + 3u * step < end; at += 4u * step) {
        let v0 = source[at];
        let v1 = source[at + step];
        let v2 = source[at + 2u * step];
        let v3 = source[at + 3u * step];
        copied[at] = v0;
        copied[at + step] = v1;
        copied[at + 2u * step] = v2;
        copied[at + 3u * step] = v3;
    }
    for (; at < end; at += step) {
        copied[at] = source[at];
    }
}
