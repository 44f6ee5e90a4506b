// Compressed entry number `group` of those that end in this step, by a group of lanes. Entry w stands for tokens
// ratio·w … ratio·w + ratio − 1:
//   s_j[c] = gate_j[c] + ape[j mod ratio][c] of each token j;
//   e[c]   = Σ_j softmax_j(s_j[c]) · kv_j[c], the softmax over the entry's slots, for every channel apart;
//   entry  = e / sqrt(mean(e²) + eps) · norm, its last 2·rope_pairs elements turned to position ratio·w.
// Where n_slots = ratio the slots are the entry's tokens, n channels wide. Where n_slots = 2·ratio, the block before
// comes first, with channels 0 … n − 1, then the entry's own block with channels n … 2n − 1; entry 0 has no block
// before. Lanes take pairs of channels, and scale what they wrote themselves. All in f32.
// The kernel has these params (see compress.wgsl), and binds step, projections, ape, norm, rope and entries.
fn compress_entry(group: u32, lane: u32) {
    let entry = step.position / params.ratio + group;
    let end = (entry + 1u) * params.ratio;
    if group > params.max_tokens / params.ratio || end > step.position + min(step.n_tokens, params.max_tokens) {
        return;
    }
    let n_pairs = params.n / 2u;
    let at = entry * n_pairs;
    var squares = 0.0;
    for (var pair = lane; pair < n_pairs; pair += LANES) {
        let e = pool(end, 2u * pair);
        squares += dot(e, e);
        entries[at + pair] = e;
    }
    let factor = 1.0 / sqrt(reduce_sum(lane, squares) / f32(params.n) + params.eps);
    let first = n_pairs - params.rope_pairs;
    for (var pair = lane; pair < n_pairs; pair += LANES) {
        let v = factor * entries[at + pair] * vec2<f32>(norm[2u * pair], norm[2u * pair + 1u]);
        if pair < first {
            entries[at + pair] = v;
        } else {
            entries[at + pair] = rotate_pair(v, rope_turn(entry * params.ratio, pair - first));
        }
    }
}

// Two channels of the entry that ends before token `end`, pooled over its slots.
fn pool(end: u32, channel: u32) -> vec2<f32> {
    let first = select(0u, params.ratio, params.n_slots > end); // Entry 0 has no block before.
    var greatest = vec2<f32>(-1e30);
    for (var slot = first; slot < params.n_slots; slot += 1u) {
        greatest = max(greatest, gate(end, slot, channel));
    }
    var total = vec2<f32>();
    var sum = vec2<f32>();
    for (var slot = first; slot < params.n_slots; slot += 1u) {
        let weight = exp(gate(end, slot, channel) - greatest);
        let at = slot_at(end, slot, channel) + params.kv_at;
        total += weight;
        sum += weight * vec2<f32>(projections[at], projections[at + 1u]);
    }
    return sum / total;
}

fn gate(end: u32, slot: u32, channel: u32) -> vec2<f32> {
    let at = slot_at(end, slot, channel) + params.gate_at;
    let ape_at = (slot % params.ratio) * (params.n_slots / params.ratio * params.n) + slot_channel(slot, channel);
    return vec2<f32>(projections[at] + ape[ape_at], projections[at + 1u] + ape[ape_at + 1u]);
}

// Element of the projections where a slot's channels begin, less the place of kv or gate in the row.
fn slot_at(end: u32, slot: u32, channel: u32) -> u32 {
    let token = end + slot - params.n_slots;
    return (token % params.projection_ring) * params.projection_stride + slot_channel(slot, channel);
}

// The later block of an entry that pools two has channels of its own.
fn slot_channel(slot: u32, channel: u32) -> u32 {
    return select(channel, channel + params.n, slot >= params.ratio);
}
