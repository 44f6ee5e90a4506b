// selected[t] = the indices of the top_k largest of scores[t, 0 … visible − 1], ascending; the lower index wins a tie.
// visible = (position + t + 1) / ratio; where visible <= top_k all are selected, and the rest of the row is left.
// A group of lanes takes one token. It finds the top_k-th largest score bit by bit, counting on integers in the order of the
// scores; then each lane takes a run of indices, and learns from the counts of the lanes before it where its own go.
// Exact: the same words on every adapter.
struct Params {
    n_entries: u32,  // scores from token to token
    ratio: u32,      // tokens of an entry
    top_k: u32,
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> scores: array<u32>;         // [max_tokens, n_entries], bits of f32
@group(0) @binding(3) var<storage, read_write> selected: array<u32>; // [max_tokens, top_k]

@compute @workgroup_size(WORKGROUP)
fn index_top_k(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let token = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let visible = (step.position + token + 1u) / params.ratio;
    let scores_at = token * params.n_entries;
    let selected_at = token * params.top_k;
    if visible <= params.top_k {
        for (var i = lane; i < visible; i += LANES) {
            selected[selected_at + i] = i;
        }
        return;
    }

    // The largest threshold that top_k scores reach is the top_k-th largest score.
    var threshold = 0u;
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
        var n_reach = 0u;
        for (var i = lane; i < visible; i += LANES) {
            n_reach += u32(ordered(scores[scores_at + i]) >= (threshold | bit));
        }
        threshold |= select(0u, bit, reduce_sum_u32(lane, n_reach) >= params.top_k);
    }

    let run = (visible + LANES - 1u) / LANES;
    let begin = min(lane * run, visible);
    let end = min(begin + run, visible);
    var n_above = 0u;
    var n_equal = 0u;
    for (var i = begin; i < end; i += 1u) {
        let score = ordered(scores[scores_at + i]);
        n_above += u32(score > threshold);
        n_equal += u32(score == threshold);
    }
    let n_ties = params.top_k - reduce_sum_u32(lane, n_above); // Of the scores that equal the threshold, the first so many.
    var above = reduce_before_u32(lane, n_above);
    var equal = reduce_before_u32(lane, n_equal);
    for (var i = begin; i < end; i += 1u) {
        let score = ordered(scores[scores_at + i]);
        if score > threshold || (score == threshold && equal < n_ties) {
            selected[selected_at + above + min(equal, n_ties)] = i;
        }
        above += u32(score > threshold);
        equal += u32(score == threshold);
    }
}
