// counters[t] += 1: a probe of what a dispatch costs that has next to nothing to do. Each must see what the one before
// it wrote, as the stages of a model do; so after n dispatches every counter has grown by n.
struct Params {
    n_threads: u32, // counters
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read_write> counters: array<u32>; // [n_threads]

@compute @workgroup_size(WORKGROUP)
fn probe_dispatch(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let thread = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    if thread < params.n_threads {
        counters[thread] += 1u;
    }
}
