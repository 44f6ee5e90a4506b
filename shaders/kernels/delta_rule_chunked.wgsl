// The same as `delta_rule` for many tokens on a GPU, chunk by chunk of CHUNK tokens (Yang et al. 2024, section 3.3). With what
// `delta_chunks` made of a chunk, and its rows Q, K, V:
//   U = solve (V − diag(begin) K S);   out = diag(begin) Q S + scores U;   S ← begin[CHUNK − 1] · S + Kᵀ diag(end) U
// So tokens of a chunk are rows of matrix products, and only chunks wait for each other. Columns of S need nothing of each
// other: a workgroup takes COLUMNS of a head, and keeps them in workgroup memory. An invocation takes 4 tokens, a quarter of a
// chunk apart, by 4 columns. All in f32.
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
@group(0) @binding(2) var<storage, read> y: array<vec4<f32>>;           // [n_tokens, y_stride / 4]
@group(0) @binding(3) var<storage, read> gates: array<vec4<f32>>;       // [n_chunks, n_value_heads, LEN / 4], of delta_chunks
@group(0) @binding(4) var<storage, read_write> state: array<vec4<f32>>; // [n_value_heads, value_dim, QUADS]
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;   // [n_tokens, n_value_heads, value_dim / 4]

const QUADS = KEY_DIM / 4u;
const WIDTH = COLUMNS / 4u;
const PART = CHUNK / 4u;
const SCORES_AT = CHUNK * CHUNK / 4u;
const BEGIN_AT = CHUNK * CHUNK / 2u;
const END_AT = BEGIN_AT + PART;
const LEN = END_AT + PART;

// In all 16 KiB at most. A vector is of 4 columns, but for `turned`, where it is of 4 elements of a query or a key.
var<workgroup> tile: array<vec4<f32>, KEY_DIM * WIDTH>;          // S, [KEY_DIM][WIDTH]
var<workgroup> rows: array<vec4<f32>, CHUNK * WIDTH>;            // V − …, then U, [CHUNK][WIDTH]
var<workgroup> turned: array<vec4<f32>, 2u * SLICE * CHUNK>;     // of Q, then of K, [SLICE][CHUNK]

// Σ_j of `weights` [CHUNK, CHUNK] by `rows`, for 4 tokens. What is above the diagonal is 0: the nth quarter of the rows is
// nothing to the tokens of quarters before.
fn weighted(at: u32, tokens: vec4<u32>, quad: u32) -> mat4x4<f32> {
    var a = vec4<f32>();
    var b = vec4<f32>();
    var c = vec4<f32>();
    var d = vec4<f32>();
    let weights_at = at + tokens * PART;
    for (var four = 0u; four < PART; four += 1u) {
        let row = 4u * four * WIDTH + quad;
        let r = mat4x4<f32>(rows[row], rows[row + WIDTH], rows[row + 2u * WIDTH], rows[row + 3u * WIDTH]);
        let quarter = 4u * four / PART;
        if quarter == 0u {
            a += r * gates[weights_at.x + four];
        }
        if quarter <= 1u {
            b += r * gates[weights_at.y + four];
        }
        if quarter <= 2u {
            c += r * gates[weights_at.z + four];
        }
        d += r * gates[weights_at.w + four];
    }
    return mat4x4<f32>(a, b, c, d);
}

@compute @workgroup_size(WORKGROUP)
fn delta_rule_chunked(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = workgroup.y * n_workgroups.x + workgroup.x;
    let n_tiles = (params.value_dim + COLUMNS - 1u) / COLUMNS;
    let head = index / n_tiles;
    let n_tokens = min(step.n_tokens, params.max_tokens);
    if head >= params.n_value_heads || n_tokens == 0u {
        return;
    }
    let sharing = params.n_value_heads / params.n_key_heads;
    let key_head = select(head / sharing, head % params.n_key_heads, params.is_tiled == 1u);
    let stride = params.y_stride / 4u;
    let q_at = key_head * QUADS;
    let k_at = q_at + params.n_key_heads * QUADS;
    let last = n_tokens - 1u;

    let quad = local % WIDTH;
    // Its vector of columns among those of the head, and of all heads; behind the head's last one there is nothing.
    let column = index % n_tiles * WIDTH + quad;
    let is_there = column * 4u < params.value_dim;
    let column_at = head * (params.value_dim / 4u) + column;
    let v_at = 2u * params.n_key_heads * QUADS + column_at;
    let out_stride = params.n_value_heads * params.value_dim / 4u;
    let state_at = column_at * 4u * QUADS;

    for (var at = local / WIDTH; at < QUADS; at += WORKGROUP / WIDTH) {
        var s = mat4x4<f32>();
        if is_there && step.position > 0u {
            let from_state = state_at + at;
            s = transpose(mat4x4<f32>(state[from_state], state[from_state + QUADS], state[from_state + 2u * QUADS], state[from_state + 3u * QUADS]));
        }
        for (var i = 0u; i < 4u; i += 1u) {
            tile[(4u * at + i) * WIDTH + quad] = s[i];
        }
    }

    for (var first = 0u; first < n_tokens; first += CHUNK) {
        let chunk_at = (first / CHUNK * params.n_value_heads + head) * LEN;
        // Of the chunk, and of the step.
        let tokens = local / WIDTH + vec4<u32>(0u, 1u, 2u, 3u) * PART;
        let there = min(first + tokens, vec4<u32>(last));

        var known = mat4x4<f32>();
        var read = mat4x4<f32>();
        for (var from_quad = 0u; from_quad < QUADS; from_quad += SLICE) {
            workgroupBarrier(); // Readers of the slice before are done, and the state is written.
            for (var i = local; i < SLICE * CHUNK; i += WORKGROUP) {
                let token = i / SLICE;
                let to = i % SLICE * CHUNK + token;
                let from_y = min(first + token, last) * stride + min(from_quad + i % SLICE, QUADS - 1u);
                turned[to] = y[from_y + q_at];
                turned[SLICE * CHUNK + to] = y[from_y + k_at];
            }
            workgroupBarrier();
            for (var i = 0u; i < min(SLICE, QUADS - from_quad); i += 1u) {
                let row = (from_quad + i) * 4u * WIDTH + quad;
                let s = mat4x4<f32>(tile[row], tile[row + WIDTH], tile[row + 2u * WIDTH], tile[row + 3u * WIDTH]);
                let at = i * CHUNK + tokens;
                let k = at + SLICE * CHUNK;
                read += s * mat4x4<f32>(turned[at.x], turned[at.y], turned[at.z], turned[at.w]);
                known += s * mat4x4<f32>(turned[k.x], turned[k.y], turned[k.z], turned[k.w]);
            }
        }

        for (var i = 0u; i < 4u; i += 1u) {
            let begin = gates[chunk_at + BEGIN_AT + tokens[i] / 4u][tokens[i] % 4u];
            var v = vec4<f32>();
            if is_there {
                v = y[there[i] * stride + v_at];
            }
            rows[tokens[i] * WIDTH + quad] = v - begin * known[i];
            read[i] *= begin;
        }
        workgroupBarrier();
        let u = weighted(chunk_at, tokens, quad);
        workgroupBarrier();
        for (var i = 0u; i < 4u; i += 1u) {
            rows[tokens[i] * WIDTH + quad] = u[i];
        }
        workgroupBarrier();
        read += weighted(chunk_at + SCORES_AT, tokens, quad);
        for (var i = 0u; i < 4u; i += 1u) {
            if is_there && first + tokens[i] < n_tokens {
                out[(first + tokens[i]) * out_stride + column_at] = read[i];
            }
        }
        workgroupBarrier();
        for (var i = 0u; i < 4u; i += 1u) {
            rows[tokens[i] * WIDTH + quad] = gates[chunk_at + END_AT + tokens[i] / 4u][tokens[i] % 4u] * u[i];
        }
        workgroupBarrier();

        let kept = gates[chunk_at + END_AT - 1u].w;
        let n_here = min(n_tokens - first, CHUNK);
        for (var at = local / WIDTH; at < QUADS; at += WORKGROUP / WIDTH) {
            let row = 4u * at * WIDTH + quad;
            var s0 = kept * tile[row];
            var s1 = kept * tile[row + WIDTH];
            var s2 = kept * tile[row + 2u * WIDTH];
            var s3 = kept * tile[row + 3u * WIDTH];
            for (var token = 0u; token < n_here; token += 1u) {
                let k = y[(first + token) * stride + k_at + at];
                let written = rows[token * WIDTH + quad];
                s0 += k.x * written;
                s1 += k.y * written;
                s2 += k.z * written;
                s3 += k.w * written;
            }
            tile[row] = s0;
            tile[row + WIDTH] = s1;
            tile[row + 2u * WIDTH] = s2;
            tile[row + 3u * WIDTH] = s3;
        }
    }

    // An invocation leaves what it wrote itself.
    for (var at = local / WIDTH; is_there && at < QUADS; at += WORKGROUP / WIDTH) {
        let row = 4u * at * WIDTH + quad;
        let s = transpose(mat4x4<f32>(tile[row], tile[row + WIDTH], tile[row + 2u * WIDTH], tile[row + 3u * WIDTH]));
        for (var i = 0u; i < 4u; i += 1u) {
            state[state_at + at + i * QUADS] = s[i];
        }
    }
}
