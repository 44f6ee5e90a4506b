//! `linear_add`: a weight matrix times the vectors of a few tokens joins the residual stream. A fusion of `linear` and `add`.

use crate::format::Format;
use crate::gpu::fuse::Rule;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Stage, Variant};

use super::case::CaseBuilder;
use super::linear_tiled::MIN_TOKENS;
use super::rows::{Needed, Rows};
use super::{INPUT_PLAIN, OUTPUT_ADDED, STEP, add, linear, linear_fixed};

/// The kernel. Its texts and parameters are those of `linear`.
pub static OP: Op = Op {
    name: "linear_add",
    variants: &[
        Variant {
            entry: "linear",
            ..Variant::only("linear_add", linear::SOURCE, &[STEP, INPUT_PLAIN, OUTPUT_ADDED], linear::WAY)
        },
        linear_fixed::ADDED,
        linear_fixed::ADDED_INT8,
    ],
    bindings: &[
        ("step", Access::Read),
        ("x", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("y", Access::Write),
        ("stream", Access::Read),
    ],
    params: linear::Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// Takes the product with a whole matrix, and `add` of it.
pub static RULE: Rule = Rule { parts: &["linear", "add"], fuse, writers: &["experts_out"], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [product, add] = parts else { return None };
    let (l, a): (linear::Params, add::Params) = (product.params(), add.params());
    let [step, x, quants, scales, y] = product.bindings[..] else { return None };
    let [_, stream, outputs, _, next] = add.bindings[..] else { return None };
    let whole = linear::Params {
        n_rows: 4 * a.n_quads,
        y_stride: 4 * a.n_quads,
        rows_per_group: u32::MAX,
        max_tokens: a.max_tokens,
        n_blocks: l.n_blocks,
        n_in: l.n_in,
        x_stride: l.x_stride,
        ..linear::Params::default()
    };
    let fits = outputs == y
        && bytemuck::bytes_of(&whole) == product.params
        && (a.n_slots, add.spec.value_of(add::BIAS)) == (1, Some(0))
        && a.max_tokens < MIN_TOKENS;
    let n = u64::from(a.max_tokens) * u64::from(l.n_rows);
    fits.then(|| Stage {
        op: &OP,
        bindings: vec![step, x, quants, scales, next, stream],
        // The product is neither written nor read.
        cost: Cost {
            bytes: (product.cost.bytes + add.cost.bytes).saturating_sub(8 * n),
            ops: product.cost.ops + add.cost.ops,
        },
        ..product.clone()
    })
}

/// The rows that results need: all, for every token.
pub(super) fn needed(call: &Call<'_>) -> Needed {
    linear::needed(call)
}

/// Its parts' references, one after the other, of the rows that are wanted.
fn reference(call: &mut Call<'_>) {
    let p: linear::Params = call.params();
    let [step, x, quants, scales, _] = call.inputs[..] else { unreachable!("five inputs") };
    let stream: &[f32] = call.input(4);
    let tokens = call.tokens(call.input::<crate::gpu::op::Step>(0)[0].n_tokens.min(p.max_tokens));
    let mut sums = vec![0u32; (p.max_tokens * p.n_rows) as usize];
    let mut product = Call {
        params: call.params,
        spec: call.spec,
        inputs: vec![step, x, quants, scales],
        outputs: vec![&mut sums],
        sample: call.sample,
    };
    let wanted: Vec<u32> = Rows::of(&product, p.n_blocks).wanted(0..p.n_rows).collect();
    (linear::OP.reference)(&mut product);
    let [y] = call.outputs::<f32, 1>();
    for token in tokens {
        for at in wanted.iter().map(|row| (token * p.n_rows + row) as usize) {
            y[at] = stream[at] + f32::from_bits(sums[at]);
        }
    }
}

fn part_cases() -> Vec<Case> {
    [Format::F16, Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::MXFP4, Format::Q6_K]
        .map(|format| case(format, 20, 256, [3, 2]))
        .into_iter()
        .chain([case(Format::F32, 4, 36, [1, 1]), case(Format::Q4_0, 36, 96, [7, 7])])
        .collect()
}

/// `tokens` are the capacity, and how many there are.
fn case(format: Format, n_rows: u32, n_in: u32, tokens: [u32; 2]) -> Case {
    let [max_tokens, _] = tokens;
    let mut case = CaseBuilder::new(format!("{format} [{n_rows}, {n_in}], [of, tokens] {tokens:?}"));
    let w = case.matrix("w", format, n_rows as usize, n_in as usize);
    let add = add::flow(&mut case, n_rows, 1, false, tokens);
    let x = case.random_input("x", (max_tokens * n_in) as usize);
    let flow = linear::Flow {
        step: add.step,
        x,
        x_stride: n_in,
        y: add.outputs,
        y_stride: n_rows,
        y_offset: 0,
        y_ring: 0,
        rows_per_group: 0,
        max_tokens,
    };
    linear::record_linear(&mut case.recording, "o", &w, flow);
    add::record_add(&mut case.recording, "add", &add);
    let tolerance = case.finish();
    Case { outputs: tolerance.outputs.into_iter().map(|(buffer, _)| (buffer, 1e-4)).collect(), ..tolerance }
}
