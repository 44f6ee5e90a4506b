// Reduction contract (see reduce_thread.wgsl): a workgroup is the group; subgroups add up first, then their results through
// workgroup memory. SUBGROUP is the size of the adapter's subgroups, or the least of them where SUBGROUP_VARIES is 1; lanes stand in
// order. Calls must stand in uniform control flow.
var<workgroup> team_f32: array<f32, LANES>;
var<workgroup> team_u32: array<u32, LANES>;
var<workgroup> shared_word: u32;

fn group_index(workgroup: vec3<u32>, n_workgroups: vec3<u32>, local: u32) -> u32 {
    return workgroup.y * n_workgroups.x + workgroup.x;
}

fn group_lane(local: u32) -> u32 {
    return local;
}

// The lanes that a part is of.
fn part_lanes() -> u32 {
    if SUBGROUP_VARIES == 1u {
        return subgroupAdd(1u);
    }
    return SUBGROUP;
}

fn reduce_sum(lane: u32, value: f32) -> f32 {
    let part = subgroupAdd(value);
    if LANES <= SUBGROUP {
        return part;
    }
    let lanes = part_lanes();
    workgroupBarrier(); // Readers of an earlier result are done.
    team_f32[lane] = part;
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < LANES; i += lanes) {
        sum += team_f32[i];
    }
    return sum;
}

// Two sums, which wait together: lanes of odd numbers bring the second ones.
fn reduce_pair(lane: u32, values: vec2<f32>) -> vec2<f32> {
    let parts = vec2<f32>(subgroupAdd(values.x), subgroupAdd(values.y));
    if LANES <= SUBGROUP {
        return parts;
    }
    let lanes = part_lanes();
    workgroupBarrier();
    team_f32[lane] = select(parts.x, parts.y, (lane & 1u) == 1u);
    workgroupBarrier();
    var sums = vec2<f32>();
    for (var i = 0u; i < LANES; i += lanes) {
        sums += vec2<f32>(team_f32[i], team_f32[i + 1u]);
    }
    return sums;
}

fn reduce_max(lane: u32, value: f32) -> f32 {
    let part = subgroupMax(value);
    if LANES <= SUBGROUP {
        return part;
    }
    let lanes = part_lanes();
    workgroupBarrier();
    team_f32[lane] = part;
    workgroupBarrier();
    var greatest = team_f32[0];
    for (var i = lanes; i < LANES; i += lanes) {
        greatest = max(greatest, team_f32[i]);
    }
    return greatest;
}

fn reduce_sum_u32(lane: u32, value: u32) -> u32 {
    let part = subgroupAdd(value);
    if LANES <= SUBGROUP {
        return part;
    }
    let lanes = part_lanes();
    workgroupBarrier();
    team_u32[lane] = part;
    workgroupBarrier();
    var sum = 0u;
    for (var i = 0u; i < LANES; i += lanes) {
        sum += team_u32[i];
    }
    return sum;
}

fn reduce_min_u32(lane: u32, value: u32) -> u32 {
    let part = subgroupMin(value);
    if LANES <= SUBGROUP {
        return part;
    }
    let lanes = part_lanes();
    workgroupBarrier();
    team_u32[lane] = part;
    workgroupBarrier();
    var least = team_u32[0];
    for (var i = lanes; i < LANES; i += lanes) {
        least = min(least, team_u32[i]);
    }
    return least;
}

// Sum of the values of the lanes before this one.
fn reduce_before_u32(lane: u32, value: u32) -> u32 {
    workgroupBarrier();
    team_u32[lane] = value;
    workgroupBarrier();
    var before = 0u;
    for (var i = 0u; i < lane; i += 1u) {
        before += team_u32[i];
    }
    return before;
}

// Lane 0's value, in a form that may steer control flow around other calls of the group.
fn reduce_first_u32(lane: u32, value: u32) -> u32 {
    if lane == 0u {
        shared_word = value;
    }
    return workgroupUniformLoad(&shared_word); // Waits for the group before and after.
}

// What the group wrote to storage is there for all of its lanes.
fn group_wait() {
    storageBarrier();
}
