// Contract of the compressed entries that a token sees (lib/keys.wgsl): the top_k with the greatest of the indexer's scores, which a
// workgroup chooses for itself (lib/top_k_digits.wgsl), and keeps those of its own run. Here selected has the scores, not the choice.
var<workgroup> chosen: array<u32, RUN_KEYS>;
var<private> run_first: u32;
var<private> run_end: u32;

fn score_of(at: u32, i: u32) -> u32 {
    return ordered(selected[at + i]);
}

fn keep(to: u32, place: u32, at: u32, i: u32) {
    if place >= run_first && place < run_end {
        chosen[place - run_first] = i;
    }
}

// First quad in entries of the i-th of them, one that was asked for.
fn entry_key(token: u32, i: u32) -> u32 {
    return chosen[i - run_first] * params.n_quads;
}

// Asks for the i-th to the one before the end-th.
fn choose_entries(local: u32, token: u32, first: u32, end: u32) {
    run_first = first;
    run_end = end;
    let visible = (step.position + token + 1u) / params.ratio;
    if visible <= params.top_k {
        for (var i = first + local; i < end; i += WORKGROUP) {
            chosen[i - first] = i;
        }
    } else if first < end {
        keep_greatest(local, params.top_k, visible, token * params.n_entries, 0u);
    }
}
