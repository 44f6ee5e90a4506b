// Heads of grouped-query attention made ready: of each query and key head bias, norm and rotation; of each value head the
// bias. Queries go into a buffer of their own; keys and values go into the cache at their positions.
//   v = heads + bias;  for queries and keys v ← norm ⊙ v / sqrt(mean(v²) + eps), then the first 2·rope_pairs elements turn
// A pair is two neighbours, or (halves) an element and its like in the second half of what turns.
// A group of lanes takes one head of one token; a lane takes two neighbouring pairs at a time, which make whole pairs of the cache
// either way. All in f32 until the cache (lib/cached_*.wgsl).
struct Params {
    n_heads: u32,     // query heads
    n_kv_heads: u32,  // key heads, and as many value heads
    head_dim: u32,
    rope_pairs: u32,  // even
    halves: u32,      // 1 where the second of a pair stands rope_pairs after the first
    has_bias: u32,    // 1 where `affine` begins with a bias for every element
    has_norm: u32,    // 1 where `affine` ends with norms: queries', then keys' [head_dim]
    n_positions: u32, // positions in the cache
    rope_scale: f32,  // factor of what turned
    eps: f32,         // added to mean squares
    max_tokens: u32,  // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rope: array<vec2<f32>>;           // see lib/rope.wgsl
@group(0) @binding(3) var<storage, read> affine: array<f32>;
@group(0) @binding(4) var<storage, read> heads: array<f32>;                // [n_tokens, queries | keys | values]
@group(0) @binding(5) var<storage, read_write> queries: array<f32>;        // [n_tokens, queries]
@group(0) @binding(6) var<storage, read_write> keys: array<KeyPair>;       // in the order of lib/key_order.wgsl, by halves of a vector of 4
@group(0) @binding(7) var<storage, read_write> values: array<ValuePair>; // [n_kv_heads, n_positions, head_dim / 2]

// Elements i and i + 1 of the head that begins at `at`.
fn biased(at: u32, head: u32, i: u32) -> vec2<f32> {
    let v = vec2<f32>(heads[at + i], heads[at + i + 1u]);
    if params.has_bias == 0u {
        return v;
    }
    let bias = head * params.head_dim + i;
    return v + vec2<f32>(affine[bias], affine[bias + 1u]);
}

@compute @workgroup_size(WORKGROUP)
fn grouped_heads(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n_all = params.n_heads + 2u * params.n_kv_heads;
    let token = group / n_all;
    let head = group % n_all;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let position = step.position + token;
    let width = params.head_dim;
    let at = group * width;
    let query_at = (token * params.n_heads + head) * width;
    let is_query = head < params.n_heads;
    let is_value = head >= params.n_heads + params.n_kv_heads;
    var factor = 1.0;
    if params.has_norm == 1u && !is_value {
        var squares = 0.0;
        for (var i = lane * 4u; i < width; i += LANES * 4u) {
            let a = biased(at, head, i);
            let b = biased(at, head, i + 2u);
            squares += dot(a, a) + dot(b, b);
        }
        factor = 1.0 / sqrt(reduce_sum(lane, squares) / f32(width) + params.eps);
    }
    let norm_at = params.has_bias * n_all * width + select(width, 0u, is_query);
    let kv_head = select(head - params.n_heads, head - params.n_heads - params.n_kv_heads, is_value);
    let keys_at = kv_head * params.n_positions * (width / 4u);
    let value_at = (kv_head * params.n_positions + position) * (width / 2u);
    let turning = select(params.rope_pairs / 2u, 0u, is_value);
    // First the pairs that turn, two by two, then the rest, four elements by four.
    let n_units = turning + (width - 4u * turning) / 4u;
    for (var unit = lane; unit < n_units; unit += LANES) {
        // Places of two pairs of neighbours in the head.
        var first = 4u * unit;
        var second = first + 2u;
        let turns = unit < turning;
        if turns && params.halves == 1u {
            first = 2u * unit;
            second = first + params.rope_pairs;
        }
        var a = biased(at, head, first);
        var b = biased(at, head, second);
        if params.has_norm == 1u && !is_value {
            a *= factor * vec2<f32>(affine[norm_at + first], affine[norm_at + first + 1u]);
            b *= factor * vec2<f32>(affine[norm_at + second], affine[norm_at + second + 1u]);
        }
        if turns {
            let turn_0 = rope_turn(position, 2u * unit) * params.rope_scale;
            let turn_1 = rope_turn(position, 2u * unit + 1u) * params.rope_scale;
            if params.halves == 1u {
                let p = rotate_pair(vec2<f32>(a.x, b.x), turn_0);
                let q = rotate_pair(vec2<f32>(a.y, b.y), turn_1);
                a = vec2<f32>(p.x, q.x);
                b = vec2<f32>(p.y, q.y);
            } else {
                a = rotate_pair(a, turn_0);
                b = rotate_pair(b, turn_1);
            }
        }
        if is_query {
            queries[query_at + first] = a.x;
            queries[query_at + first + 1u] = a.y;
            queries[query_at + second] = b.x;
            queries[query_at + second + 1u] = b.y;
        } else if is_value {
            values[value_at + first / 2u] = pack_value(a);
            values[value_at + second / 2u] = pack_value(b);
        } else {
            let first_at = keys_at + key_quad(position, first / 4u, width / 4u);
            let second_at = keys_at + key_quad(position, second / 4u, width / 4u);
            keys[2u * first_at + first / 2u % 2u] = pack_key(a);
            keys[2u * second_at + second / 2u % 2u] = pack_key(b);
        }
    }
}
