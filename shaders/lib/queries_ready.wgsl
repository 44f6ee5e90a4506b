// Contract of flash decoding (see grouped_attend_decode.wgsl): queries are ready, and so is the cache.
@group(0) @binding(2) var<storage, read> heads: array<vec4<f32>>;         // [n_tokens, heads_stride], queries first
@group(0) @binding(3) var<storage, read> keys: array<KeyQuad>;            // [n_kv_heads], see lib/key_order.wgsl
@group(0) @binding(4) var<storage, read> values: array<ValueQuad>;        // [n_kv_heads, n_positions, QUADS]
@group(0) @binding(5) var<storage, read_write> partial: array<vec4<f32>>; // [n_tokens, n_heads, n_splits, QUADS]
@group(0) @binding(6) var<storage, read_write> stats: array<vec2<f32>>;   // [n_tokens, n_heads, n_splits]

// Puts scale · query of HEADS heads into `quads`; those from `n_there` on repeat the last one.
fn make_ready(local: u32, token: u32, first_head: u32, n_there: u32, has_newest: bool) {
    for (var j = local; j < HEADS * QUADS; j += WORKGROUP) {
        let head = first_head + min(j / QUADS, n_there - 1u);
        quads[j] = params.scale * heads[token * params.heads_stride + head * QUADS + j % QUADS];
    }
}

fn keep_sum(at: u32, sum: vec4<f32>) {
    partial[at] = sum;
}

fn keep_stat(at: u32, stat: vec2<f32>) {
    stats[at] = stat;
}
