// The gated causal convolution of LFM2 over the last TAPS tokens, channel by channel; a row of the projections is [b | c | x]:
//   s[t] = b[t] · x[t],   y[t] = c[t] · Σ_j taps[j] · s[t − TAPS + 1 + j]
// s before the step is `tail`, its last TAPS − 1 values; before the text, where the step begins at position 0, it is 0. The
// tail is left as the values behind the step. An invocation takes RUN tokens of a channel, at least as many as the tail has:
// so the first run alone reads the tail, and alone writes it. All in f32.
struct Params {
    n_channels: u32,
    max_tokens: u32, // tokens to compute at most
}

const RUN: u32 = 16u;

@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> projections: array<f32>; // [n_tokens, 3 · n_channels]
@group(0) @binding(3) var<storage, read> taps: array<f32>;        // [n_channels, TAPS]
@group(0) @binding(4) var<storage, read_write> tail: array<f32>;  // [TAPS − 1, n_channels]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;     // [n_tokens, n_channels]

// s of a token of the step.
fn gated(token: u32, channel: u32) -> f32 {
    let at = token * 3u * params.n_channels + channel;
    return projections[at] * projections[at + 2u * params.n_channels];
}

@compute @workgroup_size(WORKGROUP)
fn short_conv(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) n_workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let invocation = (workgroup.y * n_workgroups.x + workgroup.x) * WORKGROUP + local;
    let n = params.n_channels;
    let n_tokens = min(step.n_tokens, params.max_tokens);
    let channel = invocation % n;
    let first = (invocation / n) * RUN;
    if first >= n_tokens {
        return;
    }
    // s of the tokens that the newest one meets, oldest first; the last is the newest's own.
    var s: array<f32, TAPS>;
    for (var j = 0u; j + 1u < TAPS; j += 1u) {
        if first > 0u {
            s[j + 1u] = gated(first + j + 1u - TAPS, channel);
        } else {
            s[j + 1u] = select(tail[j * n + channel], 0.0, step.position == 0u);
        }
    }
    if first == 0u {
        // The tail behind the step: what is older than its tokens comes from the tail before it.
        for (var j = 0u; j + 1u < TAPS; j += 1u) {
            let place = j + n_tokens;
            if place + 1u < TAPS {
                tail[j * n + channel] = s[place + 1u];
            } else {
                tail[j * n + channel] = gated(place + 1u - TAPS, channel);
            }
        }
    }
    for (var token = first; token < min(first + RUN, n_tokens); token += 1u) {
        for (var j = 0u; j + 1u < TAPS; j += 1u) {
            s[j] = s[j + 1u];
        }
        s[TAPS - 1u] = gated(token, channel);
        var v = 0.0;
        for (var j = 0u; j < TAPS; j += 1u) {
            v += taps[channel * TAPS + j] * s[j];
        }
        y[token * n + channel] = projections[token * 3u * n + n + channel] * v;
    }
}
