//! `linear_norm`: a weight matrix times the normed vectors of a few tokens. A fusion of `norm_rows` and `linear`, in which every
//! group of invocations norms for itself what it reads.

use crate::format::Format;
use crate::gpu::fuse::Rule;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::linear_tiled::MIN_TOKENS;
use super::rows::Needed;
use super::{INPUT_NORMED, OUTPUT_PLAIN, STEP, linear, norm_rows};

/// The kernel. Its text and parameters are those of `linear`.
pub static OP: Op = Op {
    name: "linear_norm",
    variants: &[Variant {
        entry: "linear",
        waits: true,
        pays: |stage| stage.params::<linear::Params>().n_rows <= MOST_ROWS,
        ..Variant::only("linear_norm", linear::SOURCE, &[STEP, INPUT_NORMED, OUTPUT_PLAIN], linear::WAY_NORMED)
    }],
    bindings: &[
        ("step", Access::Read),
        ("x", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("y", Access::Write),
        ("norm", Access::Read),
        ("normed", Access::Write),
    ],
    params: linear::Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// Rows of a matrix at most. Of each group's work a part is done again by all others: with the rows of an output head that
/// takes longer than to wait for it.
const MOST_ROWS: u32 = 32 << 10;

/// The constant that has the bits of what is added to the mean square.
const EPS: &str = "EPS";

/// Takes a norm, and the product that follows it. What was normed is kept for other stages.
pub static RULE: Rule = Rule { parts: &["norm_rows", "linear"], fuse, writers: &[], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [norm, product] = parts else { return None };
    let (n, l): (norm_rows::Params, linear::Params) = (norm.params(), product.params());
    let [step, values, weights, normed] = norm.bindings[..] else { return None };
    let [_, x, quants, scales, y] = product.bindings[..] else { return None };
    let fits = x == normed
        && bytemuck::bytes_of(&norm_of(l.n_in, n.eps, l.max_tokens)) == norm.params
        && l.x_stride == n.n_quads
        && !l.is_grouped()
        && l.max_tokens < MIN_TOKENS;
    fits.then(|| Stage {
        op: &OP,
        spec: with_eps(product.spec.clone(), n.eps),
        bindings: vec![step, values, quants, scales, y, weights, normed],
        cost: Cost { bytes: norm.cost.bytes + product.cost.bytes, ops: norm.cost.ops + product.cost.ops },
        ..product.clone()
    })
}

/// The norm of rows of `width` elements.
fn norm_of(width: u32, eps: f32, max_tokens: u32) -> norm_rows::Params {
    norm_rows::Params { n_quads: width / 4, last_only: 0, eps, max_tokens }
}

/// The facts of a product that norms what it reads.
pub(super) fn with_eps(facts: Spec, eps: f32) -> Spec {
    facts.constant(EPS, eps.to_bits())
}

/// Computes the norm of a product's input: `values` `[max_tokens, width]` to `normed`, of the tokens that are wanted.
pub(super) fn norm_input(
    call: &Call<'_>,
    [width, max_tokens]: [u32; 2],
    [step, values, norm]: [&[u32]; 3],
    normed: &mut [u32],
) {
    let params = norm_of(width, f32::from_bits(call.constant(EPS)), max_tokens);
    (norm_rows::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&params),
        spec: call.spec,
        inputs: vec![step, values, norm],
        outputs: vec![normed],
        sample: call.sample,
    });
}

/// The rows that results need: all, for every token.
pub(super) fn needed(call: &Call<'_>) -> Needed {
    linear::needed(call)
}

/// Its parts' references, one after the other.
fn reference(call: &mut Call<'_>) {
    let p: linear::Params = call.params();
    let [step, x, quants, scales, norm] = call.inputs[..] else { unreachable!("five inputs") };
    let mut outputs = std::mem::take(&mut call.outputs);
    let [y, normed] = &mut outputs[..] else { unreachable!("two outputs") };
    norm_input(call, [p.n_in, p.max_tokens], [step, x, norm], normed);
    (linear::OP.reference)(&mut Call {
        params: call.params,
        spec: call.spec,
        inputs: vec![step, &**normed, quants, scales],
        outputs: vec![&mut **y],
        sample: call.sample,
    });
    call.outputs = outputs;
}

/// A norm to stand before a product in cases: what it reads, and what it writes.
pub(super) fn record_norm(case: &mut CaseBuilder, step: Slice, width: u32, max_tokens: u32) -> Slice {
    let n = (max_tokens * width) as usize;
    let flow = norm_rows::Flow {
        step,
        values: case.random_input("values", n),
        norm: case.random_input("norm", width as usize),
        x: case.output("normed", n, 1e-4),
        width,
        last_only: false,
        eps: 1e-3,
        max_tokens,
    };
    norm_rows::record_norm_rows(&mut case.recording, "attn_norm", &flow);
    flow.x
}

fn part_cases() -> Vec<Case> {
    [Format::F16, Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::MXFP4, Format::Q6_K]
        .map(|format| case(format, 20, 256, [3, 2]))
        .into_iter()
        // Rows that end before their last block does, and fewer rows than a group takes.
        .chain([case(Format::F32, 3, 36, [5, 4]), case(Format::Q4_0, 70, 96, [1, 1])])
        .collect()
}

/// `tokens` are the capacity, and how many there are.
fn case(format: Format, n_rows: u32, n_in: u32, tokens: [u32; 2]) -> Case {
    let [max_tokens, n_tokens] = tokens;
    let mut case = CaseBuilder::new(format!("{format} [{n_rows}, {n_in}], [of, tokens] {tokens:?}"));
    let w = case.matrix("w", format, n_rows as usize, n_in as usize);
    let step = case.step(3, n_tokens);
    let x = record_norm(&mut case, step, n_in, max_tokens);
    let flow = linear::Flow {
        step,
        x,
        x_stride: n_in,
        y: case.output("y", (max_tokens * (n_rows + 5)) as usize, 1e-4),
        y_stride: n_rows + 5,
        y_offset: 2,
        y_ring: 0,
        rows_per_group: 0,
        max_tokens,
    };
    linear::record_linear(&mut case.recording, "qkv", &w, flow);
    case.finish()
}
