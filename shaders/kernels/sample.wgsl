// Chooses the next token from one row of logits, writes it after the step's tokens, and moves the step on to it.
//   1. Each id among the last repeat_window tokens has its logit divided by repeat_penalty, or multiplied when negative;
//      then it loses presence_penalty, and frequency_penalty for each time that the id is among them.
//   2. top_k keeps the k greatest; top_p of those the greatest that hold this share of probability, the one that passes
//      it included; min_p those at least this likely relative to the likeliest. Probabilities are those at temperature 1.
//   3. Of the kept, the greatest of logit / temperature + noise, noise from Gumbel's distribution: a draw from the
//      softmax at that temperature. At temperature 0 the greatest logit; ties go to the lower id.
// Every filter is a threshold on the logit, so ids that tie at a threshold are all kept. Noise depends on seed, position
// and id alone. One group of lanes takes the row; a lane always takes the same ids, so it reads back what it penalized. Logits
// that are no finite numbers count as least. Sums in f32.
// A text before says what is gone over: n_quads() vectors, whose values four_values(quad) reads and whose ids id_of(quad, j) knows; what
// begin(lane, end, settings) does to them first; share_of_all(lane, least, greatest), a lane's part of the sum of all probabilities from
// `least` on; and whether ids that it leaves out suffices(lane, least) to find those that the filters keep, in at most ROUNDS tries.
// Where the id is one of the stops, the step is left without tokens: it and all that follow do nothing, this one
// included, so the host may have queued as many as it likes.
struct Params {
    n_vocab: u32,     // logits
    n_positions: u32, // ids that `tokens` holds
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read_write> step: Step;
@group(0) @binding(2) var<storage, read_write> logits: array<vec4<f32>>; // [n_vocab]
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;       // by position

const NONE = 0xffffffffu;
const DRAW = 1u;
const TOP_K = 2u;
const TOP_P = 4u;

// The logits of a lane's next four vectors, of which the first is there. They are read side by side: on an H100 a lane waits 0.6 us
// for each that it reads by itself.
fn four_logits(quad: u32) -> mat4x4<f32> {
    let at = vec4<u32>(quad) + LANES * vec4<u32>(0u, 1u, 2u, 3u);
    // Past the end the first again, since no other lane writes to it.
    let there = select(vec4<u32>(quad), at, at <= vec4<u32>((params.n_vocab - 1u) / 4u));
    let read = mat4x4<f32>(logits[there.x], logits[there.y], logits[there.z], logits[there.w]);
    return mat4x4<f32>(
        as_values(at.x, read[0]), as_values(at.y, read[1]), as_values(at.z, read[2]), as_values(at.w, read[3]),
    );
}

// Words in the order of the values.
fn keys(v: vec4<f32>) -> vec4<u32> {
    let bits = bitcast<vec4<u32>>(v);
    return select(bits | vec4<u32>(0x80000000u), ~bits, bits >= vec4<u32>(0x80000000u));
}

fn key(v: f32) -> u32 {
    return keys(vec4<f32>(v)).x;
}

fn pcg(v: u32) -> u32 {
    let state = v * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// −log(−log(1 − u)) for a uniform u; the inner logarithm as a series where u would drown in the 1, because the
// likeliest winners come from there.
fn gumbel(hash: u32) -> f32 {
    let u = min((f32(hash) + 0.5) * 2.3283064e-10, 0.99999994);
    return -log(select(-log(1.0 - u), u * (1.0 + u * (0.5 + u / 3.0)), u < 0.01));
}

var<private> weights: array<f32, 16>;

// Adds what values weigh to the weights of their next digits, of those whose digits before are the ones `found`.
fn weigh(v: vec4<f32>, found: u32, shift: u32, least: u32, greatest: f32, by_count: bool) {
    let k = keys(v);
    let weight = select(exp(v - greatest), vec4<f32>(1.0), by_count);
    for (var j = 0u; j < 4u; j += 1u) {
        // Below 16 only where the digits before are those found.
        let digit = (k[j] ^ found) >> shift;
        if digit < 16u && k[j] >= least {
            weights[digit] += weight[j];
        }
    }
}

// The greatest key such that the values with keys from it on, among those from `least` on, weigh `goal` or more. It is
// found digit by digit, 4 bits at a time. A value weighs 1, or its probability relative to `greatest`.
fn threshold(lane: u32, least: u32, goal: f32, greatest: f32, by_count: bool) -> u32 {
    var found = 0u;
    var above = 0.0;
    for (var level = 0u; level < 8u; level += 1u) {
        let shift = 28u - 4u * level;
        weights = array<f32, 16>();
        for (var quad = lane; quad < n_quads(); quad += 4u * LANES) {
            let four = four_values(quad);
            for (var i = 0u; i < 4u; i += 1u) {
                weigh(four[i], found, shift, least, greatest, by_count);
            }
        }
        var settled = false;
        for (var i = 0u; i < 16u; i += 1u) {
            let digit = 15u - i;
            let weight = reduce_sum(lane, weights[digit]);
            // Where rounding leaves the goal out of reach, the last digit has to do.
            if !settled && (digit == 0u || above + weight >= goal) {
                settled = true;
                found |= digit << shift;
            }
            above += select(weight, 0.0, settled);
        }
    }
    return found;
}

// The probabilities of the values with keys from `least` on, relative to `greatest`.
fn likely(v: vec4<f32>, least: u32, greatest: f32) -> vec4<f32> {
    return select(vec4<f32>(), exp(v - greatest), keys(v) >= vec4<u32>(least));
}

// A lane's part of their sum.
fn likely_sum(lane: u32, least: u32, greatest: f32) -> f32 {
    var part = 0.0;
    for (var quad = lane; quad < n_quads(); quad += 4u * LANES) {
        let four = four_values(quad);
        let first = likely(four[0], least, greatest) + likely(four[1], least, greatest);
        let last = likely(four[2], least, greatest) + likely(four[3], least, greatest);
        part += dot(first + last, vec4<f32>(1.0));
    }
    return part;
}

// The least key that the filters keep.
fn filtered(lane: u32, wanted: u32, settings: Step, greatest: f32) -> u32 {
    var least = key(LEAST);
    // One text for both: drivers copy what is called to each place that calls it.
    for (var kind = TOP_K; kind <= TOP_P; kind *= 2u) {
        if (wanted & kind) != 0u {
            var goal = f32(settings.top_k);
            if kind == TOP_P {
                goal = max(settings.top_p, 1e-6) * reduce_sum(lane, share_of_all(lane, least, greatest));
            }
            least = max(least, threshold(lane, least, goal, greatest, kind == TOP_K));
        }
    }
    if settings.min_p > 0.0 {
        least = max(least, key(greatest + log(min(settings.min_p, 1.0))));
    }
    return least;
}

fn ends(settings: Step, id: u32) -> bool {
    let places = vec4<u32>(0u, 1u, 2u, 3u);
    let first = (settings.stops_0 == vec4<u32>(id)) & (places < vec4<u32>(settings.n_stops));
    let second = (settings.stops_1 == vec4<u32>(id)) & (places + 4u < vec4<u32>(settings.n_stops));
    return any(first | second);
}

// The best of a lane so far. Ids come in ascending order, so that of equals the first stays.
struct Best {
    score: f32,
    id: u32,
}

// How ids are drawn, if they are: by (value − greatest) · scale + noise.
struct Draw {
    is_drawn: bool,
    greatest: f32,
    scale: f32,
    stream: u32,
}

fn better(before: Best, quad: u32, v: vec4<f32>, least: u32, draw: Draw) -> Best {
    var best = before;
    let k = keys(v);
    for (var j = 0u; j < 4u; j += 1u) {
        if k[j] >= least {
            let id = id_of(quad, j);
            var score = v[j];
            if draw.is_drawn {
                score = (v[j] - draw.greatest) * draw.scale + gumbel(pcg(id + draw.stream));
            }
            if score > best.score {
                best = Best(score, id);
            }
        }
    }
    return best;
}

@compute @workgroup_size(WORKGROUP)
fn sample(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    if group_index(workgroup, n_workgroups, local) > 0u {
        return;
    }
    let lane = group_lane(local);
    // A copy for every lane, taken before lane 0 moves the step on.
    let settings = step;
    let end = settings.position + settings.n_tokens;
    let works = settings.n_tokens > 0u;
    begin(lane, end, settings);

    let draw = works && settings.temperature > 0.0;
    let top_k = draw && settings.top_k > 0u && settings.top_k < params.n_vocab;
    let top_p = draw && settings.top_p < 1.0;
    // The step can be written here, so what it says steers the group only by way of its first lane.
    let wanted = reduce_first_u32(lane, select(0u, DRAW, draw) | select(0u, TOP_K, top_k) | select(0u, TOP_P, top_p));
    var greatest = MISSING;
    var least = 0u;
    if wanted != 0u {
        for (var quad = lane; quad < n_quads(); quad += 4u * LANES) {
            let four = four_values(quad);
            let v = max(max(four[0], four[1]), max(four[2], four[3]));
            greatest = max(greatest, max(max(v.x, v.y), max(v.z, v.w)));
        }
        greatest = reduce_max(lane, greatest);
        for (var round = 0u; round < ROUNDS; round += 1u) {
            least = filtered(lane, wanted, settings, greatest);
            if reduce_first_u32(lane, u32(suffices(lane, least))) != 0u {
                break;
            }
        }
    }

    let how = Draw(draw, greatest, 1.0 / max(settings.temperature, 1e-6), pcg(end + pcg(settings.seed)));
    var best = Best(-3e38, NONE);
    for (var quad = lane; quad < n_quads(); quad += 4u * LANES) {
        let four = four_values(quad);
        for (var i = 0u; i < 4u; i += 1u) {
            best = better(best, quad + i * LANES, four[i], least, how);
        }
    }
    let winning = reduce_max(lane, best.score);
    let id = min(reduce_min_u32(lane, select(NONE, best.id, best.score == winning)), params.n_vocab - 1u);
    if lane == 0u && works {
        if end < params.n_positions {
            tokens[end] = id;
        }
        step.position = end;
        step.n_tokens = select(1u, 0u, ends(settings, id));
    }
}
