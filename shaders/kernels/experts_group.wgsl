// For each expert the entries (token · n_slots + slot) that chose it, in order, and how many: what the tiled kernels of
// the experts walk over. An invocation takes one expert and looks through all entries; they are few and stay in caches.
struct Params {
    n_experts: u32,  // experts, the shared one included
    n_slots: u32,    // experts of a token
    max_tokens: u32, // tokens to list at most, and places in a list
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> experts: array<u32>;      // [n_tokens, n_slots]
@group(0) @binding(3) var<storage, read_write> lists: array<u32>;  // [n_experts, max_tokens]
@group(0) @binding(4) var<storage, read_write> counts: array<u32>; // [n_experts]

@compute @workgroup_size(WORKGROUP)
fn experts_group(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let expert = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    if expert >= params.n_experts {
        return;
    }
    let n_entries = min(step.n_tokens, params.max_tokens) * params.n_slots;
    var count = 0u;
    for (var entry = 0u; entry < n_entries; entry += 1u) {
        // An expert stands at most once in a token's slots, unless a broken table says otherwise.
        if experts[entry] == expert && count < params.max_tokens {
            lists[expert * params.max_tokens + count] = entry;
            count += 1u;
        }
    }
    counts[expert] = count;
}
