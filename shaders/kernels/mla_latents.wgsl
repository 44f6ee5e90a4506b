// The latents of multi-head latent attention, from a token's projections:
// job 0: entry = c / sqrt(mean(c²) + eps) · kv_norm | k turned to the token's position, with c the n_kv latents and k the
//        2·rope_pairs elements after them; stored to the cache at the position
// job 1: qr = q / sqrt(mean(q²) + eps) · q_norm, where queries come from a latent
// A pair that turns is two neighbours. A group of lanes takes one job of one token; lanes take pairs. All in f32 until the cache.
struct Params {
    stride: u32,     // elements from token to token of the projections
    q_at: u32,       // first element of the query latent
    n_q: u32,        // its width; 0 where there is none
    kv_at: u32,      // first element of the key-value latent
    n_kv: u32,       // its width
    rope_pairs: u32, // pairs that turn, after it
    rope_scale: f32, // factor of what turned
    eps: f32,
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> projections: array<f32>; // [max_tokens, stride]
@group(0) @binding(3) var<storage, read> q_norm: array<f32>;      // [n_q]
@group(0) @binding(4) var<storage, read> kv_norm: array<f32>;     // [n_kv]
@group(0) @binding(5) var<storage, read> rope: array<vec2<f32>>;  // see lib/rope.wgsl
@group(0) @binding(6) var<storage, read_write> qr: array<f32>;    // [max_tokens, n_q]
@group(0) @binding(7) var<storage, read_write> keys: array<KeyPair>; // [n_positions, n_kv / 2 + rope_pairs]

@compute @workgroup_size(WORKGROUP)
fn mla_latents(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n_jobs = select(1u, 2u, params.n_q > 0u);
    let token = group / n_jobs;
    if token >= min(step.n_tokens, params.max_tokens) {
        return;
    }
    let is_q = group % n_jobs == 1u;
    let position = step.position + token;
    let n = select(params.n_kv, params.n_q, is_q);
    let x_at = token * params.stride + select(params.kv_at, params.q_at, is_q);
    var squares = 0.0;
    for (var i = lane; i < n; i += LANES) {
        let x = projections[x_at + i];
        squares += x * x;
    }
    let factor = 1.0 / sqrt(reduce_sum(lane, squares) / f32(n) + params.eps);
    let n_pairs = n / 2u;
    let key_at = position * (params.n_kv / 2u + params.rope_pairs);
    for (var pair = lane; pair < n_pairs; pair += LANES) {
        let i = 2u * pair;
        let v = factor * vec2<f32>(projections[x_at + i], projections[x_at + i + 1u]);
        if is_q {
            let at = token * params.n_q + i;
            qr[at] = v.x * q_norm[i];
            qr[at + 1u] = v.y * q_norm[i + 1u];
        } else {
            keys[key_at + pair] = pack_key(v * vec2<f32>(kv_norm[i], kv_norm[i + 1u]));
        }
    }
    if is_q {
        return;
    }
    for (var pair = lane; pair < params.rope_pairs; pair += LANES) {
        let i = x_at + n + 2u * pair;
        let turn = params.rope_scale * rope_turn(position, pair);
        keys[key_at + n_pairs + pair] = pack_key(rotate_pair(vec2<f32>(projections[i], projections[i + 1u]), turn));
    }
}
