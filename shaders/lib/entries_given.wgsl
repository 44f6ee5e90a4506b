// Contract of the compressed entries that a token sees (lib/keys.wgsl): those named in selected, which an indexer chose.
// First quad in entries of the i-th of them.
fn entry_key(token: u32, i: u32) -> u32 {
    if params.top_k > 0u {
        return selected[token * params.top_k + i] * params.n_quads;
    }
    return i * params.n_quads;
}

// Asks for the i-th to the one before the end-th.
fn choose_entries(local: u32, token: u32, first: u32, end: u32) {
}
