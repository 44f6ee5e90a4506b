//! `norm_rows`: rows normed by their root mean square, such as a sub-layer's input out of the residual stream.

use crate::gpu::lower;
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;
use super::{FINISH_PLAIN, STEP, mean_square};

crate::params! {
    /// Parameters of `norm_rows`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in a row.
        pub n_quads: u32,
        /// Vectors of 4 from row to row of the values.
        pub stride: u32,
        /// Rows of the values when they are a ring over positions; 0 when row t is token t.
        pub ring: u32,
        /// 1 to do only the last token.
        pub last_only: u32,
        /// Added to the mean square.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

pub(super) const SOURCE: &str = shader_text!("../../shaders/kernels/norm_rows.wgsl");

/// The kernel.
pub static OP: Op = Op {
    name: "norm_rows",
    variants: &[Variant::only("norm_rows", SOURCE, &[STEP, FINISH_PLAIN], lower::VECTOR)],
    bindings: &[("step", Access::Read), ("values", Access::Read), ("norm", Access::Read), ("x", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// What `norm_rows` reads and writes; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Input `[max_tokens, width]`, or the first `width` of each row of `ring`.
    pub values: Slice,
    /// Where the values are a ring over positions: its rows, and elements from row to row, a multiple of 4.
    pub ring: Option<[u32; 2]>,
    /// Weights of the norm: `[width]`.
    pub norm: Slice,
    /// Output `[max_tokens, width]`, or `[1, width]` with `last_only`.
    pub x: Slice,
    /// Width of a row, a multiple of 4.
    pub width: u32,
    /// Do only the step's last token, and write it to row 0.
    pub last_only: bool,
    /// Added to the mean square.
    pub eps: f32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends the stage, under the name of the norm: `attn_norm`, `ffn_norm`, `norm`.
///
/// # Panics
/// When the width is no multiple of 4: shapes are checked before they come here.
pub fn record_norm_rows(recording: &mut Recording, name: &'static str, flow: &Flow) {
    let [ring, stride] = flow.ring.unwrap_or([0, flow.width]);
    assert!(flow.width.is_multiple_of(4) && stride.is_multiple_of(4), "{name}: rows are multiples of 4");
    let params = Params {
        n_quads: flow.width / 4,
        stride: stride / 4,
        ring,
        last_only: u32::from(flow.last_only),
        eps: flow.eps,
        max_tokens: flow.max_tokens,
    };
    let n_groups = if flow.last_only { 1 } else { u64::from(flow.max_tokens) };
    let width = u64::from(flow.width);
    let cost = Cost { bytes: 4 * width * (2 * n_groups + 1), ops: 4 * n_groups * width };
    recording.push(name, &OP, Spec::default(), n_groups, &params, &[flow.step, flow.values, flow.norm, flow.x], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (values, norm) = (call.input::<f32>(1), call.input::<f32>(2));
    let n_tokens = step.n_tokens.min(p.max_tokens);
    let first = if p.last_only == 1 { n_tokens.saturating_sub(1) } else { 0 };
    let tokens = call.tokens(n_tokens);
    let [x] = call.outputs::<f32, 1>();
    let width = p.n_quads as usize * 4;
    for token in tokens.into_iter().filter(|token| *token >= first) {
        let row = if p.ring > 0 { (step.position + token) % p.ring } else { token };
        let row = &values[row as usize * p.stride as usize * 4..][..width];
        let factor = 1.0 / (mean_square(row) + p.eps).sqrt();
        let x = &mut x[(token - first) as usize * width..][..width];
        x.iter_mut().zip(row.iter().zip(norm)).for_each(|(x, (v, norm))| *x = factor * norm * *v);
    }
}

fn cases() -> Vec<Case> {
    let plain = [case(36, true, None, 5, 4), case(256, false, None, 3, 2), case(4, true, None, 1, 1)];
    let rings = [case(36, false, None, 5, 4), case(36, false, Some([6, 44]), 5, 4), case(8, true, Some([3, 8]), 2, 2)];
    plain.into_iter().chain(rings).collect()
}

fn case(width: u32, last_only: bool, ring: Option<[u32; 2]>, max_tokens: u32, n_tokens: u32) -> Case {
    let mut case =
        CaseBuilder::new(format!("width {width}, last only {last_only}, ring {ring:?}, {n_tokens} of {max_tokens}"));
    let n_values = ring.map_or(max_tokens * width, |[rows, stride]| rows * stride);
    let flow = Flow {
        step: case.step(9, n_tokens),
        values: case.random_input("values", n_values as usize),
        ring,
        norm: case.random_input("norm", width as usize),
        x: case.output("x", (max_tokens * width) as usize, 1e-4),
        width,
        last_only,
        eps: 1e-6,
        max_tokens,
    };
    record_norm_rows(&mut case.recording, "attn_norm", &flow);
    case.finish()
}
