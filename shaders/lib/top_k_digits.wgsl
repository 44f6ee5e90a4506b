// The top_k greatest of more scores, in order, digit by digit, by a workgroup of DIGITS invocations: it counts how many scores have which
// digit of 8 bits, finds the digit of the top_k-th greatest, and goes on with those that have the same, four times; then it goes over
// the scores a last time, in order, and learns from the counts of the invocations before each where its own go. Of scores that are
// equal the first are taken. Exact: the same words on every adapter.
// COPIES is how many of each count there are: scores are alike, and invocations that count the same wait for each other.
// The kernel defines score_of(at, i), of which larger is greater, and keep(to, place, at, i), which writes number `place` of the result.
const DIGITS = 256u; // values of a digit, each of which an invocation takes
const TURN = 4u;     // scores that an invocation reads before it counts them
const IN_ROW = 8u;   // scores that an invocation takes in a row, in the end

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

fn keep_greatest(local: u32, top_k: u32, n: u32, at: u32, to: u32) {
    var threshold = 0u; // the digits found, of the top_k-th greatest score
    var wanted = top_k; // how many of the scores with these digits are taken
    for (var d = 0u; d < 4u; d += 1u) {
        let shift = 24u - 8u * d;
        for (var copy = 0u; copy < COPIES; copy += 1u) {
            atomicStore(&counts[copy * DIGITS + local], 0u);
        }
        workgroupBarrier();
        for (var first = local; first < n; first += DIGITS * TURN) {
            var scores_here: array<u32, TURN>;
            for (var t = 0u; t < TURN; t += 1u) {
                scores_here[t] = score_of(at, min(first + t * DIGITS, n - 1u));
            }
            for (var t = 0u; t < TURN; t += 1u) {
                let score = scores_here[t];
                // By two shifts: none of a word's bits are above its first digit.
                if first + t * DIGITS < n && ((score ^ threshold) >> shift) >> 8u == 0u {
                    atomicAdd(&counts[((score >> shift) & 255u) * COPIES + local % COPIES], 1u);
                }
            }
        }
        workgroupBarrier();
        // The first invocation takes the greatest digit.
        let digit = DIGITS - 1u - local;
        var n_here = 0u;
        for (var copy = 0u; copy < COPIES; copy += 1u) {
            n_here += atomicLoad(&counts[digit * COPIES + copy]);
        }
        let n_reach = sums_up_to(local, n_here);
        if n_reach >= wanted && n_reach - n_here < wanted {
            found = vec2<u32>(digit, wanted - (n_reach - n_here));
        }
        let next = workgroupUniformLoad(&found);
        threshold |= next.x << shift;
        wanted = next.y;
    }

    // Of the scores that equal the threshold, the first `wanted`.
    var above = 0u;
    var equal = 0u;
    for (var first = 0u; first < n; first += DIGITS * IN_ROW) {
        let begin = first + local * IN_ROW;
        let end = min(begin + IN_ROW, n);
        var marks = 0u; // those above in the lower half of the word, those that equal it in the upper one
        for (var i = begin; i < end; i += 1u) {
            let score = score_of(at, i);
            marks += u32(score > threshold) + (u32(score == threshold) << 16u);
        }
        let up_to = sums_up_to(local, marks);
        var my_above = above + ((up_to - marks) & 0xffffu);
        var my_equal = equal + ((up_to - marks) >> 16u);
        for (var i = begin; i < end; i += 1u) {
            let score = score_of(at, i);
            if score > threshold || (score == threshold && my_equal < wanted) {
                keep(to, my_above + min(my_equal, wanted), at, i);
            }
            my_above += u32(score > threshold);
            my_equal += u32(score == threshold);
        }
        let marks_here = sums[DIGITS - 1u];
        above += marks_here & 0xffffu;
        equal += marks_here >> 16u;
    }
}
