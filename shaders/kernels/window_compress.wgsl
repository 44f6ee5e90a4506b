// window_keys and compress side by side in one dispatch: neither reads what the other writes. A group of lanes takes one token's key
// (lib/window_row.wgsl) or one entry (lib/compress_entry.wgsl).
struct Params {
    projection_stride: u32, // elements from row to row of the projections
    projection_ring: u32,   // rows of the projections; a token's row is its position modulo this
    key_at: u32,            // first element of the key in a row
    key_dim: u32,
    window_ring: u32,       // rows of the window
    kv_at: u32,             // first element of an entry's kv in a row
    gate_at: u32,           // first element of gate in a row
    ratio: u32,             // tokens from entry to entry
    n_slots: u32,           // tokens that an entry pools: ratio or 2·ratio
    n: u32,                 // width of an entry
    rope_pairs: u32,
    eps: f32,
    max_tokens: u32,        // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> rope: array<vec2<f32>>;          // see lib/rope.wgsl
@group(0) @binding(3) var<storage, read> projections: array<f32>;         // [projection_ring, projection_stride]
@group(0) @binding(4) var<storage, read> ape: array<f32>;                 // [ratio, n · n_slots / ratio]
@group(0) @binding(5) var<storage, read> norm: array<f32>;                // [n]
@group(0) @binding(6) var<storage, read> kv_norm: array<f32>;             // [key_dim]
@group(0) @binding(7) var<storage, read_write> entries: array<vec2<f32>>; // [.., n]
@group(0) @binding(8) var<storage, read_write> window: array<vec2<f32>>;  // [window_ring, key_dim]

@compute @workgroup_size(WORKGROUP)
fn window_compress(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    if group < params.max_tokens {
        window_row(group, lane);
    } else {
        compress_entry(group - params.max_tokens, lane);
    }
}
