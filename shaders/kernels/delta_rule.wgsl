// The gated delta rule (Yang et al. 2024, "Gated Delta Networks", eq. 10), token after token. For a value head with its
// query q and key k, its value v, gates (kept, written), and its state S [key_dim, value_dim]:
//   S ← kept · S;  u = written · (v − Sᵀ k);  S ← S + k uᵀ;  out = Sᵀ q
// Columns of S need nothing of each other: a group of lanes takes one column through all tokens and holds it in registers,
// so that state memory is read and written once a step. At position 0 the state is 0, whatever is there. All in f32.
struct Params {
    n_key_heads: u32,   // heads of queries and of keys
    n_value_heads: u32,
    value_dim: u32,     // columns of a head's state
    is_tiled: u32,      // 1 where value head h reads key head h mod n_key_heads, else consecutive ones share one
    y_stride: u32,      // elements from token to token in y: q | k | v
    max_tokens: u32,    // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> y: array<f32>;            // [n_tokens, y_stride]
@group(0) @binding(3) var<storage, read> gates: array<vec2<f32>>;  // [n_tokens, n_value_heads]
@group(0) @binding(4) var<storage, read_write> state: array<f32>;  // [n_value_heads, value_dim, KEY_DIM]: column by column
@group(0) @binding(5) var<storage, read_write> out: array<f32>;    // [n_tokens, n_value_heads, value_dim]

const N_HELD = (KEY_DIM + LANES - 1u) / LANES;

@compute @workgroup_size(WORKGROUP)
fn delta_rule(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = group_index(workgroup, n_workgroups, local);
    let lane = group_lane(local);
    let n_columns = params.n_value_heads * params.value_dim;
    let n_tokens = min(step.n_tokens, params.max_tokens);
    if group >= n_columns || n_tokens == 0u {
        return;
    }
    let head = group / params.value_dim;
    let sharing = params.n_value_heads / params.n_key_heads;
    let key_head = select(head / sharing, head % params.n_key_heads, params.is_tiled == 1u);
    let n_keys = params.n_key_heads * KEY_DIM;
    // Element i of the column is held by lane i mod LANES.
    var column: array<f32, N_HELD>;
    for (var held = 0u; held < N_HELD; held += 1u) {
        let i = held * LANES + lane;
        if i < KEY_DIM && step.position > 0u {
            column[held] = state[group * KEY_DIM + i];
        }
    }
    for (var token = 0u; token < n_tokens; token += 1u) {
        let q_at = token * params.y_stride + key_head * KEY_DIM;
        let k_at = q_at + n_keys;
        let gate = gates[token * params.n_value_heads + head];
        var known = 0.0;
        for (var held = 0u; held < N_HELD; held += 1u) {
            let i = held * LANES + lane;
            if i < KEY_DIM {
                column[held] *= gate.x;
                known += column[held] * y[k_at + i];
            }
        }
        let v = y[token * params.y_stride + 2u * n_keys + group];
        let u = gate.y * (v - reduce_sum(lane, known));
        var read = 0.0;
        for (var held = 0u; held < N_HELD; held += 1u) {
            let i = held * LANES + lane;
            if i < KEY_DIM {
                column[held] += y[k_at + i] * u;
                read += column[held] * y[q_at + i];
            }
        }
        let sum = reduce_sum(lane, read);
        if lane == 0u {
            out[token * n_columns + group] = sum;
        }
    }
    for (var held = 0u; held < N_HELD; held += 1u) {
        let i = held * LANES + lane;
        if i < KEY_DIM {
            state[group * KEY_DIM + i] = column[held];
        }
    }
}
