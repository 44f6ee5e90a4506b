// Which rows a group of lanes takes. All groups of a workgroup belong to one owner: a token, or an expert's slot. So what
// they read of it is the same, and what follows from it is uniform. Groups past the last one compute its last row, and write nothing.
const GROUPS = WORKGROUP / LANES;

fn row_owner(workgroup: vec3<u32>, n_workgroups: vec3<u32>, n_groups: u32) -> u32 {
    return (workgroup.y * n_workgroups.x + workgroup.x) / ((n_groups + GROUPS - 1u) / GROUPS);
}

fn row_group(workgroup: vec3<u32>, n_workgroups: vec3<u32>, local: u32, n_groups: u32) -> u32 {
    let index = workgroup.y * n_workgroups.x + workgroup.x;
    return index % ((n_groups + GROUPS - 1u) / GROUPS) * GROUPS + local / LANES;
}

// Leaves in `sums` what the group's lanes have of each row together. One alone has all: SwiftShader would copy it nevertheless.
fn reduce_rows(lane: u32, sums: ptr<function, array<f32, ROWS>>) {
    for (var r = 0u; r < ROWS && LANES > 1u; r += 2u) {
        let next = min(r + 1u, ROWS - 1u);
        let two = reduce_pair(lane, vec2<f32>((*sums)[r], (*sums)[next]));
        (*sums)[r] = two.x;
        (*sums)[next] = two.y;
    }
}
