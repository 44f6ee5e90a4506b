// Head number `group` of the queries of all tokens made ready, in place, by a group of lanes. For each of n_heads heads x of
// head_dim elements:
//   x ← x / sqrt(mean(x²) + eps), then the last 2·rope_pairs elements turn to the token's position;
// for each of the n_index_heads heads of index_head_dim elements that follow them: the turn only.
// Lanes take pairs, and only their own. All in f32.
// The kernel has these params (see rotate.wgsl), and binds step, rope and queries.
fn rotate_head(group: u32, lane: u32) {
    let n_groups = params.n_heads + params.n_index_heads;
    let token = group / n_groups;
    let head = group % n_groups;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let is_index = head >= params.n_heads;
    let width = select(params.head_dim, params.index_head_dim, is_index);
    let head_at = select(head * width, params.n_heads * params.head_dim + (head - params.n_heads) * width, is_index);
    let at = (token * params.stride + head_at) / 2u;
    let n_pairs = width / 2u;
    let first = n_pairs - params.rope_pairs;
    var factor = 1.0;
    if !is_index {
        var squares = 0.0;
        for (var pair = lane; pair < n_pairs; pair += LANES) {
            let v = queries[at + pair];
            squares += dot(v, v);
        }
        factor = 1.0 / sqrt(reduce_sum(lane, squares) / f32(width) + params.eps);
        for (var pair = lane; pair < first; pair += LANES) {
            queries[at + pair] *= factor;
        }
    }
    let position = step.position + token;
    for (var pair = lane; pair < params.rope_pairs; pair += LANES) {
        let v = queries[at + first + pair];
        queries[at + first + pair] = rotate_pair(factor * v, rope_turn(position, pair));
    }
}
