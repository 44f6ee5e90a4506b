//! `fixed_point`: activations in fixed point of 16 or 8 bits, for kernels that multiply by packed dot products. A helper of theirs.

use bytemuck::Pod;

use crate::gpu::lower::{self, Lowered};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::matrix::{shader_of, stage_format};
use super::{STEP, finish_fixed};

crate::params! {
    /// Parameters of `fixed_point`; the WGSL says what each is.
    pub struct Params {
        /// Blocks of 32 values in a row.
        pub n_blocks: u32,
        /// Vectors of 4 from token to token in x.
        pub x_stride: u32,
        /// Rows of a token.
        pub n_rows: u32,
        /// Vectors of 4 from row to row in x.
        pub row_stride: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "fixed_point",
    variants: &[Variant::only(
        "fixed_point",
        shader_text!("../../shaders/kernels/fixed_point.wgsl"),
        &[STEP, BLOCK],
        lower::THREADS,
    )],
    bindings: &[("step", Access::Read), ("x", Access::Read), ("fixed", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// The constant that is the number of planes of bytes.
pub(super) const PLANES: &str = "PLANES";

/// Planes of 16-bit fixed point, and of 8-bit.
pub(super) const FIXED: u32 = 2;
pub(super) const INT8: u32 = 1;

/// Vectors of 4 words in a block of so many planes.
pub(super) const fn quads(planes: u32) -> u32 {
    2 * planes + 1
}

impl Params {
    /// Bytes of the result in so many planes.
    #[must_use]
    pub fn bytes(&self, planes: u32) -> u64 {
        self.n_results() * u64::from(quads(planes)) * 16
    }

    fn n_results(&self) -> u64 {
        u64::from(self.max_tokens) * u64::from(self.n_rows) * u64::from(self.n_blocks)
    }
}

/// Appends the change of form: `x` `[max_tokens, n_rows, 32 n_blocks]`, f32, with what strides leave out; `fixed`
/// `[max_tokens, n_rows, n_blocks, 8 planes + 4]`, words.
pub fn record_fixed_point(recording: &mut Recording, [step, x, fixed]: [Slice; 3], planes: u32, params: &Params) {
    let n = params.n_results();
    let cost = Cost { bytes: n * 128 + params.bytes(planes), ops: n * 64 };
    let spec = Spec::default().constant(PLANES, planes);
    recording.push("fixed_point", &OP, spec, n, params, &[step, x, fixed], cost);
}

/// The change of a block, for the texts of kernels.
pub(super) const BLOCK: &str = shader_text!("../../shaders/lib/fixed_block.wgsl");

/// Products of codes and activations of this form, for the texts of variants.
pub(super) const DOTS: &str = shader_text!("../../shaders/lib/fixed_dots.wgsl");

/// Whether a stage's weights come as codes of 8 bits, and its rows of so many in whole blocks.
pub(super) fn suits(stage: &Stage, n_in: u32) -> bool {
    n_in.is_multiple_of(32) && stage_format(stage).is_some_and(|format| !shader_of(format).words.is_empty())
}

/// A dispatch of a stage that binds the step first and its activations second: with these in so many planes of fixed point, which
/// a helper makes of them, and with parameters by which it reads them so.
pub(super) fn lowered(stage: &Stage, shape: (Spec, u64), (planes, form): (u32, &Params), params: &impl Pod) -> Lowered {
    let fixed = Slice::scratch(0, form.bytes(planes));
    let mut helpers = Recording::default();
    record_fixed_point(&mut helpers, [stage.bindings[0], stage.bindings[1], fixed], planes, form);
    Lowered { joins: finish_fixed::RULES, ..reading(stage, shape, planes, (1, fixed), helpers, params) }
}

/// A dispatch of a stage that reads its activations in so many planes of fixed point: at one of its bindings, what a helper leaves in
/// scratch.
pub(super) fn reading(
    stage: &Stage,
    (spec, n_workgroups): (Spec, u64),
    planes: u32,
    (at, fixed): (usize, Slice),
    helpers: Recording,
    params: &impl Pod,
) -> Lowered {
    let words = stage_format(stage).map_or(&[][..], |format| shader_of(format).words);
    let spec = spec.with_packed_dot().constant(PLANES, planes);
    let mut bindings = stage.bindings.clone();
    bindings[at] = fixed;
    Lowered {
        spec: words.iter().fold(spec, |spec, text| spec.part(text)),
        n_workgroups,
        params: Some(bytemuck::bytes_of(params).to_vec()),
        bindings: Some(bindings),
        scratch: vec![fixed.bytes],
        before: helpers.stages,
        ..Lowered::default()
    }
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let x: &[f32] = call.input(1);
    let (tokens, planes) = (call.tokens(step.n_tokens.min(p.max_tokens)), call.constant(PLANES));
    let [fixed] = call.outputs::<u32, 1>();
    for token in tokens {
        for row in 0..p.n_rows {
            let x_at = 4 * (token * p.x_stride + row * p.row_stride) as usize;
            let n_words = 4 * quads(planes) as usize;
            let to = ((token * p.n_rows + row) * p.n_blocks) as usize * n_words;
            let blocks = x[x_at..].as_chunks().0.iter().zip(fixed[to..].chunks_exact_mut(n_words));
            blocks.take(p.n_blocks as usize).for_each(|(x, fixed)| fixed.copy_from_slice(&block(x, planes)));
        }
    }
}

/// A block of the result.
pub(super) fn block(x: &[f32; 32], planes: u32) -> Vec<u32> {
    let mut fixed = vec![0; 4 * quads(planes) as usize];
    let (head, places) = (8 * planes as usize, 8 * planes as i32 - 2);
    // Bits without a sign grow with the value, and those of what is no number are the greatest.
    let greatest = f32::from_bits(x.iter().map(|v| v.abs().to_bits()).max().unwrap_or(0));
    if !greatest.is_finite() {
        fixed[head] = greatest.to_bits();
        return fixed;
    }
    // The exponent of the unit: 127, or 127 · 256, of it are no less than the greatest.
    let bits = greatest.to_bits();
    let exponent = (bits >> 23) as i32 - 127 - places + i32::from(bits & 0x007f_ffff > 0x007e_0000);
    if exponent <= -127 {
        return fixed;
    }
    let values = x.map(|v| (f64::from(v) * 2f64.powi(-exponent)).round_ties_even() as i32);
    for (half, values) in values.as_chunks::<16>().0.iter().enumerate() {
        for (j, four) in values.as_chunks::<4>().0.iter().enumerate() {
            let word = |bytes: [i32; 4]| u32::from_le_bytes(bytes.map(|byte| byte as u8));
            if planes == INT8 {
                fixed[2 * j + half] = word(*four);
                continue;
            }
            let high = four.map(|v| (v + 128) >> 8);
            fixed[4 * j + half] = word(high);
            fixed[4 * j + 2 + half] = word([0, 1, 2, 3].map(|i| four[i] - 256 * high[i]));
        }
        fixed[head + 1 + half] = values.iter().sum::<i32>().cast_unsigned();
    }
    fixed[head] = ((exponent + 127) as u32) << 23;
    fixed
}

fn cases() -> Vec<Case> {
    [FIXED, INT8]
        .into_iter()
        .flat_map(|planes| [case([3, 1, 0], planes, 1, 1), case([2, 3, 5], planes, 4, 3)])
        .collect()
}

/// Blocks of a row, rows of a token, and vectors that are left out after each row.
fn case([n_blocks, n_rows, gap]: [u32; 3], planes: u32, max_tokens: u32, n_tokens: u32) -> Case {
    let mut case = CaseBuilder::new(format!(
        "{n_tokens} of {max_tokens} tokens, {n_rows} rows of {n_blocks} blocks, {gap} apart, {planes} planes"
    ));
    let row_stride = n_blocks * 8 + gap;
    let params = Params { n_blocks, x_stride: n_rows * row_stride + 1, n_rows, row_stride, max_tokens };
    let mut values = case.random_values((max_tokens * params.x_stride * 4) as usize);
    // Of all sizes; a block of zeros, one of which all is too small to count, and halves, which are rounded to even.
    values.iter_mut().enumerate().for_each(|(i, v)| *v *= 2f32.powi((i / 32 * 7 % 60) as i32 - 30));
    values[..32].fill(0.0);
    values[40] = 32512.0;
    values[41..44].copy_from_slice(&[0.5, 1.5, -2.5]);
    values[64..96].fill(1e-35);
    let step = case.step(3, n_tokens);
    let x = case.input("x", &values);
    let fixed = case.output("fixed", (params.bytes(planes) / 4) as usize, 0.0);
    record_fixed_point(&mut case.recording, [step, x, fixed], planes, &params);
    case.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that a block stands for.
    fn values(fixed: &[u32], planes: u32) -> [f32; 32] {
        let byte = |word: usize, at: usize| i32::from(fixed[word].to_le_bytes()[at].cast_signed());
        let unit = f32::from_bits(fixed[8 * planes as usize]);
        std::array::from_fn(|i| {
            let (half, j, at) = (i / 16, i % 16 / 4, i % 4);
            let value = match planes {
                INT8 => byte(2 * j + half, at),
                _ => 256 * byte(4 * j + half, at) + byte(4 * j + 2 + half, at),
            };
            value as f32 * unit
        })
    }

    #[test]
    fn a_block_is_off_by_half_a_unit_at_most() {
        for (planes, most) in [(FIXED, 32512.0), (INT8, 127.0)] {
            for greatest in [1.0f32, 1.98, 1.984_375, 1.9844, 3.0, 1e-30, 1e37, 65504.0] {
                let x: [f32; 32] = std::array::from_fn(|i| greatest * (1.0 - i as f32 / 16.0));
                let fixed = block(&x, planes);
                let half = f32::from_bits(fixed[8 * planes as usize]) / 2.0;
                assert!(half <= greatest / most, "{greatest}: a unit of {}", 2.0 * half);
                for (x, v) in x.iter().zip(values(&fixed, planes)) {
                    assert!((x - v).abs() <= half, "{x} became {v}, half a unit is {half}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for planes in [FIXED, INT8] {
            for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = [1.0; 32];
                x[5] = wrong;
                assert!(!f32::from_bits(block(&x, planes)[8 * planes as usize]).is_finite());
            }
            assert!(block(&[0.0; 32], planes).iter().all(|word| *word == 0));
        }
    }
}
