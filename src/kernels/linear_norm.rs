//! `linear_norm`: a weight matrix times the normed vectors of a few tokens. A fusion of `norm_rows` and `linear`, in which every
//! group of invocations norms for itself what it reads.

use crate::format::Format;
use crate::gpu::fuse::Rule;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::linear_tiled::MIN_TOKENS;
use super::{INPUT_NORMED, OUTPUT_PLAIN, STEP, linear, norm_rows};

/// The kernel. Its text and parameters are those of `linear`.
pub static OP: Op = Op {
    name: "linear_norm",
    variants: &[Variant {
        entry: "linear",
        waits: true,
        pays: |stage| stage.params::<linear::Params>().n_weights() <= MOST_WEIGHTS,
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

/// Weights of a matrix at most. Of each group's work a part is done again by all others: with those of an output head that
/// takes longer than to wait for it.
const MOST_WEIGHTS: u64 = 128 << 20;

/// The constant that has the bits of what is added to the mean square.
const EPS: &str = "EPS";
/// The constant that says how many rows of a ring over positions the input has, 0 where row t is token t.
const X_RING: &str = "X_RING";

/// Takes a norm, and the product that follows it. What was normed is kept for other stages.
pub static RULE: Rule = Rule { parts: &["norm_rows", "linear"], fuse, writers: &[], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [norm, product] = parts else { return None };
    let (n, l): (norm_rows::Params, linear::Params) = (norm.params(), product.params());
    let [step, values, weights, normed] = norm.bindings[..] else { return None };
    let [_, x, quants, scales, y] = product.bindings[..] else { return None };
    let fits = x == normed
        && (4 * n.n_quads, n.last_only, n.max_tokens) == (l.n_in, 0, l.max_tokens)
        && l.x_stride == n.n_quads
        && !l.is_grouped()
        && l.max_tokens < MIN_TOKENS;
    fits.then(|| Stage {
        op: &OP,
        spec: normed_facts(product.spec.clone(), &n),
        params: bytemuck::bytes_of(&linear::Params { x_stride: n.stride, ..l }).to_vec(),
        bindings: vec![step, values, quants, scales, y, weights, normed],
        cost: Cost { bytes: norm.cost.bytes + product.cost.bytes, ops: norm.cost.ops + product.cost.ops },
        ..product.clone()
    })
}

/// The facts of a product that norms what it reads.
pub(super) fn normed_facts(facts: Spec, norm: &norm_rows::Params) -> Spec {
    facts.constant(EPS, norm.eps.to_bits()).constant(X_RING, norm.ring)
}

/// Rows of the ring that a product reads which norms on the way in; 0 where it is none.
pub(super) fn ring(facts: &Spec) -> u32 {
    facts.value_of(X_RING).unwrap_or(0)
}

/// Computes the norm of a product's input: `values` `[max_tokens, 4 stride]` to `normed`, of the tokens that are wanted.
pub(super) fn norm_input(
    call: &Call<'_>,
    [width, stride, max_tokens]: [u32; 3],
    [step, values, norm]: [&[u32]; 3],
    normed: &mut [u32],
) {
    let eps = f32::from_bits(call.constant(EPS));
    let params = norm_rows::Params { n_quads: width / 4, stride, ring: ring(call.spec), last_only: 0, eps, max_tokens };
    (norm_rows::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&params),
        spec: call.spec,
        inputs: vec![step, values, norm],
        outputs: vec![normed],
        sample: call.sample,
    });
}

/// Its parts' references, one after the other.
fn reference(call: &mut Call<'_>) {
    let p: linear::Params = call.params();
    let [step, x, quants, scales, norm] = call.inputs[..] else { unreachable!("five inputs") };
    let mut outputs = std::mem::take(&mut call.outputs);
    let [y, normed] = &mut outputs[..] else { unreachable!("two outputs") };
    norm_input(call, [p.n_in, p.x_stride, p.max_tokens], [step, x, norm], normed);
    linear::reference_of(call, [step, &**normed, quants, scales], y);
    call.outputs = outputs;
}

/// A norm to stand before a product in cases: what it reads, and what it writes.
pub(super) fn record_norm(
    case: &mut CaseBuilder,
    step: Slice,
    width: u32,
    ring: Option<[u32; 2]>,
    max_tokens: u32,
) -> Slice {
    let n = (max_tokens * width) as usize;
    let n_values = ring.map_or(n, |[rows, stride]| (rows * stride) as usize);
    let flow = norm_rows::Flow {
        step,
        values: case.random_input("values", n_values),
        ring,
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
        .map(|format| case(format, 20, 256, None, [3, 2]))
        .into_iter()
        // Rows that end before their last block does, and fewer rows than a group takes.
        .chain([case(Format::F32, 3, 36, None, [5, 4]), case(Format::Q4_0, 70, 96, None, [1, 1])])
        .chain([case(Format::Q8_0, 9, 64, Some([5, 76]), [3, 3])])
        .collect()
}

/// `tokens` are the capacity, and how many there are.
fn case(format: Format, n_rows: u32, n_in: u32, ring: Option<[u32; 2]>, tokens: [u32; 2]) -> Case {
    let [max_tokens, n_tokens] = tokens;
    let mut case = CaseBuilder::new(format!("{format} [{n_rows}, {n_in}], ring {ring:?}, [of, tokens] {tokens:?}"));
    let w = case.matrix("w", format, n_rows as usize, n_in as usize);
    let step = case.step(3, n_tokens);
    let x = record_norm(&mut case, step, n_in, ring, max_tokens);
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
