// Contract of flash decoding (see grouped_attend_decode.wgsl) of one token, whose heads are made ready on the way in, as
// grouped_heads.wgsl says: every workgroup makes its queries, and the one with the run of the newest position also makes its key
// and its value, and writes them to the cache. Other workgroups read neither.
@group(0) @binding(2) var<storage, read> heads: array<vec4<f32>>;        // [queries | keys | values]
@group(0) @binding(3) var<storage, read_write> keys: array<KeyQuad>;     // [n_kv_heads], see lib/key_order.wgsl
@group(0) @binding(4) var<storage, read_write> values: array<ValueQuad>; // [n_kv_heads, n_positions, QUADS]
@group(0) @binding(5) var<storage, read_write> runs: array<vec2<f32>>;   // [n_heads, n_splits, 2 · QUADS], stats from STATS_AT on
@group(0) @binding(6) var<storage, read> rope: array<vec2<f32>>;         // see lib/rope.wgsl
@group(0) @binding(7) var<storage, read> affine: array<vec4<f32>>;       // what there is of biases, and norms of queries and keys

// Invocations that add up the squares of a query, or of the key.
const READY_LANES = WORKGROUP / READY_SLOTS;
// Vectors of 4 from an element of a pair to the other one, with HALVES = 1.
const HALF = max(ROPE_PAIRS / 4u, 1u);

fn biased(head: u32, i: u32) -> vec4<f32> {
    let v = heads[head * QUADS + i];
    if HAS_BIAS == 1u {
        return v + affine[head * QUADS + i];
    }
    return v;
}

fn normed(head: u32, i: u32, factor: f32) -> vec4<f32> {
    if HAS_NORM == 1u {
        let n_biases = HAS_BIAS * (params.n_heads + 2u * params.n_kv_heads);
        let norm = n_biases + select(0u, 1u, head >= params.n_heads);
        return factor * biased(head, i) * affine[norm * QUADS + i];
    }
    return biased(head, i);
}

// (cos, sin) of a pair at the newest position.
fn turn_of(pair: u32) -> vec2<f32> {
    let fine = rope[(step.position % 256u) * ROPE_PAIRS + pair];
    let coarse = rope[(256u + step.position / 256u) * ROPE_PAIRS + pair];
    return vec2<f32>(fine.x * coarse.x - fine.y * coarse.y, fine.x * coarse.y + fine.y * coarse.x);
}

// Vector i of a query or a key head, ready.
fn turned(head: u32, i: u32, factor: f32) -> vec4<f32> {
    let v = normed(head, i, factor);
    if 2u * i >= ROPE_PAIRS {
        return v;
    }
    let scale = bitcast<f32>(ROPE_SCALE);
    if HALVES == 0u {
        let a = turn_of(2u * i);
        let b = turn_of(2u * i + 1u);
        let across = vec4<f32>(-v.y * a.y, v.x * a.y, -v.w * b.y, v.z * b.y);
        return scale * (v * vec4<f32>(a.x, a.x, b.x, b.x) + across);
    }
    let is_first = i < HALF;
    let other = normed(head, select(i - HALF, i + HALF, is_first), factor);
    let pair = i % HALF * 4u;
    let a = turn_of(pair);
    let b = turn_of(pair + 1u);
    let c = turn_of(pair + 2u);
    let d = turn_of(pair + 3u);
    let across = vec4<f32>(a.y, b.y, c.y, d.y) * other;
    return scale * (v * vec4<f32>(a.x, b.x, c.x, d.x) + select(across, -across, is_first));
}

fn make_ready(local: u32, token: u32, first_head: u32, n_there: u32, has_newest: bool) {
    let kv_head = first_head / (params.n_heads / params.n_kv_heads);
    // Slot HEADS is the key.
    if HAS_NORM == 1u {
        let slot = local / READY_LANES;
        var squares = 0.0;
        if slot <= HEADS {
            let head = select(first_head + min(slot, n_there - 1u), params.n_heads + kv_head, slot == HEADS);
            for (var i = local % READY_LANES; i < QUADS; i += READY_LANES) {
                let v = biased(head, i);
                squares += dot(v, v);
            }
        }
        shares[local] = squares;
        workgroupBarrier();
    }
    let cache_at = kv_head * params.n_positions * QUADS;
    for (var j = local; j < (HEADS + 1u) * QUADS; j += WORKGROUP) {
        let slot = j / QUADS;
        let i = j % QUADS;
        let head = select(first_head + min(slot, n_there - 1u), params.n_heads + kv_head, slot == HEADS);
        var factor = 1.0;
        if HAS_NORM == 1u {
            var squares = 0.0;
            for (var l = 0u; l < READY_LANES; l += 1u) {
                squares += shares[slot * READY_LANES + l];
            }
            factor = 1.0 / sqrt(squares / f32(4u * QUADS) + bitcast<f32>(EPS));
        }
        if slot < HEADS {
            quads[j] = params.scale * turned(head, i, factor);
        } else if has_newest {
            let key = turned(head, i, factor);
            keys[cache_at + key_quad(step.position, i, QUADS)] = KeyQuad(pack_key(key.xy), pack_key(key.zw));
            let value = biased(head + params.n_kv_heads, i);
            values[cache_at + step.position * QUADS + i] = ValueQuad(pack_value(value.xy), pack_value(value.zw));
        }
    }
    storageBarrier();
}

fn keep_sum(at: u32, sum: vec4<f32>) {
    runs[2u * at] = sum.xy;
    runs[2u * at + 1u] = sum.zw;
}

fn keep_stat(at: u32, stat: vec2<f32>) {
    runs[STATS_AT + at] = stat;
}
