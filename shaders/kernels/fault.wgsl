// Breaks a stage on purpose: every third word of what it wrote becomes zero, so that anyone can see the checks catch it.
// Zero is safe for whatever reads the words: a number as any other, expert 0, entry 0, token 0, an empty list.
// Doing it again changes nothing, so that state which is broken at every step does not run away.
struct Params {
    n_words: u32, // words in values
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read_write> values: array<u32>; // [n_words]

@compute @workgroup_size(WORKGROUP)
fn fault(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let word = 3u * ((workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local);
    if word < params.n_words {
        values[word] = 0u;
    }
}
