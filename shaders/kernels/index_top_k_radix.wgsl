// The same as `index_top_k` for GPUs, digit by digit: a workgroup takes one token. It counts how many scores have which digit of 8
// bits, finds the digit of the top_k-th largest one, and goes on with those that have the same, four times; then it goes over the
// scores a last time, in order, and learns from the counts of the invocations before each where its own go.
// Exact: the same words on every adapter.
struct Params {
    n_entries: u32,  // scores from token to token
    ratio: u32,      // tokens of an entry
    top_k: u32,
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> scores: array<u32>;         // [max_tokens, n_entries], bits of f32
@group(0) @binding(3) var<storage, read_write> selected: array<u32>; // [max_tokens, top_k]

const DIGITS = 256u; // values of a digit, each of which an invocation takes
const COPIES = 8u;   // of each count: scores are alike, and invocations that count the same wait for each other
const EACH = 8u;     // scores that an invocation takes in a row, in the end

var<workgroup> counts: array<atomic<u32>, DIGITS * COPIES>;
var<workgroup> sums: array<u32, DIGITS>;
var<workgroup> found: vec2<u32>; // a digit, and how many of the scores with it are wanted

// Adds to each invocation's value those of the invocations before it.
fn sums_up_to(local: u32, value: u32) -> u32 {
    workgroupBarrier(); // Readers of earlier sums are done.
    sums[local] = value;
    var sum = value;
    for (var width = 1u; width < DIGITS; width *= 2u) {
        workgroupBarrier();
        var before = 0u;
        if local >= width {
            before = sums[local - width];
        }
        workgroupBarrier();
        sum += before;
        sums[local] = sum;
    }
    workgroupBarrier();
    return sum;
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
    let scores_at = token * params.n_entries;
    let selected_at = token * params.top_k;
    if visible <= params.top_k {
        for (var i = local; i < visible; i += DIGITS) {
            selected[selected_at + i] = i;
        }
        return;
    }

    var threshold = 0u;         // the digits found, of the top_k-th largest score
    var wanted = params.top_k;  // how many of the scores with these digits are selected
    for (var d = 0u; d < 4u; d += 1u) {
        let shift = 24u - 8u * d;
        for (var copy = 0u; copy < COPIES; copy += 1u) {
            atomicStore(&counts[copy * DIGITS + local], 0u);
        }
        workgroupBarrier();
        for (var i = local; i < visible; i += DIGITS) {
            let score = ordered(scores[scores_at + i]);
            // By two shifts: none of a word's bits are above its first digit.
            if ((score ^ threshold) >> shift) >> 8u == 0u {
                atomicAdd(&counts[((score >> shift) & 255u) * COPIES + local % COPIES], 1u);
            }
        }
        workgroupBarrier();
        // The first invocation takes the greatest digit.
        let digit = DIGITS - 1u - local;
        var n = 0u;
        for (var copy = 0u; copy < COPIES; copy += 1u) {
            n += atomicLoad(&counts[digit * COPIES + copy]);
        }
        let n_reach = sums_up_to(local, n);
        if n_reach >= wanted && n_reach - n < wanted {
            found = vec2<u32>(digit, wanted - (n_reach - n));
        }
        let next = workgroupUniformLoad(&found);
        threshold |= next.x << shift;
        wanted = next.y;
    }

    // Of the scores that equal the threshold, the first `wanted`.
    var above = 0u;
    var equal = 0u;
    for (var first = 0u; first < visible; first += DIGITS * EACH) {
        let begin = first + local * EACH;
        let end = min(begin + EACH, visible);
        var n = 0u; // those above in the lower half of the word, those that equal it in the upper one
        for (var i = begin; i < end; i += 1u) {
            let score = ordered(scores[scores_at + i]);
            n += u32(score > threshold) + (u32(score == threshold) << 16u);
        }
        let up_to = sums_up_to(local, n);
        var my_above = above + ((up_to - n) & 0xffffu);
        var my_equal = equal + ((up_to - n) >> 16u);
        for (var i = begin; i < end; i += 1u) {
            let score = ordered(scores[scores_at + i]);
            if score > threshold || (score == threshold && my_equal < wanted) {
                selected[selected_at + my_above + min(my_equal, wanted)] = i;
            }
            my_above += u32(score > threshold);
            my_equal += u32(score == threshold);
        }
        let n_here = sums[DIGITS - 1u];
        above += n_here & 0xffffu;
        equal += n_here >> 16u;
    }
}
