// Slot contract (see slots_given.wgsl): every workgroup chooses its token's experts for itself, as `route` does, and the first of
// a slot keeps the choice for others. Which they are is for the choice contract (lib/choice_*.wgsl).
@group(0) @binding(3) var<storage, read> logits: array<f32>;        // [n_tokens, N_ROUTED]
@group(0) @binding(4) var<storage, read_write> experts: array<u32>; // [n_tokens, n_slots]

var<workgroup> slot_ids: array<u32, N_USED>;
var<workgroup> slot_scores: array<f32, N_USED>;
var<workgroup> slot_id: u32;

fn slot_expert(entry: u32, local: u32, is_first: bool) -> u32 {
    let slot = entry % params.n_slots;
    var expert = N_ROUTED; // The shared one.
    if slot < N_USED {
        let token = entry / params.n_slots;
        let at = token * N_ROUTED;
        choose(token, at, local);
        workgroupBarrier();
        if local == 0u {
            // Only a broken table or logits that are no numbers name an expert that is not there.
            slot_id = min(slot_ids[slot], N_ROUTED - 1u);
        }
        for (var k = local; k < N_USED; k += WORKGROUP) {
            var greatest = -1e30;
            for (var other = 0u; other < N_USED; other += 1u) {
                greatest = max(greatest, logits[at + min(slot_ids[other], N_ROUTED - 1u)]);
            }
            slot_scores[k] = weigh(logits[at + min(slot_ids[k], N_ROUTED - 1u)], greatest);
        }
        expert = workgroupUniformLoad(&slot_id); // Waits for the scores too.
    }
    if is_first && local == 0u {
        experts[entry] = expert;
    }
    return expert;
}

fn slot_weight(entry: u32) -> f32 {
    let slot = entry % params.n_slots;
    if slot >= N_USED {
        return 1.0;
    }
    var divisor = select(1.0, 1e-20, DIVISOR == 1u);
    for (var k = 0u; k < N_USED && DIVISOR == 1u; k += 1u) {
        divisor += slot_scores[k];
    }
    return slot_scores[slot] / divisor * bitcast<f32>(SCALE);
}
