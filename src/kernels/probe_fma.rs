//! `probe_fma`: chains of multiply-adds in f32 or f16, with nothing else to do. How fast an adapter calculates at best.

use half::f16;

use crate::gpu::lower;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Recording, Slice, Variant};

use super::case::CaseBuilder;

crate::params! {
    /// Parameters of `probe_fma`; the WGSL says what each is.
    pub struct Params {
        /// Rounds of 16 steps.
        pub n_rounds: u32,
        /// Invocations.
        pub n_threads: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "probe_fma",
    variants: &[Variant::only("probe_fma", shader_text!("../../shaders/kernels/probe_fma.wgsl"), &[], lower::THREADS)],
    bindings: &[("x", Access::Read), ("y", Access::Write)],
    params: Params::FIELDS,
    reference,
    cases,
};

const FLOAT_F32: &str = shader_text!("../../shaders/lib/float_f32.wgsl");
const FLOAT_F16: &str = shader_text!("../../shaders/lib/float_f16.wgsl");

/// Independent chains of an invocation.
const CHAINS: usize = 8;
/// Steps of a chain in a round.
const STEPS: u32 = 16;

/// What `x` should hold: eight starts, the factor, the addend. Small numbers that f16 has exactly.
pub const X: [f32; 10] = [1.0, -1.0, 0.5, -0.5, 0.75, -0.25, 2.0, -2.0, 0.875, 0.1875];

/// The type that is multiplied and added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// 32 bits, on every adapter.
    F32,
    /// 16 bits, where the adapter has them.
    F16,
}

/// What a dispatch of [`OP`] does.
#[derive(Clone, Copy, Debug)]
pub struct Chains {
    /// In which type.
    pub float: Float,
    /// Rounds of 16 steps.
    pub n_rounds: u32,
    /// Invocations, each with eight chains.
    pub n_threads: u32,
    /// Makes the text another one, below 2^24.
    pub salt: u32,
}

/// Appends a dispatch: `x` holds 10 values, see [`X`]; `y` takes one of each thread.
pub fn record_probe_fma(recording: &mut Recording, x: Slice, y: Slice, chains: Chains) {
    let Chains { float, n_rounds, n_threads, salt } = chains;
    let spec = Spec::default();
    let spec = match float {
        Float::F32 => spec.constant("FLOAT_BYTES", 4).part(FLOAT_F32),
        Float::F16 => spec.constant("FLOAT_BYTES", 2).part(FLOAT_F16).with_f16(),
    };
    let spec = spec.constant("SALT", salt);
    let ops = u64::from(n_threads) * u64::from(n_rounds) * u64::from(STEPS) * CHAINS as u64 * 2;
    let params = Params { n_rounds, n_threads };
    let cost = Cost { bytes: u64::from(n_threads) * 4, ops };
    recording.push("probe_fma", &OP, spec, n_threads.into(), &params, &[x, y], cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let rounded = call.constant("FLOAT_BYTES") == 2;
    let float = |v: f32| if rounded { f16::from_f32(v).to_f32() } else { v };
    let salt = call.constant("SALT") as f32 / 16_777_216.0;
    let x = call.input::<f32>(0);
    let [y] = call.outputs::<f32, 1>();
    let (factor, addend) = (float(x[CHAINS]), float(x[CHAINS + 1]));
    for thread in 0..p.n_threads {
        let shift = (thread % 64) as f32 / 64.0 + salt;
        let chain = |start: &f32| {
            let n_steps = p.n_rounds * STEPS;
            (0..n_steps).fold(float(start + shift), |v, _| float(v * factor + addend))
        };
        y[thread as usize] = x[..CHAINS].iter().map(chain).sum();
    }
}

fn cases() -> Vec<Case> {
    [Float::F32, Float::F16]
        .into_iter()
        .flat_map(|float| [case(float, 1, 67, 0), case(float, 5, 3, 9_999_991)])
        .collect()
}

fn case(float: Float, n_rounds: u32, n_threads: u32, salt: u32) -> Case {
    let name = format!("{float:?}, {n_rounds} rounds by {n_threads} threads, salt {salt}");
    let mut case = CaseBuilder::new(name);
    let x = case.input("x", &X);
    // Chains come to 1.5. A step of f16 is off by 2^-11 of that, and a factor of 7/8 lets eight of those add up.
    let y = case.output("y", n_threads as usize, if float == Float::F16 { 5e-3 } else { 1e-5 });
    record_probe_fma(&mut case.recording, x, y, Chains { float, n_rounds, n_threads, salt });
    case.finish()
}
