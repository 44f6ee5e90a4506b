// What `delta_rule_chunked` takes of CHUNK tokens and a value head, whatever the state. With queries q, keys k, and gates (kept,
// written) of tokens i and j of a chunk:
//   D[i, j] = kept[j + 1] · … · kept[i] for j ≤ i, else 0;   A[i, j] = written[i] · (k[i] · k[j]) · D[i, j] for j < i, else 0
//   solve = (I + A)⁻¹ diag(written), by forward substitution;   scores[i, j] = (q[i] · k[j]) · D[i, j]
//   begin[i] = kept[0] · … · kept[i];   end[i] = D[CHUNK − 1, i]
// D is made of products of gates: quotients of longer products would be 0 / 0 where much is forgotten. Tokens behind the
// step's last one are that one again, but keep everything and write nothing. A workgroup takes a chunk of a head. All in f32.
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
@group(0) @binding(2) var<storage, read> y: array<vec4<f32>>;        // [n_tokens, y_stride / 4]
@group(0) @binding(3) var<storage, read> gates: array<vec2<f32>>;    // [n_tokens, n_value_heads]
@group(0) @binding(4) var<storage, read_write> chunks: array<f32>;   // [n_chunks, n_value_heads, LEN], see above

const QUADS = KEY_DIM / 4u;
const TILES = CHUNK / 4u;
const SCORES_AT = CHUNK * CHUNK;
const BEGIN_AT = 2u * CHUNK * CHUNK;
const END_AT = BEGIN_AT + CHUNK;
const LEN = END_AT + CHUNK;

// A below the diagonal; above it D, as D[i, j] in row j.
var<workgroup> pairs: array<f32, CHUNK * CHUNK>;

// Each row begins one word further, so that neighbouring rows of a column lie in different banks.
fn place(row: u32, column: u32) -> u32 {
    return row * CHUNK + (row + column) % CHUNK;
}

fn gate_of(token: u32, n_tokens: u32, head: u32) -> vec2<f32> {
    let gate = gates[min(token, n_tokens - 1u) * params.n_value_heads + head];
    return select(vec2<f32>(1.0, 0.0), gate, token < n_tokens);
}

@compute @workgroup_size(WORKGROUP)
fn delta_chunks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = workgroup.y * n_workgroups.x + workgroup.x;
    let head = index % params.n_value_heads;
    let first = index / params.n_value_heads * CHUNK;
    let n_tokens = min(step.n_tokens, params.max_tokens);
    if first >= n_tokens {
        return;
    }
    let sharing = params.n_value_heads / params.n_key_heads;
    let key_head = select(head / sharing, head % params.n_key_heads, params.is_tiled == 1u);
    let to = index * LEN;

    for (var j = local; j < CHUNK; j += WORKGROUP) {
        let begin = gate_of(first, n_tokens, head).x;
        var decay = 1.0;
        for (var i = j; i < CHUNK; i += 1u) {
            if i > j {
                decay *= gate_of(first + i, n_tokens, head).x;
                pairs[place(j, i)] = decay;
            }
            if j == 0u {
                chunks[to + BEGIN_AT + i] = begin * decay;
            }
        }
        chunks[to + END_AT + j] = decay;
    }
    workgroupBarrier();

    // Products of 4 tokens by 4: an element of a sum is j.
    let quads = params.y_stride / 4u;
    let last = n_tokens - 1u;
    for (var tile = local; tile < TILES * TILES; tile += WORKGROUP) {
        let i = tile / TILES * 4u;
        let j = tile % TILES * 4u;
        if j > i {
            for (var row = 0u; row < 4u; row += 1u) {
                for (var column = 0u; column < 4u; column += 1u) {
                    chunks[to + SCORES_AT + (i + row) * CHUNK + j + column] = 0.0;
                }
            }
            continue;
        }
        let four = vec4<u32>(0u, 1u, 2u, 3u);
        let q_at = min(first + i + four, vec4<u32>(last)) * quads + key_head * QUADS;
        let i_at = q_at + params.n_key_heads * QUADS;
        let j_at = min(first + j + four, vec4<u32>(last)) * quads + (params.n_key_heads + key_head) * QUADS;
        var keys = mat4x4<f32>();
        var queries = mat4x4<f32>();
        for (var at = 0u; at < QUADS; at += 1u) {
            let k = mat4x4<f32>(y[j_at.x + at], y[j_at.y + at], y[j_at.z + at], y[j_at.w + at]);
            keys += mat4x4<f32>(y[i_at.x + at] * k, y[i_at.y + at] * k, y[i_at.z + at] * k, y[i_at.w + at] * k);
            queries += mat4x4<f32>(y[q_at.x + at] * k, y[q_at.y + at] * k, y[q_at.z + at] * k, y[q_at.w + at] * k);
        }
        for (var row = 0u; row < 4u; row += 1u) {
            let written = gate_of(first + i + row, n_tokens, head).y;
            for (var column = 0u; column < 4u; column += 1u) {
                var decay = select(0.0, 1.0, i + row == j + column);
                if i + row > j + column {
                    decay = pairs[place(j + column, i + row)];
                    pairs[place(i + row, j + column)] = written * decay * keys[row][column];
                }
                chunks[to + SCORES_AT + (i + row) * CHUNK + j + column] = decay * queries[row][column];
            }
        }
    }
    workgroupBarrier();

    // An invocation takes a column: its element i is what A makes of those before it, taken away.
    for (var j = local; j < CHUNK; j += WORKGROUP) {
        var column: array<f32, CHUNK>;
        for (var i = 0u; i < CHUNK; i += 1u) {
            var v = 0.0;
            for (var m = 0u; m < i; m += 1u) {
                v -= pairs[place(i, m)] * column[m];
            }
            column[i] = select(v, gate_of(first + i, n_tokens, head).y, i == j);
            chunks[to + i * CHUNK + j] = column[i];
        }
    }
}
