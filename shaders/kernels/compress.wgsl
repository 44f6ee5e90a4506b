// Compressed entries whose last token lies in this step, see lib/compress_entry.wgsl. A group of lanes takes one entry.
struct Params {
    projection_stride: u32, // elements from row to row of the projections
    projection_ring: u32,   // rows of the projections; a token's row is its position modulo this
    kv_at: u32,             // first element of kv in a row
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
@group(0) @binding(2) var<storage, read> projections: array<f32>;         // [projection_ring, projection_stride]
@group(0) @binding(3) var<storage, read> ape: array<f32>;                 // [ratio, n · n_slots / ratio]
@group(0) @binding(4) var<storage, read> norm: array<f32>;                // [n]
@group(0) @binding(5) var<storage, read> rope: array<vec2<f32>>;          // see lib/rope.wgsl
@group(0) @binding(6) var<storage, read_write> entries: array<vec2<f32>>; // [.., n]

@compute @workgroup_size(WORKGROUP)
fn compress(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    compress_entry(group_index(workgroup, n_workgroups, local), group_lane(local));
}
