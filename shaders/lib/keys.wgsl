// Which keys a token attends to, and in which order; a key is its own value. The token at position p sees
//   its window: the last min(p + 1, window_len) tokens up to itself, oldest first, from a ring over positions;
//   then compressed entries: of the (p + 1) / ratio that are complete, all, or where top_k > 0 those named in selected.
// Rows of the ring and of entries are numbered in one sequence, the ring first.
// The kernel has these params and binds window and entries as rows of params.n_quads vec4<f32>.
fn window_count(position: u32) -> u32 {
    return min(position + 1u, params.window_len);
}

fn entry_count(position: u32) -> u32 {
    if params.ratio == 0u {
        return 0u;
    }
    let visible = (position + 1u) / params.ratio;
    return select(visible, min(visible, params.top_k), params.top_k > 0u);
}

fn key_row(token: u32, k: u32) -> u32 {
    let position = step.position + token;
    let n_window = window_count(position);
    if k < n_window {
        return (position + 1u - n_window + k) % params.window_ring;
    }
    let i = k - n_window;
    if params.top_k > 0u {
        return params.window_ring + selected[token * params.top_k + i];
    }
    return params.window_ring + i;
}

fn key_quad(row: u32, quad: u32) -> vec4<f32> {
    if row < params.window_ring {
        return window[row * params.n_quads + quad];
    }
    return entries[(row - params.window_ring) * params.n_quads + quad];
}
