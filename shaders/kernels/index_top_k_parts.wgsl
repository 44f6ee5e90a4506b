// The greatest scores of each part of PART entries, for index_top_k_radix: a workgroup takes one part of one token. All of a part that has
// no more than top_k. Nothing where a token sees no more than top_k entries.
struct Params {
    n_entries: u32,  // scores from token to token
    ratio: u32,      // tokens of an entry
    top_k: u32,
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> scores: array<u32>;            // [max_tokens, n_entries], bits of f32
@group(0) @binding(3) var<storage, read_write> parts: array<vec2<u32>>; // [max_tokens, n_parts, top_k]: an entry, and its score

fn score_of(at: u32, i: u32) -> u32 {
    return ordered(scores[at + i]);
}

fn keep(to: u32, place: u32, at: u32, i: u32) {
    parts[to + place] = vec2<u32>(at % params.n_entries + i, scores[at + i]);
}

@compute @workgroup_size(DIGITS)
fn index_top_k_parts(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = workgroup.y * n_workgroups.x + workgroup.x;
    let n_parts = (params.n_entries + PART - 1u) / PART;
    let token = index / n_parts;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let visible = (step.position + token + 1u) / params.ratio;
    let first = index % n_parts * PART;
    if visible <= params.top_k || first >= visible {
        return;
    }
    let n = min(visible - first, PART);
    let at = token * params.n_entries + first;
    let to = index * params.top_k;
    if n > params.top_k {
        keep_greatest(local, params.top_k, n, at, to);
    } else {
        for (var i = local; i < n; i += DIGITS) {
            keep(to, i, at, i);
        }
    }
}
