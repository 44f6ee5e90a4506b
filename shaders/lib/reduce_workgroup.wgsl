// Reduction contract (see reduce_thread.wgsl): a workgroup is the group and adds up in workgroup memory.
// LANES is a power of two. Calls must stand in uniform control flow.
var<workgroup> team_f32: array<f32, LANES>;
var<workgroup> team_u32: array<u32, LANES>;
var<workgroup> shared_word: u32;

fn group_index(workgroup: vec3<u32>, n_workgroups: vec3<u32>, local: u32) -> u32 {
    return workgroup.y * n_workgroups.x + workgroup.x;
}

fn group_lane(local: u32) -> u32 {
    return local;
}

fn reduce_sum(lane: u32, value: f32) -> f32 {
    workgroupBarrier(); // Readers of an earlier result are done.
    team_f32[lane] = value;
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if lane < width {
            team_f32[lane] += team_f32[lane + width];
        }
    }
    workgroupBarrier();
    return team_f32[0];
}

// Two sums, which wait together. The bits of the second ones stand among the other words.
fn reduce_pair(lane: u32, values: vec2<f32>) -> vec2<f32> {
    workgroupBarrier();
    team_f32[lane] = values.x;
    team_u32[lane] = bitcast<u32>(values.y);
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if lane < width {
            team_f32[lane] += team_f32[lane + width];
            team_u32[lane] = bitcast<u32>(bitcast<f32>(team_u32[lane]) + bitcast<f32>(team_u32[lane + width]));
        }
    }
    workgroupBarrier();
    return vec2<f32>(team_f32[0], bitcast<f32>(team_u32[0]));
}

fn reduce_max(lane: u32, value: f32) -> f32 {
    workgroupBarrier();
    team_f32[lane] = value;
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if lane < width {
            team_f32[lane] = max(team_f32[lane], team_f32[lane + width]);
        }
    }
    workgroupBarrier();
    return team_f32[0];
}

fn reduce_sum_u32(lane: u32, value: u32) -> u32 {
    workgroupBarrier();
    team_u32[lane] = value;
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if lane < width {
            team_u32[lane] += team_u32[lane + width];
        }
    }
    workgroupBarrier();
    return team_u32[0];
}

fn reduce_min_u32(lane: u32, value: u32) -> u32 {
    workgroupBarrier();
    team_u32[lane] = value;
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if lane < width {
            team_u32[lane] = min(team_u32[lane], team_u32[lane + width]);
        }
    }
    workgroupBarrier();
    return team_u32[0];
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
