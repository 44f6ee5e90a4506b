// Fuses q_norm and kv, the two latents of attention, from a token's projections:
// job 0: qr[t, i] = x[t, q_at + i] / sqrt(mean(x²) + eps) · q_norm[i],   i < n_q
// job 1: kv[t, i] = x[t, kv_at + i] / sqrt(mean(x²) + eps) · kv_norm[i], i < n_kv, its last 2·rope_pairs elements
//        turned to the token's position, stored to the window's ring.
// A group of lanes takes one job of one token; lanes take pairs of elements. All in f32.
struct Params {
    projection_stride: u32, // elements from row to row of the projections
    projection_ring: u32,   // rows of the projections; a token's row is its position modulo this
    q_at: u32,              // first element of the query latent in a row
    n_q: u32,
    kv_at: u32,             // first element of the key-value latent in a row
    n_kv: u32,
    rope_pairs: u32,
    window_ring: u32,       // rows of the window
    eps: f32,
    max_tokens: u32,        // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> projections: array<f32>;  // [projection_ring, projection_stride]
@group(0) @binding(3) var<storage, read> q_norm: array<f32>;       // [n_q]
@group(0) @binding(4) var<storage, read> kv_norm: array<f32>;      // [n_kv]
@group(0) @binding(5) var<storage, read> rope: array<vec2<f32>>;   // see lib/rope.wgsl
@group(0) @binding(6) var<storage, read_write> qr: array<f32>;     // [max_tokens, n_q]
@group(0) @binding(7) var<storage, read_write> window: array<f32>; // [window_ring, n_kv]

@compute @workgroup_size(WORKGROUP)
fn latents(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let token = group / 2u;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let is_kv = group % 2u == 1u;
    let position = step.position + token;
    let n = select(params.n_q, params.n_kv, is_kv);
    let x_at = (position % params.projection_ring) * params.projection_stride + select(params.q_at, params.kv_at, is_kv);
    var squares = 0.0;
    for (var i = lane; i < n; i += LANES) {
        let x = projections[x_at + i];
        squares += x * x;
    }
    let factor = 1.0 / sqrt(reduce_sum(lane, squares) / f32(n) + params.eps);
    for (var pair = lane; pair < n / 2u; pair += LANES) {
        let i = 2u * pair;
        let v = factor * vec2<f32>(projections[x_at + i], projections[x_at + i + 1u]);
        if is_kv {
            let kv = turned(v * vec2<f32>(kv_norm[i], kv_norm[i + 1u]), position, pair);
            let at = (position % params.window_ring) * params.n_kv + i;
            window[at] = kv.x;
            window[at + 1u] = kv.y;
        } else {
            let at = token * params.n_q + i;
            qr[at] = v.x * q_norm[i];
            qr[at + 1u] = v.y * q_norm[i + 1u];
        }
    }
}

// A pair of the key-value latent, turned if it is among the last rope_pairs.
fn turned(v: vec2<f32>, position: u32, pair: u32) -> vec2<f32> {
    let first = params.n_kv / 2u - params.rope_pairs;
    if pair < first {
        return v;
    }
    return rotate_pair(v, rope_turn(position, pair - first));
}
