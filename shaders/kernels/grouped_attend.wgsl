// A part of grouped-query attention: the token at position p sees keys 0 … p, or the last `window` of them (its own among
// them), cut into n_splits runs of whole blocks. lib/attend_run.wgsl says what becomes of a run: here of up to HEADS query heads that
// share a key head. A value may be the begin of its key's row, as with latents: keys and values are then the same buffer.
struct Params {
    n_heads: u32,
    n_kv_heads: u32,
    n_quads: u32,      // vectors of 4 in a query and a key, and from value to value of the cache
    value_quads: u32,  // vectors of 4 in a value
    heads_stride: u32, // vectors of 4 from token to token in heads
    n_positions: u32,  // positions in the cache
    window: u32,       // keys that a token sees at most
    n_splits: u32,
    scale: f32,
    max_tokens: u32,   // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> heads: array<vec4<f32>>;         // [n_tokens, heads_stride], queries first
@group(0) @binding(3) var<storage, read> keys: array<KeyQuad>;            // [n_kv_heads], see lib/key_order.wgsl
@group(0) @binding(4) var<storage, read> values: array<ValueQuad>;        // [n_kv_heads, n_positions, n_quads]
@group(0) @binding(5) var<storage, read_write> partial: array<vec4<f32>>; // [n_tokens, n_heads, n_splits, value_quads]
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>;   // [n_tokens, n_heads, n_splits]

// Keys are counted over all key heads, of which each has whole blocks.
fn key_place(n: u32, k: u32) -> u32 {
    return key_quad(k, 0u, n);
}

fn key_at(place: u32, i: u32) -> vec4<f32> {
    return unpack_key(keys[place + i * KEYS_TOGETHER]);
}

fn value_at(n: u32, k: u32, i: u32) -> vec4<f32> {
    return unpack_value(values[k * n + i]);
}

@compute @workgroup_size(WORKGROUP)
fn grouped_attend(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let group = params.n_heads / params.n_kv_heads;
    let n_tiles = (group + HEADS - 1u) / HEADS;
    let run = index % params.n_splits;
    let tile = index / params.n_splits % n_tiles;
    let kv_head = index / params.n_splits / n_tiles % params.n_kv_heads;
    let token = index / params.n_splits / n_tiles / params.n_kv_heads;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let n_before = step.position + token + 1u;
    let n_keys = min(n_before, params.window);
    let n_blocks = (n_keys + BLOCK - 1u) / BLOCK;
    let run_keys = (n_blocks + params.n_splits - 1u) / params.n_splits * BLOCK;
    let begin = kv_head * params.n_positions;
    let first = begin + n_before - n_keys + min(run * run_keys, n_keys);
    let end = min(first + run_keys, begin + n_before);
    attend_run(lane, Run(token, run, first, end, kv_head * group, group, tile, params.n_quads));
}
