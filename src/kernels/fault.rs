//! `fault`: breaks what a stage wrote, on purpose, so that anyone can see the checks catch it.

use crate::gpu::lower;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `fault`; the WGSL says what each is.
    pub struct Params {
        /// Words in the slice.
        pub n_words: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "fault",
    variants: &[Variant::only("fault", shader_text!("../../shaders/kernels/fault.wgsl"), &[], lower::THREADS)],
    bindings: &[("values", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

/// Appends the fault, under the name of the stage that it breaks: every third word of `values` becomes zero.
pub fn record_fault(recording: &mut Recording, name: &'static str, values: Slice) {
    let n_words = values.bytes / 4;
    let n_zeros = n_words.div_ceil(3);
    let cost = Cost { bytes: 4 * n_zeros, ops: 0 };
    let params = Params { n_words: u32::try_from(n_words).unwrap_or(u32::MAX) };
    recording.push(name, &OP, Spec::default(), n_zeros, &params, &[values], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let [values] = call.outputs::<u32, 1>();
    values[..p.n_words as usize].iter_mut().step_by(3).for_each(|word| *word = 0);
}

fn cases() -> Vec<Case> {
    [1, 100, 257].map(case).into()
}

/// The slice ends before the buffer does, and what lies beyond must stay.
fn case(n_words: u64) -> Case {
    let mut case = CaseBuilder::new(format!("{n_words} words"));
    let values = case.random_input("values", n_words as usize + 5);
    case.also_compare(values, 0.0);
    record_fault(&mut case.recording, "fault", Slice { bytes: 4 * n_words, ..values });
    case.finish()
}
