// What `sample` needs of each part of PART logits, penalized as it would: the KEPT greatest with their ids, ascending; the least of them
// where others are left out; the greatest, and the sum of all probabilities relative to it. A workgroup takes a part.
struct Params {
    n_vocab: u32,     // logits
    n_positions: u32, // ids that `tokens` holds
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read_write> logits: array<vec4<f32>>; // [n_vocab]
@group(0) @binding(3) var<storage, read> tokens: array<u32>;             // by position
// [n_parts, 4 + 2 · KEPT]: the bits of the least that is kept, or of −3e38; nothing three times; bits of values; ids
@group(0) @binding(4) var<storage, read_write> left: array<u32>;
@group(0) @binding(5) var<storage, read_write> shares: array<vec2<f32>>; // [n_parts]: the greatest, the sum

var<private> least_kept: f32;

fn value_at(id: u32) -> f32 {
    return as_values(id / 4u, logits[id / 4u])[id & 3u];
}

fn score_of(at: u32, i: u32) -> u32 {
    return ordered(bitcast<u32>(value_at(at + i)));
}

fn keep(to: u32, place: u32, at: u32, i: u32) {
    let value = value_at(at + i);
    least_kept = min(least_kept, value);
    left[to + 4u + place] = bitcast<u32>(value);
    left[to + 4u + KEPT + place] = at + i;
}

@compute @workgroup_size(DIGITS)
fn sample_parts(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = workgroup.y * n_workgroups.x + workgroup.x;
    let first = number * PART;
    if step.n_tokens == 0u || first >= params.n_vocab {
        return;
    }
    let n = min(params.n_vocab - first, PART);
    penalize(local, DIGITS, first, first + n, step.position + step.n_tokens, step);
    storageBarrier();

    let to = number * (4u + 2u * KEPT);
    least_kept = 3e38;
    if n > KEPT {
        keep_greatest(local, KEPT, n, first, to);
    } else if local < n {
        keep(to, local, first, local);
    } else if local < KEPT {
        left[to + 4u + local] = bitcast<u32>(MISSING);
        left[to + 4u + KEPT + local] = 0u;
    }

    // Vectors of a lane: PART is a multiple of 4, and so is `first`.
    var greatest = MISSING;
    for (var quad = first / 4u + local; quad * 4u < first + n; quad += DIGITS) {
        let v = as_values(quad, logits[quad]);
        greatest = max(greatest, max(max(v.x, v.y), max(v.z, v.w)));
    }
    greatest = reduce_max(local, greatest);
    let least = -reduce_max(local, -least_kept);
    var part = 0.0;
    for (var quad = first / 4u + local; quad * 4u < first + n; quad += DIGITS) {
        part += dot(exp(as_values(quad, logits[quad]) - greatest), vec4<f32>(1.0));
    }
    let sum = reduce_sum(local, part);
    if local == 0u {
        left[to] = bitcast<u32>(select(-3e38, least, n > KEPT));
        shares[number] = vec2<f32>(greatest, sum);
    }
}
