//! `delta_conv`: the causal convolution of a gated delta net over the last few tokens, which keeps the rows that the next
//! step looks back on.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::{STEP, sigmoid};

crate::params! {
    /// Parameters of `delta_conv`; the WGSL says what each is.
    pub struct Params {
        /// Channels.
        pub n_channels: u32,
        /// Elements from token to token of the projections.
        pub stride: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "delta_conv",
    variants: &[Variant::only(
        "delta_conv",
        shader_text!("../../shaders/kernels/delta_conv.wgsl"),
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
    /// `[max_tokens, stride]`, the channels first in each row.
    pub projections: Slice,
    /// Elements from token to token of the projections.
    pub stride: u32,
    /// Weights `[n_channels, n_taps]`; the last one meets the newest token.
    pub taps: Slice,
    /// Tokens that the convolution spans, from 2 on.
    pub n_taps: u32,
    /// State `[n_taps - 1, n_channels]`: the rows of the last tokens, oldest first. Zeros at position 0, whatever it holds.
    pub tail: Slice,
    /// Output `[max_tokens, n_channels]`.
    pub y: Slice,
    /// Channels.
    pub n_channels: u32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the stage `conv`.
///
/// # Panics
/// When the convolution spans one token only: shapes are checked before they come here.
pub fn record_delta_conv(recording: &mut Recording, flow: &Flow) {
    assert!(flow.n_taps >= 2, "delta_conv: two tokens at least");
    let params = Params { n_channels: flow.n_channels, stride: flow.stride, max_tokens: flow.max_tokens };
    let (tokens, channels, taps) = (u64::from(flow.max_tokens), u64::from(flow.n_channels), u64::from(flow.n_taps));
    let cost = Cost { bytes: 4 * channels * (2 * tokens + 3 * taps), ops: channels * tokens * (2 * taps + 4) };
    let facts = Spec::default().constant("TAPS", flow.n_taps);
    let bindings = [flow.step, flow.projections, flow.taps, flow.tail, flow.y];
    recording.push("conv", &OP, facts, channels, &params, &bindings, cost);
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
    for channel in 0..n {
        let kept = |j: usize| if step.position == 0 { 0.0 } else { tail[j * n + channel] };
        let mut rows: Vec<f32> = (0..n_taps - 1).map(kept).collect();
        rows.extend((0..n_tokens).map(|token| projections[token * p.stride as usize + channel]));
        for (token, rows) in rows.windows(n_taps).enumerate() {
            let v = super::dot(&taps[channel * n_taps..][..n_taps], rows);
            y[token * n + channel] = v * sigmoid(v);
        }
        for (j, row) in rows[n_tokens..].iter().enumerate() {
            tail[j * n + channel] = *row;
        }
    }
}

fn cases() -> Vec<Case> {
    vec![case(20, 4, 5, 4, 3), case(7, 4, 1, 1, 12), case(33, 2, 3, 3, 0), case(16, 5, 4, 2, 0)]
}

fn case(n_channels: u32, n_taps: u32, max_tokens: u32, n_tokens: u32, position: u32) -> Case {
    let name = format!("{n_channels} channels, {n_taps} taps, {n_tokens} of {max_tokens} at {position}");
    let mut case = CaseBuilder::new(name);
    let stride = n_channels + 3;
    let flow = Flow {
        step: case.step(position, n_tokens),
        projections: case.random_input("projections", (max_tokens * stride) as usize),
        stride,
        taps: case.random_input("taps", (n_channels * n_taps) as usize),
        n_taps,
        tail: case.random_input("tail", (n_channels * (n_taps - 1)) as usize),
        y: case.output("y", (max_tokens * n_channels) as usize, 1e-5),
        n_channels,
        max_tokens,
    };
    case.also_compare(flow.tail, 0.0);
    record_delta_conv(&mut case.recording, &flow);
    case.finish()
}
