// The causal convolution of a gated delta net over the last TAPS tokens, channel by channel:
//   y[t, c] = silu(Σ_j taps[c, j] · r[t − TAPS + 1 + j, c]), silu(v) = v / (1 + exp(−v))
// r before the step is `tail`, its last TAPS − 1 rows; before the text, where the step begins at position 0, it is 0. The tail
// is left as the rows behind the step. An invocation takes one channel through all tokens, so that nothing else touches its
// part of the tail. All in f32.
struct Params {
    n_channels: u32,
    stride: u32,     // elements from token to token of the projections, whose first ones are r
    max_tokens: u32, // tokens to compute at most
}

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> projections: array<f32>; // [n_tokens, stride]
@group(0) @binding(3) var<storage, read> taps: array<f32>;        // [n_channels, TAPS]
@group(0) @binding(4) var<storage, read_write> tail: array<f32>;  // [TAPS − 1, n_channels]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;     // [n_tokens, n_channels]

@compute @workgroup_size(WORKGROUP)
fn delta_conv(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let channel = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n = params.n_channels;
    let n_tokens = min(step.n_tokens, params.max_tokens);
    if channel >= n || n_tokens == 0u {
        return;
    }
    // The rows of the tokens that the newest one meets, oldest first; the last is the newest's own.
    var rows: array<f32, TAPS>;
    for (var j = 0u; j + 1u < TAPS; j += 1u) {
        rows[j + 1u] = select(tail[j * n + channel], 0.0, step.position == 0u);
    }
    for (var token = 0u; token < n_tokens; token += 1u) {
        for (var j = 0u; j + 1u < TAPS; j += 1u) {
            rows[j] = rows[j + 1u];
        }
        rows[TAPS - 1u] = projections[token * params.stride + channel];
        var v = 0.0;
        for (var j = 0u; j < TAPS; j += 1u) {
            v += taps[channel * TAPS + j] * rows[j];
        }
        // The clamp keeps exp finite; beyond it the result is 0 to rounding.
        y[token * n + channel] = v / (1.0 + exp(-max(v, -80.0)));
    }
    for (var j = 0u; j + 1u < TAPS; j += 1u) {
        tail[j * n + channel] = rows[j + 1u];
    }
}
