// What a group makes of its numbers by each function of the reduction contract. Of floats: sum, greatest, and as a
// pair sum of squares and sum. Of words: sum, least, sum again (that of the lanes before the last, and the last's own), the first.
struct Params {
    n_groups: u32, // groups
    n: u32,        // numbers of a group
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> values: array<f32>;            // [n_groups, n]
@group(0) @binding(2) var<storage, read> words: array<u32>;             // [n_groups, n]
@group(0) @binding(3) var<storage, read_write> floats: array<vec4<f32>>; // [n_groups]
@group(0) @binding(4) var<storage, read_write> counts: array<vec4<u32>>; // [n_groups]

@compute @workgroup_size(WORKGROUP)
fn probe_reduce(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    if group >= params.n_groups {
        return;
    }
    let at = group * params.n;
    var sum = 0.0;
    var squares = 0.0;
    var greatest = -3.4e38;
    var count = 0u;
    var least = 0xffffffffu;
    for (var i = lane; i < params.n; i += LANES) {
        sum += values[at + i];
        squares += values[at + i] * values[at + i];
        greatest = max(greatest, values[at + i]);
        count += words[at + i];
        least = min(least, words[at + i]);
    }
    let of_floats = vec2<f32>(reduce_sum(lane, sum), reduce_max(lane, greatest));
    let pair = reduce_pair(lane, vec2<f32>(squares, sum));
    let all = reduce_sum_u32(lane, count);
    let min_of_all = reduce_min_u32(lane, least);
    let up_to_here = reduce_before_u32(lane, count) + count;
    let first = reduce_first_u32(lane, words[at + min(lane, params.n - 1u)]);
    if lane == LANES - 1u {
        floats[group] = vec4<f32>(of_floats, pair);
        counts[group] = vec4<u32>(all, min_of_all, up_to_here, first);
    }
}
