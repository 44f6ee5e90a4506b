// Which experts a token goes to, and with what weight. With rank and weigh (w) of a score contract (lib/score_*.wgsl):
//   experts = the N_USED greatest of rank(logits) + bias, greatest first, ties to the lower id; or, in hash layers, a
//             table's row for the token's id. Where experts are cut into N_GROUPS, only those of the N_KEPT groups count
//             whose group_rank of the two best is greatest
//   weights = scale · w / (Σ w of the chosen or of all + 1e-20), or scale · w, as `divisor` says: the bias chooses, and
//             does not weigh, but with WEIGHS_BIAS = 1, where it belongs to the logits
// Where there is a shared expert, one more slot gets it: expert n_experts with weight 1.
// A group of lanes takes one token: each lane sorts the N_USED best of its share, then the lanes merge. All in f32.
struct Params {
    n_vocab: u32,     // rows of the table
    n_positions: u32, // ids that `tokens` holds
    n_experts: u32,   // routed experts
    n_slots: u32,     // experts of a token: N_USED, and the shared one if there is one
    hash: u32,        // 1 to take experts from the table
    divisor: u32,     // of the weights: 0 none, 1 the sum over the chosen, 2 the sum over all
    scale: f32,       // what weights are multiplied by
    max_tokens: u32,  // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> tokens: array<u32>;        // by position
@group(0) @binding(3) var<storage, read> logits: array<f32>;        // [n_tokens, n_experts]
@group(0) @binding(4) var<storage, read> bias: array<f32>;          // [n_experts], where BIASED = 1
@group(0) @binding(5) var<storage, read> table: array<i32>;         // [n_vocab, N_USED]
@group(0) @binding(6) var<storage, read_write> experts: array<u32>; // [n_tokens, n_slots]
@group(0) @binding(7) var<storage, read_write> weights: array<f32>; // [n_tokens, n_slots]

const NONE = 0xffffffffu;
const LEAST = -1e30;

fn bias_of(expert: u32) -> f32 {
    if BIASED == 1u {
        return bias[expert];
    }
    return 0.0;
}

// What an expert is weighed by; `at` is the token's first logit.
fn weighed(at: u32, expert: u32) -> f32 {
    if WEIGHS_BIAS == 1u {
        return logits[at + expert] + bias_of(expert);
    }
    return logits[at + expert];
}

// The groups whose experts count, as bits. Each lane ranks its share of them, then the lanes choose together.
fn kept_groups(lane: u32, at: u32) -> u32 {
    if N_GROUPS == 1u {
        return 1u;
    }
    let size = params.n_experts / N_GROUPS;
    var ranks: array<f32, N_GROUPS>;
    for (var group = lane; group < N_GROUPS; group += LANES) {
        var best = LEAST;
        var second = select(LEAST, 0.0, size == 1u);
        for (var i = group * size; i < (group + 1u) * size; i += 1u) {
            let value = rank(logits[at + i]) + bias_of(i);
            second = max(second, min(value, best));
            best = max(best, value);
        }
        ranks[group] = group_rank(best, second);
    }
    var kept = 0u;
    for (var k = 0u; k < N_KEPT; k += 1u) {
        var best = 2.0 * LEAST;
        var id = NONE;
        for (var group = lane; group < N_GROUPS; group += LANES) {
            if ((kept >> group) & 1u) == 0u && ranks[group] > best {
                best = ranks[group];
                id = group;
            }
        }
        let greatest = reduce_max(lane, best);
        kept |= 1u << min(reduce_min_u32(lane, select(NONE, id, best == greatest)), 31u);
    }
    return kept;
}

@compute @workgroup_size(WORKGROUP)
fn route(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let token = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let at = token * params.n_experts;
    var chosen: array<u32, N_USED>;
    if params.hash == 1u {
        let id = min(tokens[min(step.position + token, params.n_positions - 1u)], params.n_vocab - 1u);
        for (var k = 0u; k < N_USED; k += 1u) {
            chosen[k] = u32(max(table[id * N_USED + k], 0));
        }
    } else {
        var values: array<f32, N_USED>;
        var ids: array<u32, N_USED>;
        for (var k = 0u; k < N_USED; k += 1u) {
            values[k] = LEAST;
            ids[k] = NONE;
        }
        let kept = kept_groups(lane, at);
        let group_size = params.n_experts / N_GROUPS;
        for (var i = lane; i < params.n_experts; i += LANES) {
            if ((kept >> (i / group_size)) & 1u) == 0u {
                continue;
            }
            var value = rank(logits[at + i]) + bias_of(i);
            var id = i;
            for (var k = 0u; k < N_USED; k += 1u) {
                if value > values[k] || (value == values[k] && id < ids[k]) {
                    let lesser = values[k];
                    let lesser_id = ids[k];
                    values[k] = value;
                    ids[k] = id;
                    value = lesser;
                    id = lesser_id;
                }
            }
        }
        // The first of the lane's list that no round has taken; at most one goes per round.
        var head = 0u;
        for (var k = 0u; k < N_USED; k += 1u) {
            let value = values[head];
            let greatest = reduce_max(lane, value);
            let id = ids[head];
            chosen[k] = reduce_min_u32(lane, select(NONE, id, value == greatest));
            head += select(0u, 1u, id == chosen[k]);
        }
    }
    if lane == 0u {
        var greatest = LEAST;
        for (var k = 0u; k < N_USED; k += 1u) {
            // Only a broken table or logits that are no numbers name an expert that is not there.
            chosen[k] = min(chosen[k], params.n_experts - 1u);
            greatest = max(greatest, weighed(at, chosen[k]));
        }
        var divisor = select(1.0, 1e-20, params.divisor > 0u);
        for (var k = 0u; k < N_USED && params.divisor == 1u; k += 1u) {
            divisor += weigh(weighed(at, chosen[k]), greatest);
        }
        if params.divisor == 2u {
            for (var i = 0u; i < params.n_experts; i += 1u) {
                divisor += weigh(weighed(at, i), greatest);
            }
        }
        let slot = token * params.n_slots;
        for (var k = 0u; k < N_USED; k += 1u) {
            experts[slot + k] = chosen[k];
            weights[slot + k] = weigh(weighed(at, chosen[k]), greatest) / divisor * params.scale;
        }
        if params.n_slots > N_USED {
            experts[slot + N_USED] = params.n_experts;
            weights[slot + N_USED] = 1.0;
        }
    }
}
