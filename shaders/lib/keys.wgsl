// Which keys a token attends to, and in which order; a key is its own value. The token at position p sees
//   its window: the last min(p + 1, window_len) tokens up to itself, oldest first, from a ring over positions;
//   then compressed entries: of the (p + 1) / ratio that are complete, all, or where top_k > 0 so many (lib/entries_given.wgsl).
// The kernel has these params and binds window and entries as rows of params.n_quads vec4<f32>. It takes the two in turn,
// because a software adapter runs both sides of a branch between them.
struct Seen {
    position: u32,  // of the token
    n_window: u32,  // keys in the window
    first: u32,     // row of the oldest of them in the ring
    n_entries: u32, // keys that are compressed entries
}

fn seen_by(token: u32) -> Seen {
    let position = step.position + token;
    let n_window = min(position + 1u, params.window_len);
    var n_entries = 0u;
    if params.ratio > 0u {
        n_entries = (position + 1u) / params.ratio;
    }
    if params.top_k > 0u {
        n_entries = min(n_entries, params.top_k);
    }
    return Seen(position, n_window, (position + 1u - n_window) % params.window_ring, n_entries);
}

// First quad in window of key k < n_window. No remainder: it costs more than the rest, and the ring wraps once at most.
fn window_key(seen: Seen, k: u32) -> u32 {
    let row = seen.first + k;
    return select(row, row - params.window_ring, row >= params.window_ring) * params.n_quads;
}
