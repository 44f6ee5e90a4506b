// Logits as a token is chosen by them: penalized, and finite. The kernel binds `params`, `logits` and `tokens`.
const LEAST = -1e30;
const MISSING = -2e30; // Past the vocabulary's end: below every threshold.

fn as_values(quad: u32, v: vec4<f32>) -> vec4<f32> {
    let finite = (bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x7f800000u);
    let there = vec4<u32>(quad * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.n_vocab);
    let some = select(vec4<f32>(LEAST), max(v, vec4<f32>(LEAST)), finite);
    return select(vec4<f32>(MISSING), some, there);
}

// Penalizes the recent ones of the ids from `first_id` on and before `end_id`. Of `n_lanes` lanes each takes the ids of the same vectors.
fn penalize(lane: u32, n_lanes: u32, first_id: u32, end_id: u32, end: u32, settings: Step) {
    let factor = select(1.0, settings.repeat_penalty, settings.repeat_penalty > 0.0);
    let presence = settings.presence_penalty;
    let frequency = settings.frequency_penalty;
    if settings.n_tokens == 0u || (factor == 1.0 && presence == 0.0 && frequency == 0.0) {
        return;
    }
    let first = end - min(settings.repeat_window, end);
    let last = min(end, params.n_positions);
    for (var i = first; i < last; i += 1u) {
        let id = tokens[i];
        if id / 4u % n_lanes == lane && id >= first_id && id < end_id {
            var before = 0u;
            var count = 0u;
            for (var j = first; j < last && before == 0u; j += 1u) {
                let same = u32(tokens[j] == id);
                before += select(0u, same, j < i);
                count += same;
            }
            let logit = logits[id / 4u][id & 3u];
            if before == 0u {
                let scaled = select(logit * factor, logit / factor, logit > 0.0);
                logits[id / 4u][id & 3u] = scaled - (f32(count) * frequency + presence);
            }
        }
    }
}
