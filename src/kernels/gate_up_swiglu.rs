//! `gate_up_swiglu`: the hidden values of a feed-forward network without experts, out of its input. A fusion of `linear` and
//! `swiglu`, for a few tokens.

use crate::format::Format;
use crate::gpu::fuse::Rule;
use crate::gpu::lower::{Lowered, Way};
use crate::gpu::recording::Cost;
use crate::gpu::space::{self, Change};
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::linear_tiled::MIN_TOKENS;
use super::matrix::with_codes;
use super::rows::{Needed, Rows};
use super::swiglu::Activation;
use super::{INPUT_PLAIN, Matrix, STEP, linear, swiglu};

crate::params! {
    /// Parameters of `gate_up_swiglu`; the WGSL says what each is.
    pub struct Params {
        /// Hidden units.
        pub n_hidden: u32,
        /// Blocks of 32 weights in a row.
        pub n_blocks: u32,
        /// Weights in a row before padding.
        pub n_in: u32,
        /// Vectors of 4 from token to token in x.
        pub x_stride: u32,
        /// Where gate and up are cut off.
        pub limit: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "gate_up_swiglu",
    variants: &[Variant::only("gate_up_swiglu", SOURCE, &[STEP, INPUT_PLAIN], WAY)],
    bindings: &[
        ("step", Access::Read),
        ("x", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("hidden", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// The text of the kernel, and of fusions with it.
pub(super) const SOURCE: &str = shader_text!("../../shaders/kernels/gate_up_swiglu.wgsl");
pub(super) const WAY: Way = Way { lower, space: space::rows_of_weights };

/// The same, where an invocation takes note of all that it reads.
pub(super) const WAY_NORMED: Way =
    Way { lower: |stage, caps, config| lower(stage, caps, &config.with(Change::SharedInputs(false))), ..WAY };

/// Takes the product with the gate and up rows, and `swiglu` of it.
pub static RULE: Rule = Rule { parts: &["linear", "swiglu"], fuse, writers: &[], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [product, swiglu] = parts else { return None };
    let (l, s): (linear::Params, swiglu::Params) = (product.params(), swiglu.params());
    let [step, x, quants, scales, y] = product.bindings[..] else { return None };
    let [_, gate_up, hidden] = swiglu.bindings[..] else { return None };
    let p = Params {
        n_hidden: 4 * s.n_quads,
        n_blocks: l.n_blocks,
        n_in: l.n_in,
        x_stride: l.x_stride,
        limit: s.limit,
        max_tokens: s.max_tokens,
    };
    // Both parts of the matrix in one shard.
    let fits = gate_up == y && bytemuck::bytes_of(&p.linear()) == product.params && p.max_tokens < MIN_TOKENS;
    let n = u64::from(p.max_tokens) * u64::from(p.n_hidden);
    fits.then(|| Stage {
        name: if product.name == "shared_gate_up" { "shared_gate_up_swiglu" } else { OP.name },
        op: &OP,
        // The weight format, and what a gate goes through.
        spec: product.spec.clone().with(&swiglu.spec),
        params: bytemuck::bytes_of(&p).to_vec(),
        bindings: vec![step, x, quants, scales, hidden],
        n_results: n,
        // Gate and up are neither written nor read.
        cost: Cost {
            bytes: (product.cost.bytes + swiglu.cost.bytes).saturating_sub(16 * n),
            ops: product.cost.ops + swiglu.cost.ops,
        },
        ..product.clone()
    })
}

impl Params {
    fn linear(&self) -> linear::Params {
        linear::Params {
            n_rows: 2 * self.n_hidden,
            n_blocks: self.n_blocks,
            n_in: self.n_in,
            x_stride: self.x_stride,
            y_stride: 2 * self.n_hidden,
            rows_per_group: u32::MAX,
            max_tokens: self.max_tokens,
            ..linear::Params::default()
        }
    }
}

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let (spec, n_workgroups) = config.sharing_rows(caps, p.max_tokens.into(), p.n_hidden, None);
    (with_codes(spec, stage, caps, config), n_workgroups).into()
}

/// The rows that results need: a hidden unit's gate row, and its up row behind it.
pub(super) fn needed(call: &Call<'_>) -> Needed {
    let p: Params = call.params();
    let gates = 0..p.n_hidden;
    Needed { n_blocks: p.n_blocks, rows: vec![gates], others: vec![p.n_hidden] }
}

/// Its parts' references, one after the other; of hidden units whose rows are not wanted nothing is kept.
fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let [step, x, quants, scales] = call.inputs[..] else { unreachable!("four inputs") };
    let (spec, sample) = (call.spec, call.sample);
    let n = (p.max_tokens * p.n_hidden) as usize;
    let (mut gate_up, mut all) = (vec![0; 2 * n], vec![0; n]);
    (linear::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.linear()),
        spec,
        inputs: vec![step, x, quants, scales],
        outputs: vec![&mut gate_up],
        sample,
    });
    (swiglu::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&swiglu::Params {
            n_quads: p.n_hidden / 4,
            limit: p.limit,
            max_tokens: p.max_tokens,
        }),
        spec,
        inputs: vec![step, &gate_up],
        outputs: vec![&mut all],
        sample,
    });
    let wanted: Vec<usize> = Rows::of(call, p.n_blocks).wanted(0..p.n_hidden).map(|row| row as usize).collect();
    let tokens = call.tokens(call.input::<crate::gpu::op::Step>(0)[0].n_tokens.min(p.max_tokens));
    let [hidden] = call.outputs::<u32, 1>();
    for token in tokens {
        let at = (token * p.n_hidden) as usize;
        wanted.iter().for_each(|unit| hidden[at + unit] = all[at + unit]);
    }
}

fn part_cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [Format::F16, Format::Q8_0, Format::Q4_0, Format::Q4_K, Format::MXFP4, Format::Q6_K]
        .map(|format| case(format, 20, 256, Activation::Silu, [3, 2]))
        .into();
    cases.push(case(Format::F32, 4, 36, Activation::Silu, [1, 1]));
    cases.push(case(Format::Q4_0, 36, 96, Activation::GeluTanh, [7, 7]));
    cases
}

/// `tokens` are the capacity, and how many there are.
fn case(format: Format, n_hidden: u32, n_in: u32, activation: Activation, tokens: [u32; 2]) -> Case {
    let [max_tokens, n_tokens] = tokens;
    let mut case =
        CaseBuilder::new(format!("{format}, {n_hidden} hidden of {n_in}, {activation:?}, [of, tokens] {tokens:?}"));
    let w = case.matrix("w", format, 2 * n_hidden as usize, n_in as usize);
    let step = case.step(3, n_tokens);
    let x = case.random_input("x", (max_tokens * n_in) as usize);
    record_parts(&mut case, &w, [step, x], n_hidden, activation, max_tokens);
    case.finish()
}

/// Appends the parts to a case: the matrix's rows are as wide as those of `x`.
pub(super) fn record_parts(
    case: &mut CaseBuilder,
    w: &Matrix,
    [step, x]: [Slice; 2],
    n_hidden: u32,
    activation: Activation,
    max_tokens: u32,
) {
    let gate_up = case.random_input("gate_up", (max_tokens * 2 * n_hidden) as usize);
    let hidden = case.output("hidden", (max_tokens * n_hidden) as usize, 1e-4);
    let flow = linear::Flow {
        step,
        x,
        x_stride: w.n_in,
        y: gate_up,
        y_stride: 2 * n_hidden,
        y_offset: 0,
        y_ring: 0,
        rows_per_group: 0,
        max_tokens,
    };
    linear::record_linear(&mut case.recording, "gate_up", w, flow);
    // Some results of both kinds lie beyond the limit.
    let limit = if activation == Activation::Silu { 2.0 } else { f32::MAX };
    let flow = swiglu::Flow { step, gate_up, hidden, n_hidden, activation, limit, max_tokens };
    swiglu::record_swiglu(&mut case.recording, &flow);
}
