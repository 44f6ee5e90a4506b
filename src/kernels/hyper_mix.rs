//! `hyper_mix`: the mixing matrix of a hyper-connection times the residual streams, in split-K. It has few and very long rows,
//! 24 of 16,384 in V4-Flash, which leave most of a GPU idle where each is one group's work: 35 µs on an H100.

use crate::format::Format;
use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::space;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::hyper_collapse::N_COEFFICIENTS;
use super::linear::{self, record_linear};
use super::linear_tiled::MIN_TOKENS;
use super::matrix::format_of;
use super::mix_sums::n_mixed;
use super::{Matrix, N_STREAMS, STEP, dot};

crate::params! {
    /// Parameters of `hyper_mix`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in a stream.
        pub n_quads: u32,
        /// Rows of the matrix.
        pub n_rows: u32,
        /// Blocks of 32 weights in a row.
        pub n_blocks: u32,
        /// Parts of the mix.
        pub n_parts: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "hyper_mix",
    variants: &[Variant::only(
        "hyper_mix",
        shader_text!("../../shaders/kernels/hyper_mix.wgsl"),
        &[STEP],
        Way { lower, space: space::rows_of_weights },
    )],
    bindings: &[("step", Access::Read), ("streams", Access::Read), ("quants", Access::Read), ("mix", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Parts of the mix of a few tokens: with two rows to a group they give V4-Flash 192 workgroups where there were 12.
const N_PARTS: u32 = 16;

/// What the mix reads and writes; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Residual streams `[max_tokens, 4, n_embd]`.
    pub streams: Slice,
    /// Output, of [`n_mix`] elements: what [`hyper_collapse`](super::hyper_collapse) or
    /// [`head_collapse`](super::head_collapse) reads.
    pub mix: Slice,
    /// Rows of the matrix: 24, or the head's 4.
    pub n_rows: u32,
    /// Width of a stream, a multiple of 4.
    pub n_embd: u32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Elements of the mixes of steps of up to `max_tokens`.
#[must_use]
pub fn n_mix(max_tokens: u32) -> u32 {
    let few = max_tokens.min(MIN_TOKENS - 1) * n_mixed(N_COEFFICIENTS, N_PARTS);
    few.max(max_tokens * N_COEFFICIENTS)
}

/// Appends the stage `name`, the mix by a matrix, and says how many parts it is in. With many tokens there is enough to do side by
/// side, and it is a product like any other: in no parts.
///
/// # Panics
/// When the width is no multiple of 4: shapes are checked before they come here.
pub fn record_hyper_mix(recording: &mut Recording, name: &'static str, w: &Matrix, flow: &Flow) -> u32 {
    assert!(flow.n_embd.is_multiple_of(4), "hyper_mix: the width is a multiple of 4");
    // A plane of scales would be one binding too many for the fusion with hyper_expand.
    if w.scales == w.quants && flow.max_tokens < MIN_TOKENS {
        record_parts(recording, name, w, flow);
        return N_PARTS;
    }
    let flow = linear::Flow {
        step: flow.step,
        x: flow.streams,
        x_stride: N_STREAMS * flow.n_embd,
        y: flow.mix,
        y_stride: flow.n_rows,
        y_offset: 0,
        y_ring: 0,
        rows_per_group: 0,
        max_tokens: flow.max_tokens,
    };
    record_linear(recording, name, w, flow);
    0
}

pub(super) fn record_parts(recording: &mut Recording, name: &'static str, w: &Matrix, flow: &Flow) {
    let params = Params {
        n_quads: flow.n_embd / 4,
        n_rows: w.n_rows,
        n_blocks: w.n_blocks(),
        n_parts: N_PARTS,
        max_tokens: flow.max_tokens,
    };
    let (tokens, n_in) = (u64::from(flow.max_tokens), u64::from(w.n_in));
    let n_results = tokens * u64::from(w.n_rows * N_PARTS);
    let cost =
        Cost { bytes: w.bytes() + 4 * (tokens * n_in + n_results), ops: 2 * tokens * n_in * u64::from(w.n_rows) };
    let bindings = [flow.step, flow.streams, w.quants, flow.mix];
    recording.push(name, &OP, w.decode_with(Spec::default()), n_results, &params, &bindings, cost);
}

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    sharing([p.max_tokens, p.n_parts, p.n_rows], caps, config)
}

/// How invocations share the rows of every part of every token, and how many workgroups they take.
pub(super) fn sharing([max_tokens, n_parts, n_rows]: [u32; 3], caps: &Caps, config: &Config) -> Lowered {
    let (spec, per_workgroup) = config.sharing_weights(caps);
    let n_groups = u64::from(max_tokens) * u64::from(n_parts * n_rows.div_ceil(config.rows));
    (spec.constant("ROWS", config.rows), n_groups.div_ceil(u64::from(per_workgroup))).into()
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (format, streams, quants) = (format_of(call), call.input::<f32>(1), call.inputs[2]);
    let [mix] = call.outputs::<f32, 1>();
    let n_tokens = step.n_tokens.min(p.max_tokens) as usize;
    let (n_rows, n_parts, width) = (p.n_rows as usize, p.n_parts as usize, 4 * p.n_quads as usize);
    let part_len = 4 * p.n_quads.div_ceil(p.n_parts) as usize;
    let stride = n_mixed(p.n_rows, 1) as usize;
    let run = |part: usize| (part * part_len).min(width)..((part + 1) * part_len).min(width);
    let mut row = vec![0.0; p.n_blocks as usize * 32];
    for r in 0..n_rows {
        crate::format::plane::decode_plane_row(format, quants, quants, r * p.n_blocks as usize, &mut row);
        for token in 0..n_tokens {
            let streams = &streams[token * 4 * width..][..4 * width];
            for part in 0..n_parts {
                let of = |k: usize| dot(&row[k * width..][run(part)], &streams[k * width..][run(part)]);
                mix[(token * n_parts + part) * stride + r] = (0..4).map(of).sum();
            }
        }
    }
    for (place, row) in mix.chunks_exact_mut(stride).take(n_tokens * n_parts).enumerate() {
        let streams = &streams[place / n_parts * 4 * width..][..4 * width];
        let squares = |k: usize| streams[k * width..][run(place % n_parts)].iter().map(|v| v * v).sum::<f32>();
        row[n_rows] = (0..4).map(squares).sum();
    }
}

fn cases() -> Vec<Case> {
    // Parts of several vectors, the last of them shorter; parts without any.
    vec![
        case(Format::F32, 24, [132, 3, 2]),
        case(Format::BF16, 24, [64, 1, 1]),
        case(Format::F16, 4, [12, 2, 2]),
        case(Format::F32, 5, [20, 2, 1]),
    ]
}

/// `sizes` are the width, the capacity and tokens.
fn case(format: Format, n_rows: u32, sizes: [u32; 3]) -> Case {
    let [n_embd, max_tokens, n_tokens] = sizes;
    let mut case = CaseBuilder::new(format!("{format}, {n_rows} rows, [width, of, tokens] {sizes:?}"));
    let w = case.matrix("w", format, n_rows as usize, (N_STREAMS * n_embd) as usize);
    let flow = Flow {
        step: case.step(4, n_tokens),
        streams: case.random_input("streams", (max_tokens * n_embd * N_STREAMS) as usize),
        mix: case.output("mix", (max_tokens * n_mixed(n_rows, N_PARTS)) as usize, 1e-4),
        n_rows,
        n_embd,
        max_tokens,
    };
    record_parts(&mut case.recording, "hyper_mix", &w, &flow);
    case.finish()
}
