// Choice contract of slots (see slots_chosen.wgsl): writes a token's experts to slot_ids. Here those of the greatest rank and bias
// (lib/bias_*.wgsl), greatest first, ties to the lower id. An expert's place is the number of those before it, so no lane waits for
// another's sum.
var<workgroup> slot_ranks: array<f32, N_ROUTED>;

fn choose(token: u32, at: u32, local: u32) {
    for (var expert = local; expert < N_ROUTED; expert += WORKGROUP) {
        slot_ranks[expert] = rank(logits[at + expert]) + rank_bias(expert);
    }
    workgroupBarrier();
    for (var expert = local; expert < N_ROUTED; expert += WORKGROUP) {
        let own = slot_ranks[expert];
        var place = 0u;
        for (var other = 0u; other < N_ROUTED; other += 1u) {
            let value = slot_ranks[other];
            place += select(0u, 1u, value > own || (value == own && other < expert));
        }
        if place < N_USED {
            slot_ids[place] = expert;
        }
    }
}
