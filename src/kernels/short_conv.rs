//! `short_conv`: the gated causal convolution of LFM2 over the last few tokens, which keeps what the next step looks back on.
//! Source: transformers' `modeling_lfm2`.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::STEP;
use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `short_conv`; the WGSL says what each is.
    pub struct Params {
        /// Channels.
        pub n_channels: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// Tokens of a channel that an invocation takes, as the WGSL has it.
const RUN: u32 = 16;

/// The kernel.
pub static OP: Op = Op {
    name: "short_conv",
    variants: &[Variant::only(
        "short_conv",
        shader_text!("../../shaders/kernels/short_conv.wgsl"),
        &[STEP],
        lower::THREADS,
    )],
    bindings: &[
        ("step", Access::Read),
        ("projections", Access::Read),
        ("taps", Access::Read),
        ("tail", Access::Write),
        ("y", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What the convolution reads and writes; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// `[max_tokens, 3 * n_channels]`: what gates the input, what gates the output, the input.
    pub projections: Slice,
    /// Weights `[n_channels, n_taps]`; the last one meets the newest token.
    pub taps: Slice,
    /// Tokens that the convolution spans, from 2 to 17.
    pub n_taps: u32,
    /// State `[n_taps - 1, n_channels]`: the gated inputs of the last tokens, oldest first. Zeros at position 0, whatever it
    /// holds.
    pub tail: Slice,
    /// Output `[max_tokens, n_channels]`.
    pub y: Slice,
    /// Channels.
    pub n_channels: u32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `short_conv`.
///
/// # Panics
/// When the convolution spans one token only, or more than a run and one: shapes are checked before they come here.
pub fn record_short_conv(recording: &mut Recording, flow: &Flow) {
    assert!((2..=RUN + 1).contains(&flow.n_taps), "short_conv: from 2 to {} tokens", RUN + 1);
    let params = Params { n_channels: flow.n_channels, max_tokens: flow.max_tokens };
    let (tokens, channels, taps) = (u64::from(flow.max_tokens), u64::from(flow.n_channels), u64::from(flow.n_taps));
    let cost = Cost { bytes: 4 * channels * (4 * tokens + 3 * taps), ops: channels * tokens * (2 * taps + 2) };
    let facts = Spec::default().constant("TAPS", flow.n_taps);
    let bindings = [flow.step, flow.projections, flow.taps, flow.tail, flow.y];
    let n_invocations = channels * u64::from(flow.max_tokens.div_ceil(RUN));
    recording.push("short_conv", &OP, facts, n_invocations, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let n_taps = call.constant("TAPS") as usize;
    let step = call.input::<Step>(0)[0];
    let (projections, taps): (&[f32], &[f32]) = (call.input(1), call.input(2));
    let [tail, y] = call.outputs::<f32, 2>();
    let (n, n_tokens) = (p.n_channels as usize, step.n_tokens.min(p.max_tokens) as usize);
    if n_tokens == 0 {
        return;
    }
    let part = |which: usize, token: usize, channel: usize| projections[(3 * token + which) * n + channel];
    for channel in 0..n {
        let kept = |j: usize| if step.position == 0 { 0.0 } else { tail[j * n + channel] };
        let mut gated: Vec<f32> = (0..n_taps - 1).map(kept).collect();
        gated.extend((0..n_tokens).map(|token| part(0, token, channel) * part(2, token, channel)));
        for (token, seen) in gated.windows(n_taps).enumerate() {
            y[token * n + channel] = part(1, token, channel) * super::dot(&taps[channel * n_taps..][..n_taps], seen);
        }
        for (j, value) in gated[n_tokens..].iter().enumerate() {
            tail[j * n + channel] = *value;
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        case(20, 3, 5, 4, 3),
        case(7, 3, 1, 1, 12),
        case(33, 2, 3, 3, 0),
        case(16, 5, 4, 2, 0),
        case(9, 4, 40, 2, 7),
        case(12, 3, 40, 37, 90),
        case(5, 17, 33, 33, 4),
    ]
}

fn case(n_channels: u32, n_taps: u32, max_tokens: u32, n_tokens: u32, position: u32) -> Case {
    let name = format!("{n_channels} channels, {n_taps} taps, {n_tokens} of {max_tokens} at {position}");
    let mut case = CaseBuilder::new(name);
    let flow = Flow {
        step: case.step(position, n_tokens),
        projections: case.random_input("projections", (3 * max_tokens * n_channels) as usize),
        taps: case.random_input("taps", (n_channels * n_taps) as usize),
        n_taps,
        tail: case.random_input("tail", (n_channels * (n_taps - 1)) as usize),
        y: case.output("y", (max_tokens * n_channels) as usize, 1e-5),
        n_channels,
        max_tokens,
    };
    case.also_compare(flow.tail, 1e-6);
    record_short_conv(&mut case.recording, &flow);
    case.finish()
}
