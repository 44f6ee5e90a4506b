// What `sample` goes over: what `sample_parts` has left of each part of the logits; and where that does not hold all that the filters
// keep, all logits.
@group(0) @binding(4) var<storage, read> left: array<vec4<u32>>;   // [n_parts, 1 + 2 · KEPT / 4]
@group(0) @binding(5) var<storage, read> shares: array<vec2<f32>>; // [n_parts]

const ROUNDS = 2u;
const KEPT_QUADS = KEPT / 4u;
const PART_QUADS = 1u + 2u * KEPT_QUADS;

var<private> over_all: bool;

fn begin(lane: u32, end: u32, settings: Step) {}

fn n_parts() -> u32 {
    return (params.n_vocab + PART - 1u) / PART;
}

fn n_quads() -> u32 {
    return select(n_parts() * KEPT_QUADS, (params.n_vocab + 3u) / 4u, over_all);
}

// Where a vector of values lies; its ids are KEPT_QUADS behind it.
fn place_of(quad: u32) -> u32 {
    return quad / KEPT_QUADS * PART_QUADS + 1u + quad % KEPT_QUADS;
}

fn left_values(quad: u32) -> vec4<f32> {
    let is_there = quad < n_quads();
    return select(vec4<f32>(MISSING), bitcast<vec4<f32>>(left[place_of(select(0u, quad, is_there))]), is_there);
}

fn four_values(quad: u32) -> mat4x4<f32> {
    if over_all {
        return four_logits(quad);
    }
    return mat4x4<f32>(
        left_values(quad), left_values(quad + LANES), left_values(quad + 2u * LANES), left_values(quad + 3u * LANES),
    );
}

fn id_of(quad: u32, j: u32) -> u32 {
    if over_all {
        return quad * 4u + j;
    }
    return left[place_of(min(quad, n_quads() - 1u)) + KEPT_QUADS][j];
}

// Of all values: every part has told its own sum.
fn share_of_all(lane: u32, least: u32, greatest: f32) -> f32 {
    if over_all || least > key(LEAST) {
        return likely_sum(lane, least, greatest);
    }
    var part = 0.0;
    for (var i = lane; i < n_parts(); i += LANES) {
        part += shares[i].y * exp(shares[i].x - greatest);
    }
    return part;
}

// The value whose key it is.
fn value_of(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

// Whether all that was left out is less than `least`. If not, or if `least` is the key of no number, all logits are gone over from now on.
fn suffices(lane: u32, least: u32) -> bool {
    var greatest_out = -3e38;
    for (var i = lane; i < n_parts(); i += LANES) {
        greatest_out = max(greatest_out, bitcast<f32>(left[i * PART_QUADS].x));
    }
    let bound = reduce_max(lane, greatest_out);
    over_all = over_all || !(value_of(least) > bound);
    return !over_all;
}
