//! `linear_tiled`: the same product as `linear` for many tokens, by tiles in registers. Prefill lives on it.

use crate::format::Format;
use crate::gpu::kernel::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Case, Kernel, Knobs, Recording, Slice};

use super::STEP;
use super::linear::{self, Params};
use super::matrix::Matrix;

/// The kernel; it shares parameters, bindings and reference with `linear`.
pub static KERNEL: Kernel = Kernel {
    name: "linear_tiled",
    source: include_str!("../../shaders/kernels/linear_tiled.wgsl"),
    parts: &[STEP, TILE],
    bindings: linear::BINDINGS,
    params: Params::FIELDS,
    reference: linear::reference,
    cases,
};

/// From this many tokens on, tiles pay.
pub const MIN_TOKENS: u32 = 8;

/// Rows of a tile.
pub(super) const ROWS: u32 = 8;
/// Tokens of a tile, or entries of an expert's list.
pub(super) const TOKENS: u32 = 4;

/// A tile of rows in registers, for every tiled kernel.
pub(super) const TILE: &str = include_str!("../../shaders/lib/tile.wgsl");

pub(super) fn record(
    recording: &mut Recording,
    name: &'static str,
    w: &Matrix,
    params: &Params,
    bindings: &[Slice],
    cost: Cost,
) {
    let workgroup = recording.knobs.single_workgroup.max(32);
    let spec = Spec::default().constant("WORKGROUP", workgroup);
    let n_threads = u64::from(w.n_rows.div_ceil(ROWS)) * u64::from(params.max_tokens.div_ceil(TOKENS));
    let n_workgroups = n_threads.div_ceil(u64::from(workgroup));
    recording.push(name, &KERNEL, w.decode_with(spec), n_workgroups, params, bindings, cost);
}

fn cases(knobs: &Knobs) -> Vec<Case> {
    let mut cases: Vec<Case> =
        Format::WEIGHTS.iter().map(|format| linear::case(knobs, *format, 9, 256, 13, 11, 0, 0)).collect();
    cases.push(linear::case(knobs, Format::F32, 3, 36, 8, 1, 0, 0));
    cases.push(linear::case(knobs, Format::Q8_0, 16, 64, 17, 17, 19, 8));
    cases
}
