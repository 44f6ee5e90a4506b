// Input contract of products (see input_plain.wgsl): x is normed on the way in, v = norm ⊙ x / sqrt(mean(x²) + eps). The root belongs
// to the whole row, so it is taken out of the sums; every group works it out for itself, which costs less than to wait for it.
@group(0) @binding(6) var<storage, read> norm: array<vec4<f32>>;         // [n_in / 4]
@group(0) @binding(7) var<storage, read_write> normed: array<vec4<f32>>; // [n_tokens, n_in / 4]: v

var<private> input_squares: f32;

// Of a ring over positions where X_RING says how many rows it has.
fn input_row(token: u32) -> u32 {
    if X_RING > 0u {
        return (step.position + token) % max(X_RING, 1u);
    }
    return token;
}

fn input_quad(at: u32, i: u32) -> vec4<f32> {
    let v = x[at + i];
    // The last block may reach beyond the row.
    input_squares += select(0.0, dot(v, v), i < params.n_in / 4u);
    return v * norm[i];
}

fn input_factor(lane: u32) -> f32 {
    return 1.0 / sqrt(reduce_sum(lane, input_squares) / f32(params.n_in) + bitcast<f32>(EPS));
}

fn input_keep(at: u32, token: u32, first: u32, n_invocations: u32, factor: f32) {
    let n = params.n_in / 4u;
    for (var i = first; i < n; i += n_invocations) {
        normed[token * n + i] = factor * (x[at + i] * norm[i]);
    }
}
