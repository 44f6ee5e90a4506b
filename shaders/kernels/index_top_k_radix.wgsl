// The same as `index_top_k` for GPUs, digit by digit (lib/top_k_digits.wgsl): a workgroup takes one token. With PART > 0 the scores were cut
// into parts of so many, and here are the greatest of each: the entry and its score by turns, as index_top_k_parts leaves them. In order
// they stand without a gap, since every part but the last has top_k of them.
struct Params {
    n_entries: u32,  // scores from token to token
    ratio: u32,      // tokens of an entry
    top_k: u32,
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> scores: array<u32>;         // [max_tokens, n_entries], bits of f32, or [.., 2]
@group(0) @binding(3) var<storage, read_write> selected: array<u32>; // [max_tokens, top_k]

fn score_of(at: u32, i: u32) -> u32 {
    if PART > 0u {
        return ordered(scores[at + 2u * i + 1u]);
    }
    return ordered(scores[at + i]);
}

fn keep(to: u32, place: u32, at: u32, i: u32) {
    var entry = i;
    if PART > 0u {
        entry = scores[at + 2u * i];
    }
    selected[to + place] = entry;
}

@compute @workgroup_size(DIGITS)
fn index_top_k_radix(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let token = workgroup.y * n_workgroups.x + workgroup.x;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let visible = (step.position + token + 1u) / params.ratio;
    let selected_at = token * params.top_k;
    if visible <= params.top_k {
        for (var i = local; i < visible; i += DIGITS) {
            selected[selected_at + i] = i;
        }
        return;
    }
    var n = visible;
    var at = token * params.n_entries;
    if PART > 0u {
        let part = max(PART, 1u);
        n = visible / part * params.top_k + min(visible % part, params.top_k);
        at = token * ((params.n_entries + part - 1u) / part) * params.top_k * 2u;
    }
    keep_greatest(local, params.top_k, n, at, selected_at);
}
