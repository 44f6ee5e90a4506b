//! `linear_transposed`: for each group of rows of a matrix the sum of them, weighted by a part of `x`. Absorbed latent
//! attention takes queries to latents with it, by the rows that take latents to keys.

use crate::format::{Format, plane};
use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::space;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Slice, Stage, Variant};

use super::STEP;
use super::case::CaseBuilder;
use super::experts::Shard;
use super::matrix::format_of;

crate::params! {
    /// Parameters of `linear_transposed`; the WGSL says what each is.
    pub struct Params {
        /// Groups of this shard.
        pub n_groups: u32,
        /// The first one's number in x and y.
        pub first_group: u32,
        /// Rows of a group.
        pub rows: u32,
        /// Blocks of 32 weights in a row.
        pub n_blocks: u32,
        /// Vectors of 4 in a row before padding.
        pub n_quads: u32,
        /// Elements from token to token in x.
        pub x_stride: u32,
        /// Elements from group to group in x.
        pub x_group_stride: u32,
        /// Vectors of 4 from token to token in y.
        pub y_stride: u32,
        /// Vectors of 4 from group to group in y.
        pub y_group_stride: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "linear_transposed",
    variants: &[Variant::only(
        "linear_transposed",
        shader_text!("../../shaders/kernels/linear_transposed.wgsl"),
        &[STEP],
        Way { lower, space: space::threads },
    )],
    bindings: &[
        ("step", Access::Read),
        ("x", Access::Read),
        ("quants", Access::Read),
        ("scales", Access::Read),
        ("y", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Where the product reads and writes. Strides are in elements; those of `y` are multiples of 4.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Input, f32: for each token and group as many weights as a group has rows.
    pub x: Slice,
    /// From token to token in `x`.
    pub x_stride: u32,
    /// From group to group in `x`.
    pub x_group_stride: u32,
    /// Output, f32: for each token and group a sum of rows.
    pub y: Slice,
    /// From token to token in `y`.
    pub y_stride: u32,
    /// From group to group in `y`.
    pub y_group_stride: u32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// Appends the product with a shard, whose "experts" are groups of rows.
///
/// # Panics
/// When rows or strides of `y` are no multiples of 4: shapes are checked before they come here.
pub fn record_linear_transposed(recording: &mut Recording, name: &'static str, shard: &Shard, flow: &Flow) {
    let w = &shard.matrix;
    let widths = [w.n_in, flow.y_stride, flow.y_group_stride];
    assert!(widths.iter().all(|n| n.is_multiple_of(4)), "{name}: rows are multiples of 4");
    let params = Params {
        n_groups: shard.n_experts,
        first_group: shard.first_expert,
        rows: w.n_rows / shard.n_experts,
        n_blocks: w.n_blocks(),
        n_quads: w.n_in / 4,
        x_stride: flow.x_stride,
        x_group_stride: flow.x_group_stride,
        y_stride: flow.y_stride / 4,
        y_group_stride: flow.y_group_stride / 4,
        max_tokens: flow.max_tokens,
    };
    let tokens = u64::from(flow.max_tokens);
    let weights = u64::from(w.n_rows) * u64::from(w.n_in);
    let results = tokens * u64::from(shard.n_experts) * u64::from(w.n_in);
    let cost = Cost { bytes: w.bytes() + 4 * (tokens * u64::from(w.n_rows) + results), ops: 2 * weights * tokens };
    let bindings = [flow.step, flow.x, w.quants, w.scales, flow.y];
    recording.push(name, &OP, w.decode_with(Spec::default()), results / 4, &params, &bindings, cost);
}

/// Tokens that an invocation takes together, where there are several.
const TOKENS: u32 = 4;

fn lower(stage: &Stage, _: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let tokens = if p.max_tokens > 1 { TOKENS } else { 1 };
    let (spec, per_workgroup) = config.alone();
    let n = u64::from(p.n_quads) * u64::from(p.n_groups) * u64::from(p.max_tokens.div_ceil(tokens));
    (spec.constant("TOKENS", tokens), n.div_ceil(u64::from(per_workgroup))).into()
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let format = format_of(call);
    let step = call.input::<Step>(0)[0];
    let tokens = call.tokens(step.n_tokens.min(p.max_tokens));
    let (x, quants, scales): (&[f32], _, _) = (call.input(1), call.inputs[2], call.inputs[3]);
    let [y] = call.outputs::<f32, 1>();
    let width = p.n_quads as usize * 4;
    let mut row = vec![0.0; width];
    for group in 0..p.n_groups {
        let x_at = |token: u32| token * p.x_stride + (p.first_group + group) * p.x_group_stride;
        let y_at = |token: u32| 4 * (token * p.y_stride + (p.first_group + group) * p.y_group_stride) as usize;
        tokens.iter().for_each(|token| y[y_at(*token)..][..width].fill(0.0));
        for r in 0..p.rows {
            let block = (group * p.rows + r) * p.n_blocks;
            plane::decode_plane_row(format, quants, scales, block as usize, &mut row);
            for token in tokens.iter().copied() {
                let weight = x[(x_at(token) + r) as usize];
                y[y_at(token)..][..width].iter_mut().zip(&row).for_each(|(y, w)| *y += weight * w);
            }
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Format::WEIGHTS.iter().map(|format| case(*format, [3, 5], 256, 1, 1)).collect();
    cases.push(case(Format::F32, [2, 4], 36, 6, 6));
    cases.push(case(Format::BF16, [4, 32], 100, 9, 7));
    cases.push(case(Format::Q8_0, [1, 3], 64, 3, 1));
    cases
}

/// `groups` are how many there are, and the rows of each.
fn case(format: Format, [n_groups, rows]: [u32; 2], n_in: u32, capacity: u32, n_tokens: u32) -> Case {
    let name = format!("{format} {n_groups} of [{rows}, {n_in}] x {n_tokens} of {capacity}");
    let mut case = CaseBuilder::new(name);
    let matrix = case.matrix("w", format, (n_groups * rows) as usize, n_in as usize);
    // Two groups of others stand before the shard's.
    let shard = Shard { matrix, first_expert: 2, n_experts: n_groups };
    let (x_group_stride, y_group_stride) = (rows + 3, n_in + 8);
    let (x_stride, y_stride) = ((n_groups + 2) * x_group_stride + 1, (n_groups + 2) * y_group_stride + 4);
    let flow = Flow {
        step: case.step(3, n_tokens),
        x: case.random_input("x", (x_stride * capacity) as usize),
        x_stride,
        x_group_stride,
        y: case.output("y", (y_stride * capacity) as usize, 1e-4),
        y_stride,
        y_group_stride,
        max_tokens: capacity,
    };
    record_linear_transposed(&mut case.recording, "absorb", &shard, &flow);
    case.finish()
}
