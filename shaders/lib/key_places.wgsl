// Where a key of those that a token sees (lib/keys.wgsl) lies, in one word, and what vector of 4 of it is there: for kernels that keep the
// places of many keys.
const ENTRY = 0x80000000u; // marks a place in entries

fn place_of(seen: Seen, token: u32, k: u32) -> u32 {
    if k < seen.n_window {
        return window_key(seen, k);
    }
    return entry_key(token, k - seen.n_window) | ENTRY;
}

fn value_of(at: u32, quad: u32) -> vec4<f32> {
    if at >= ENTRY {
        return entries[(at ^ ENTRY) + quad];
    }
    return window[at + quad];
}
