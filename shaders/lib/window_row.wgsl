// The key (and value) of a token, by a group of lanes, to the window's ring over positions:
//   kv = x / sqrt(mean(x²) + eps) · kv_norm, its last 2·rope_pairs elements turned to the token's position,
// of the key_dim elements x from key_at on in the token's row of the projections. Lanes take pairs. All in f32.
// The kernel has these params (see window_keys.wgsl), and binds step, rope, projections, kv_norm and window.
fn window_row(token: u32, lane: u32) {
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let position = step.position + token;
    let x_at = (position % params.projection_ring) * params.projection_stride + params.key_at;
    let n_pairs = params.key_dim / 2u;
    var squares = 0.0;
    for (var pair = lane; pair < n_pairs; pair += LANES) {
        let v = vec2<f32>(projections[x_at + 2u * pair], projections[x_at + 2u * pair + 1u]);
        squares += dot(v, v);
    }
    let factor = 1.0 / sqrt(reduce_sum(lane, squares) / f32(params.key_dim) + params.eps);
    let at = (position % params.window_ring) * n_pairs;
    let first = n_pairs - params.rope_pairs;
    for (var pair = lane; pair < n_pairs; pair += LANES) {
        let i = 2u * pair;
        let x = vec2<f32>(projections[x_at + i], projections[x_at + i + 1u]);
        let v = factor * x * vec2<f32>(kv_norm[i], kv_norm[i + 1u]);
        if pair < first {
            window[at + pair] = v;
        } else {
            window[at + pair] = rotate_pair(v, rope_turn(position, pair - first));
        }
    }
}
