// Reduction contract: lanes that share one result. Here one invocation is the whole group, so nothing is exchanged.
// Every function takes the lane's number and value, and gives every lane the group's value.
fn group_index(workgroup: vec3<u32>, n_workgroups: vec3<u32>, local: u32) -> u32 {
    return (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
}

fn group_lane(local: u32) -> u32 {
    return 0u;
}

fn reduce_sum(lane: u32, value: f32) -> f32 {
    return value;
}

fn reduce_pair(lane: u32, values: vec2<f32>) -> vec2<f32> {
    return values;
}

fn reduce_max(lane: u32, value: f32) -> f32 {
    return value;
}

fn reduce_sum_u32(lane: u32, value: u32) -> u32 {
    return value;
}

fn reduce_min_u32(lane: u32, value: u32) -> u32 {
    return value;
}

// Sum of the values of the lanes before this one.
fn reduce_before_u32(lane: u32, value: u32) -> u32 {
    return 0u;
}

// Lane 0's value, in a form that may steer control flow around other calls of the group.
fn reduce_first_u32(lane: u32, value: u32) -> u32 {
    return value;
}

// What the group wrote to storage is there for all of its lanes.
fn group_wait() {}
