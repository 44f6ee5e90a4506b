//! `linear_collapse`: a weight matrix times what four residual streams of a few tokens collapse to. A fusion of `hyper_collapse` and
//! `linear`, in which every group of invocations collapses and norms for itself what it reads.

use crate::format::Format;
use crate::gpu::fuse::Rule;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Stage, Variant};

use super::case::CaseBuilder;
use super::hyper_collapse::{self, COEFFICIENTS};
use super::linear_tiled::MIN_TOKENS;
use super::mix_sums::MIX_PART;
use super::{INPUT_COLLAPSED, N_STREAMS, OUTPUT_PLAIN, STEP, linear};

/// The kernel. Its text and parameters are those of `linear`.
pub static OP: Op = Op {
    name: "linear_collapse",
    variants: &[Variant {
        entry: "linear",
        waits: true,
        pays: |stage| stage.params::<linear::Params>().n_weights() <= MOST_WEIGHTS,
        ..Variant::only(
            "linear_collapse",
            linear::SOURCE,
            &[STEP, MIX_PART, COEFFICIENTS, INPUT_COLLAPSED, OUTPUT_PLAIN],
            linear::WAY_NORMED,
        )
    }],
    bindings: &[
        ("step", Access::Read),
        ("x", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("y", Access::Write),
        ("affine", Access::Read),
        ("mix", Access::Read),
        ("coefficients", Access::Write),
        ("collapsed", Access::Write),
    ],
    params: linear::Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// Weights of a matrix at most. Each workgroup reads four streams and not one vector; with some 8 rows to each, those of V4-Flash's
/// projections read 40 MB of an H100's L2 cache together, which takes about as long as to wait for a collapse.
const MOST_WEIGHTS: u64 = 20 << 20;

/// The constants that have the collapse's parameters; of numbers that are no integers, the bits.
const N_PARTS: &str = "N_PARTS";
const ITERATIONS: &str = "ITERATIONS";
const EPS: &str = "EPS";
const HYPER_EPS: &str = "HYPER_EPS";

/// Takes a collapse in parts, and the product that follows it. What was collapsed is kept for other stages.
pub static RULE: Rule = Rule { parts: &["hyper_collapse", "linear"], fuse, writers: &[], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [collapse, product] = parts else { return None };
    let (c, l): (hyper_collapse::Params, linear::Params) = (collapse.params(), product.params());
    let [step, streams, mix, affine, coefficients, collapsed] = collapse.bindings[..] else { return None };
    let [_, x, quants, scales, y] = product.bindings[..] else { return None };
    let fits = x == collapsed
        && c.n_parts > 0
        && (4 * c.n_quads, c.n_quads, c.max_tokens) == (l.n_in, l.x_stride, l.max_tokens)
        && !l.is_grouped()
        && l.max_tokens < MIN_TOKENS;
    fits.then(|| Stage {
        op: &OP,
        spec: product
            .spec
            .clone()
            .constant(N_PARTS, c.n_parts)
            .constant(ITERATIONS, c.sinkhorn_iterations)
            .constant(EPS, c.norm_eps.to_bits())
            .constant(HYPER_EPS, c.hyper_eps.to_bits()),
        params: bytemuck::bytes_of(&linear::Params { x_stride: N_STREAMS * c.n_quads, ..l }).to_vec(),
        bindings: vec![step, streams, quants, scales, y, affine, mix, coefficients, collapsed],
        cost: Cost { bytes: collapse.cost.bytes + product.cost.bytes, ops: collapse.cost.ops + product.cost.ops },
        ..product.clone()
    })
}

/// Its parts' references, one after the other.
fn reference(call: &mut Call<'_>) {
    let p: linear::Params = call.params();
    let [step, streams, quants, scales, affine, mix] = call.inputs[..] else { unreachable!("six inputs") };
    let mut outputs = std::mem::take(&mut call.outputs);
    let [y, coefficients, collapsed] = &mut outputs[..] else { unreachable!("three outputs") };
    let collapse = hyper_collapse::Params {
        n_quads: p.n_in / 4,
        n_parts: call.constant(N_PARTS),
        sinkhorn_iterations: call.constant(ITERATIONS),
        norm_eps: f32::from_bits(call.constant(EPS)),
        hyper_eps: f32::from_bits(call.constant(HYPER_EPS)),
        max_tokens: p.max_tokens,
    };
    (hyper_collapse::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&collapse),
        spec: call.spec,
        inputs: vec![step, streams, mix, affine],
        outputs: vec![&mut **coefficients, &mut **collapsed],
        sample: call.sample,
    });
    linear::reference_of(call, [step, &**collapsed, quants, scales], y);
    call.outputs = outputs;
}

fn part_cases() -> Vec<Case> {
    [Format::F16, Format::Q8_0, Format::Q4_K, Format::MXFP4, Format::FP8]
        .map(|format| case(format, 20, 256, [3, 2], 0))
        .into_iter()
        // Rows that end before their last block does, fewer rows than a group takes, and a ring of results.
        .chain([case(Format::F32, 3, 36, [5, 4], 0), case(Format::Q4_0, 70, 96, [1, 1], 0)])
        .chain([case(Format::BF16, 9, 64, [3, 3], 5)])
        .collect()
}

/// `tokens` are the capacity, and how many there are.
fn case(format: Format, n_rows: u32, n_in: u32, tokens: [u32; 2], y_ring: u32) -> Case {
    let [max_tokens, n_tokens] = tokens;
    let mut case = CaseBuilder::new(format!("{format} [{n_rows}, {n_in}], [of, tokens] {tokens:?}, ring {y_ring}"));
    let w = case.matrix("w", format, n_rows as usize, n_in as usize);
    let step = case.step(3, n_tokens);
    let collapse = hyper_collapse::case_flow(&mut case, step, [n_in, 3, 4, max_tokens], 1.0);
    hyper_collapse::record_hyper_collapse(&mut case.recording, &collapse);
    let flow = linear::Flow {
        step,
        x: collapse.x,
        x_stride: n_in,
        y: case.output("y", (max_tokens.max(y_ring) * (n_rows + 5)) as usize, 1e-4),
        y_stride: n_rows + 5,
        y_offset: 2,
        y_ring,
        rows_per_group: 0,
        max_tokens,
    };
    linear::record_linear(&mut case.recording, "project", &w, flow);
    case.finish()
}
