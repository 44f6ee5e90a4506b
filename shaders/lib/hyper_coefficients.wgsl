// The coefficients of a hyper-connection, of what the mixing matrix made of the streams. With m = rho · mix, base and scale from vector
// `at` of affine on:
//   pre  = σ(m[0..4] · scale[0] + base[0..4]) + eps
//   post = 2 σ(m[4..8] · scale[1] + base[4..8])
//   comb = sinkhorn(m[8..24] · scale[2] + base[8..24]): softmax of each row, + eps, columns divided by their sums + eps; then rows
//          and columns alike, n_iterations − 1 times. Columns come last.
// The kernel defines MIX_QUADS, and binds affine and coefficients as vectors of 4.

// The clamp keeps exp finite; beyond it the result is 0 to rounding.
fn sigmoid(v: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(-max(v, vec4<f32>(-80.0))));
}

fn total(v: vec4<f32>) -> f32 {
    return dot(v, vec4<f32>(1.0));
}

fn softmax(v: vec4<f32>) -> vec4<f32> {
    let e = exp(v - max(max(v.x, v.y), max(v.z, v.w)));
    return e / total(e);
}

fn hyper_pre(m: vec4<f32>, at: u32, eps: f32) -> vec4<f32> {
    return sigmoid(m * affine[at + 6u].x + affine[at]) + eps;
}

// Leaves a token's coefficients: pre, post, and the rows of comb. `sums` are not yet times rho.
fn keep_coefficients(token: u32, sums: array<vec4<f32>, MIX_QUADS>, rho: f32, at: u32, eps: f32, n_iterations: u32) {
    let scale = affine[at + 6u];
    var c0 = softmax(rho * sums[2] * scale.z + affine[at + 2u]) + eps;
    var c1 = softmax(rho * sums[3] * scale.z + affine[at + 3u]) + eps;
    var c2 = softmax(rho * sums[4] * scale.z + affine[at + 4u]) + eps;
    var c3 = softmax(rho * sums[5] * scale.z + affine[at + 5u]) + eps;
    for (var k = 0u; k < n_iterations; k += 1u) {
        if k > 0u {
            c0 /= total(c0) + eps;
            c1 /= total(c1) + eps;
            c2 /= total(c2) + eps;
            c3 /= total(c3) + eps;
        }
        let columns = c0 + c1 + c2 + c3 + eps;
        c0 /= columns;
        c1 /= columns;
        c2 /= columns;
        c3 /= columns;
    }
    let to = token * 6u;
    coefficients[to] = hyper_pre(rho * sums[0], at, eps);
    coefficients[to + 1u] = 2.0 * sigmoid(rho * sums[1] * scale.y + affine[at + 1u]);
    coefficients[to + 2u] = c0;
    coefficients[to + 3u] = c1;
    coefficients[to + 4u] = c2;
    coefficients[to + 5u] = c3;
}
