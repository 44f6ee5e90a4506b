//! `probe_dot`: chains of dot products of four packed 8-bit integers, with nothing else to do.

use crate::gpu::lower;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `probe_dot`; the WGSL says what each is.
    pub struct Params {
        /// Rounds of 8 steps.
        pub n_rounds: u32,
        /// Invocations.
        pub n_threads: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "probe_dot",
    variants: &[Variant::only("probe_dot", shader_text!("../../shaders/kernels/probe_dot.wgsl"), &[], lower::THREADS)],
    bindings: &[("x", Access::Read), ("y", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Independent chains of an invocation.
const CHAINS: usize = 8;
/// Steps of a chain in a round.
const STEPS: u32 = 8;
/// Multiplications and additions of a step: four of each.
const OPS: u64 = 8;

/// What `x` should hold: eight starts, the factor's four bytes, the addend.
pub const X: [u32; 10] = [
    0x0102_0304,
    0x8070_6050,
    0xffff_0001,
    0x7f80_7f80,
    0x1234_5678,
    0x89ab_cdef,
    0xdead_beef,
    0x0bad_cafe,
    0x55c1_a33d,
    0x0001_e240,
];

/// Appends a dispatch: `x` holds 10 words, see [`X`]; `y` takes one of each thread.
pub fn record_probe_dot(recording: &mut Recording, x: Slice, y: Slice, n_rounds: u32, n_threads: u32) {
    let ops = u64::from(n_threads) * u64::from(n_rounds) * u64::from(STEPS) * CHAINS as u64 * OPS;
    let cost = Cost { bytes: u64::from(n_threads) * 4, ops };
    let params = Params { n_rounds, n_threads };
    recording.push("probe_dot", &OP, Spec::default().with_packed_dot(), n_threads.into(), &params, &[x, y], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let x = call.inputs[0];
    let [y] = call.outputs::<u32, 1>();
    let (factor, addend) = (x[CHAINS], x[CHAINS + 1]);
    for thread in 0..p.n_threads {
        let chain = |start: &u32| {
            let n_steps = p.n_rounds * STEPS;
            (0..n_steps).fold(start.wrapping_add(thread), |v, _| dot_packed(v, factor).wrapping_add(addend))
        };
        y[thread as usize] = x[..CHAINS].iter().map(chain).fold(0, u32::wrapping_add);
    }
}

/// `Σ a·b` over the four signed bytes of each word.
fn dot_packed(a: u32, b: u32) -> u32 {
    let products = a.to_le_bytes().into_iter().zip(b.to_le_bytes()).map(|(a, b)| {
        let [a, b] = [a, b].map(|byte| i32::from(byte.cast_signed()));
        a * b
    });
    products.sum::<i32>().cast_unsigned()
}

/// None where the language has no such products.
fn cases() -> Vec<Case> {
    [(1, 67), (5, 3)].map(|(n_rounds, n_threads)| case(n_rounds, n_threads)).into()
}

fn case(n_rounds: u32, n_threads: u32) -> Case {
    let mut case = CaseBuilder::new(format!("{n_rounds} rounds by {n_threads} threads"));
    let x = case.input("x", &X);
    let y = case.output("y", n_threads as usize, 0.0);
    record_probe_dot(&mut case.recording, x, y, n_rounds, n_threads);
    case.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_signed() {
        assert_eq!(dot_packed(0x0102_0304, 0x0101_0101), 10);
        assert_eq!(dot_packed(0xff80_7f01, 0x0180_ff02).cast_signed(), -1 + 128 * 128 - 127 + 2);
    }
}
