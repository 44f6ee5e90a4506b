//! `linear`: a weight matrix of any format times the vectors of a few tokens. Decode lives on it.

use crate::format::Format;
use crate::gpu::config::ROWS;
use crate::gpu::lower::{Lowered, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::space::{self, Change};
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::matrix::{Matrix, with_codes};
use super::rows::{Needed, Rows};
use super::{INPUT_PLAIN, OUTPUT_PLAIN, STEP, dot};
use super::{linear_fixed, linear_shared, linear_tiled};

crate::params! {
    /// Parameters of `linear` and `linear_tiled`; the WGSL says what each is.
    pub struct Params {
        /// Rows of this shard.
        pub n_rows: u32,
        /// Blocks of 32 weights in a row.
        pub n_blocks: u32,
        /// Weights in a row before padding.
        pub n_in: u32,
        /// Vectors of 4 from token to token in x.
        pub x_stride: u32,
        /// Elements from token to token in y.
        pub y_stride: u32,
        /// Element of y that row 0 writes.
        pub y_offset: u32,
        /// Tokens in y when it is a ring over positions; 0 when row t is token t.
        pub y_ring: u32,
        /// Rows that read the same part of x.
        pub rows_per_group: u32,
        /// Vectors of 4 from part to part of x.
        pub group_stride: u32,
        /// Elements of y that are left out after each group of rows.
        pub y_gap: u32,
        /// Row 0's number in the whole matrix.
        pub first_row: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "linear",
    variants: &[
        Variant::only("linear", SOURCE, &[STEP, INPUT_PLAIN, OUTPUT_PLAIN], WAY),
        linear_tiled::VARIANT,
        linear_shared::VARIANT,
        linear_fixed::VARIANT,
        linear_fixed::OF_INT8,
        linear_shared::HALVES,
        linear_shared::FIXED_TILES,
        linear_shared::INT8_TILES,
        linear_shared::COOPERATIVE,
        FEW_ROWS,
    ],
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

/// Rows that are too few for tiles to fill a GPU, whatever the tokens.
const TOO_FEW_ROWS: u32 = 64;
/// From this many tokens on tiles would be taken.
const MANY_TOKENS: u32 = 32;

/// `linear` for many tokens and few long rows, where a tile would walk along its rows all alone: V4's mixing matrices have 24
/// rows of 16,384, and took 1.9 ms each for 256 tokens on an H100 by tiles in registers.
const FEW_ROWS: Variant = Variant {
    name: "linear_few_rows",
    // On a program on the CPU tiles in registers are faster.
    waits: true,
    allows: |stage| stage.params::<Params>().n_rows < TOO_FEW_ROWS,
    pays: |stage| stage.params::<Params>().max_tokens >= MANY_TOKENS,
    ..Variant::only("linear", SOURCE, &[STEP, INPUT_PLAIN, OUTPUT_PLAIN], WAY)
};

/// The text of the first variant, and of fusions with it.
pub(super) const SOURCE: &str = shader_text!("../../shaders/kernels/linear.wgsl");

/// Where a linear map reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Input `[n_tokens, x_stride]`, f32.
    pub x: Slice,
    /// Elements from token to token in `x`, a multiple of 4.
    pub x_stride: u32,
    /// Output `[n_tokens or y_ring, y_stride]`, f32.
    pub y: Slice,
    /// Elements from token to token in `y`.
    pub y_stride: u32,
    /// Element of a token's output that the matrix's row 0 writes.
    pub y_offset: u32,
    /// Tokens in `y` when it is a ring over positions, else 0.
    pub y_ring: u32,
    /// Rows that read the same part of `x`; all rows when 0.
    pub rows_per_group: u32,
    /// Tokens to compute at most: the recording's capacity.
    pub max_tokens: u32,
}

/// How the parts of `x` and `y` lie that groups of rows read and write.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Elements from part to part of `x`, a multiple of 4.
    pub x_stride: u32,
    /// Elements of `y` that are left out after each group.
    pub y_gap: u32,
}

/// Appends `y = w x`.
///
/// # Panics
/// When rows or strides are no multiples of 4: shapes are checked before they come here.
pub fn record_linear(recording: &mut Recording, name: &'static str, w: &Matrix, flow: Flow) {
    record_linear_parts(recording, name, w, flow, Parts { x_stride: w.n_in, y_gap: 0 });
}

/// Appends `y = w x` for groups of rows whose parts of `x` and `y` do not lie one right after the other.
///
/// # Panics
/// As [`record_linear`].
pub fn record_linear_parts(recording: &mut Recording, name: &'static str, w: &Matrix, flow: Flow, parts: Parts) {
    let strides = [w.n_in, flow.x_stride, parts.x_stride];
    assert!(strides.iter().all(|n| n.is_multiple_of(4)), "{name}: rows are multiples of 4");
    let grouped = flow.rows_per_group > 0;
    let params = Params {
        n_rows: w.n_rows,
        n_blocks: w.n_blocks(),
        n_in: w.n_in,
        x_stride: flow.x_stride / 4,
        y_stride: flow.y_stride,
        y_offset: flow.y_offset + w.first_row,
        y_ring: flow.y_ring,
        rows_per_group: if grouped { flow.rows_per_group } else { u32::MAX },
        group_stride: if grouped { parts.x_stride / 4 } else { 0 },
        y_gap: if grouped { parts.y_gap } else { 0 },
        first_row: w.first_row,
        max_tokens: flow.max_tokens,
    };
    let bindings = [flow.step, flow.x, w.quants, w.scales, flow.y];
    let tokens = u64::from(flow.max_tokens);
    let weights = u64::from(w.n_rows) * u64::from(w.n_in);
    let activations = tokens * 4 * (u64::from(w.n_in) + u64::from(w.n_rows));
    let cost = Cost { bytes: w.bytes() + activations, ops: 2 * weights * tokens };
    let n_results = tokens * u64::from(w.n_rows);
    recording.push(name, &OP, w.decode_with(Spec::default()), n_results, &params, &bindings, cost);
}

pub(super) const WAY: Way = Way { lower, space: space::rows_of_weights };

/// The same, where an invocation takes note of all that it reads.
pub(super) const WAY_NORMED: Way =
    Way { lower: |stage, caps, config| lower(stage, caps, &config.with(Change::SharedInputs(false))), ..WAY };

/// A matrix times a vector: some invocations share a group of rows.
fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let (spec, n_workgroups) = sharing(&p, caps, config);
    // Invocations of a subgroup read the same part of x.
    let alike = spec.value_of(ROWS).unwrap_or(1) * caps.subgroup.max(1);
    let is_alike = !p.is_grouped() || [p.rows_per_group, p.first_row].iter().all(|row| row.is_multiple_of(alike));
    let config = config.with(Change::SharedInputs(config.shared_inputs && is_alike));
    (with_codes(spec, stage, caps, &config), n_workgroups).into()
}

/// How invocations share the rows, and the workgroups that are needed for it.
pub(super) fn sharing(p: &Params, caps: &Caps, config: &Config) -> (Spec, u64) {
    let n_alike = p.is_grouped().then_some(p.rows_per_group);
    config.sharing_rows(caps, p.max_tokens.into(), p.n_rows, n_alike)
}

impl Params {
    /// Weights of the shard.
    pub(super) fn n_weights(&self) -> u64 {
        u64::from(self.n_rows) * u64::from(self.n_in)
    }

    /// Whether rows read parts of `x`.
    pub(super) fn is_grouped(&self) -> bool {
        self.rows_per_group != u32::MAX
    }
}

/// The rows that results need: all, for every token.
pub(super) fn needed(call: &Call<'_>) -> Needed {
    let p: Params = call.params();
    let all = 0..p.n_rows;
    Needed { n_blocks: p.n_blocks, rows: vec![all], others: Vec::new() }
}

/// The product of a fusion that reads `x` row by row as the fusion leaves it for others, whatever it read itself.
pub(super) fn reference_of(call: &Call<'_>, [step, x, quants, scales]: [&[u32]; 4], y: &mut [u32]) {
    let p: Params = call.params();
    let params = Params { x_stride: p.n_in / 4, ..p };
    reference(&mut Call {
        params: bytemuck::bytes_of(&params),
        spec: call.spec,
        inputs: vec![step, x, quants, scales],
        outputs: vec![y],
        sample: call.sample,
    });
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let x: &[f32] = call.input(1);
    let (rows, tokens) = (Rows::of(call, p.n_blocks), call.tokens(step.n_tokens.min(p.max_tokens)));
    let [y] = call.outputs::<f32, 1>();
    let mut row = vec![0.0; p.n_blocks as usize * 32];
    for r in rows.wanted(0..p.n_rows) {
        rows.decode(r, &mut row);
        for token in tokens.iter().copied() {
            let group = (p.first_row + r) / p.rows_per_group;
            let x_at = (token * p.x_stride + group * p.group_stride) as usize * 4;
            let y_row = if p.y_ring > 0 { (step.position + token) % p.y_ring } else { token };
            let sum = dot(&row[..p.n_in as usize], &x[x_at..]);
            y[(y_row * p.y_stride + p.y_offset + group * p.y_gap + r) as usize] = sum;
        }
    }
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Format::WEIGHTS.iter().map(|format| case(*format, 7, 512, 3, 2, 0, [0; 3])).collect();
    cases.push(case(Format::F32, 5, 4, 1, 1, 0, [0; 3]));
    cases.push(case(Format::F16, 33, 48, 2, 2, 0, [0; 3]));
    cases.push(case(Format::BF16, 1, 100, 2, 1, 0, [0; 3]));
    cases.push(case(Format::Q8_0, 65, 96, 4, 4, 5, [0; 3]));
    cases.push(case(Format::Q4_0, 12, 64, 3, 3, 0, [4, 0, 0]));
    cases.push(case(Format::F32, 12, 36, 3, 2, 0, [4, 8, 5]));
    // Enough tokens for tiles.
    cases.extend(Format::WEIGHTS.iter().map(|format| case(*format, 9, 256, 13, 11, 0, [0; 3])));
    cases.push(case(Format::F32, 3, 36, 8, 1, 0, [0; 3]));
    cases.push(case(Format::Q8_0, 16, 64, 17, 17, 19, [8, 0, 0]));
    cases.push(case(Format::Q8_0, 24, 64, 9, 9, 0, [8, 4, 3]));
    // More than one tile of 64 each way, none of them whole.
    cases.push(case(Format::Q4_K, 130, 256, 70, 67, 0, [0; 3]));
    cases.push(case(Format::F16, 128, 48, 66, 65, 71, [64, 4, 3]));
    // The same for tiles of 128; this format meets every tile.
    cases.push(case(Format::F32, 133, 36, 140, 133, 0, [0; 3]));
    // Few long rows for many tokens.
    cases.push(case(Format::F32, 24, 1060, 33, 32, 0, [0; 3]));
    cases.push(case(Format::F32, 192, 36, 66, 65, 71, [64, 4, 3]));
    cases
}

/// `n_tokens` tokens in a recording for `capacity`, with a ring of `ring` tokens, or rows in groups of so many with so many
/// elements of x and of y between them.
fn case(
    format: Format,
    n_rows: usize,
    n_in: usize,
    capacity: u32,
    n_tokens: u32,
    ring: u32,
    [group, x_gap, y_gap]: [u32; 3],
) -> Case {
    let name = format!(
        "{format} [{n_rows}, {n_in}] x {n_tokens} of {capacity}, ring {ring}, groups of {group} {x_gap} and {y_gap} apart"
    );
    let mut case = CaseBuilder::new(name);
    let w = case.matrix("w", format, n_rows, n_in);
    let n_groups = (n_rows as u32).checked_div(group).unwrap_or(1);
    let x_stride = (n_in as u32 + x_gap) * n_groups + 4;
    let step = case.step(3, n_tokens);
    let x = case.random_input("x", (x_stride * capacity) as usize);
    let y_stride = n_rows as u32 + n_groups * y_gap + 3;
    let y = case.output("y", (y_stride * capacity.max(ring)) as usize, 1e-4);
    let flow =
        Flow { step, x, x_stride, y, y_stride, y_offset: 2, y_ring: ring, rows_per_group: group, max_tokens: capacity };
    let parts = Parts { x_stride: n_in as u32 + x_gap, y_gap };
    record_linear_parts(&mut case.recording, "linear", &w, flow, parts);
    case.finish()
}
