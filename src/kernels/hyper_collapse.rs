//! `hyper_collapse`: the four residual streams become one normed sub-layer input, and the coefficients of the way back.

use crate::gpu::lower::{self, Lowered, Way};
use crate::gpu::op::{Spec, Step};
use crate::gpu::recording::Cost;
use crate::gpu::space;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Recording, Reduce, Slice, Stage, Variant};

use super::case::CaseBuilder;
use super::mix_sums::{MIX_PART, MIX_SUMS, case_mix, mix_sums, n_mixed};
use super::{N_STREAMS, STEP, sigmoid};

crate::params! {
    /// Parameters of `hyper_collapse`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in a stream.
        pub n_quads: u32,
        /// Parts of the mix; 0 where it is whole.
        pub n_parts: u32,
        /// Column normalisations.
        pub sinkhorn_iterations: u32,
        /// Added to mean squares.
        pub norm_eps: f32,
        /// Added to `pre` and to Sinkhorn's sums.
        pub hyper_eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "hyper_collapse",
    variants: &[
        Variant::only("hyper_collapse", TEXT, &[STEP, MIX_PART, MIX_SUMS, COEFFICIENTS, KEPT_IN_X], lower::VECTOR),
        // With 128 lanes a row of 4,096 is read in 32 turns that wait for each other as they come, twice: some 17 µs on an H100.
        Variant {
            entry: "hyper_collapse",
            waits: true,
            allows: |stage| stage.params::<Params>().n_quads <= MOST_LANES * MOST_TURNS,
            ..Variant::only(
                "hyper_collapse_kept",
                TEXT,
                &[STEP, MIX_PART, MIX_SUMS, COEFFICIENTS, KEPT_IN_REGISTERS],
                Way { lower: lower_kept, space: space::vector },
            )
        },
    ],
    bindings: &[
        ("step", Access::Read),
        ("streams", Access::Read),
        ("mix", Access::Read),
        ("affine", Access::Read),
        ("coefficients", Access::Write),
        ("x", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases,
};

const TEXT: &str = shader_text!("../../shaders/kernels/hyper_collapse.wgsl");
/// The coefficients of a mix.
pub(super) const COEFFICIENTS: &str = shader_text!("../../shaders/lib/hyper_coefficients.wgsl");
const KEPT_IN_X: &str = shader_text!("../../shaders/lib/kept_in_x.wgsl");
const KEPT_IN_REGISTERS: &str = shader_text!("../../shaders/lib/kept_in_registers.wgsl");

/// Vectors of 4 that an invocation keeps in registers at most, and invocations for it at most.
const MOST_TURNS: u32 = 8;
const MOST_LANES: u32 = 256;

fn lower_kept(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    let needed = p.n_quads.div_ceil(MOST_TURNS).next_power_of_two();
    // A lane alone would keep a whole row.
    let reduce = if config.reduce == Reduce::Thread { Reduce::Workgroup } else { config.reduce };
    let config = Config { reduce, ..*config };
    let lanes = config.vector_lanes.max(needed).min(MOST_LANES);
    let (spec, _) = config.sharing(caps, lanes);
    (spec.constant("TURNS", p.n_quads.div_ceil(lanes)), u64::from(p.max_tokens)).into()
}

/// Coefficients of a token: `pre` (4), `post` (4), `comb` (4 x 4, row by row).
pub const N_COEFFICIENTS: u32 = 24;

/// What `hyper_collapse` reads and writes; all in f32.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The step buffer.
    pub step: Slice,
    /// Residual streams `[max_tokens, 4, n_embd]`.
    pub streams: Slice,
    /// The mixing matrix times the flattened streams, not yet divided by their root mean square, `[max_tokens, 24]`; or parts
    /// of it to be added up, each with the squares of the streams behind it, `[max_tokens, n_parts, 28]`.
    pub mix: Slice,
    /// Parts of the mix, 0 where it is whole, as [`record_hyper_mix`](super::hyper_mix::record_hyper_mix) tells.
    pub n_parts: u32,
    /// Weights of the sub-layer's norm, `[n_embd]`, then what is added to the scaled mix, `[24]`, and then its scales: `[3]`. One
    /// buffer, since a fusion with what follows needs as many as most adapters have.
    pub affine: Slice,
    /// Output `[max_tokens, 24]`.
    pub coefficients: Slice,
    /// Output `[max_tokens, n_embd]`: the sub-layer's normed input.
    pub x: Slice,
    /// Width of a stream, a multiple of 4.
    pub n_embd: u32,
    /// Iterations of Sinkhorn, the first column normalisation included.
    pub sinkhorn_iterations: u32,
    /// Added to mean squares.
    pub norm_eps: f32,
    /// Added to `pre` and to Sinkhorn's sums.
    pub hyper_eps: f32,
    /// Tokens to compute at most.
    pub max_tokens: u32,
}

/// Appends the collapse of the streams before a sub-layer.
///
/// # Panics
/// When the width is no multiple of 4: shapes are checked before they come here.
pub fn record_hyper_collapse(recording: &mut Recording, flow: &Flow) {
    assert!(flow.n_embd.is_multiple_of(4), "hyper_collapse: the width is a multiple of 4");
    let params = Params {
        n_quads: flow.n_embd / 4,
        n_parts: flow.n_parts,
        sinkhorn_iterations: flow.sinkhorn_iterations,
        norm_eps: flow.norm_eps,
        hyper_eps: flow.hyper_eps,
        max_tokens: flow.max_tokens,
    };
    let (tokens, width) = (u64::from(flow.max_tokens), u64::from(flow.n_embd));
    let coefficients = u64::from(N_COEFFICIENTS + n_mixed(N_COEFFICIENTS, flow.n_parts));
    let cost = Cost { bytes: tokens * 4 * (5 * width + coefficients) + width * 4, ops: tokens * 20 * width };
    let bindings = [flow.step, flow.streams, flow.mix, flow.affine, flow.coefficients, flow.x];
    recording.push("hyper_collapse", &OP, Spec::default(), tokens, &params, &bindings, cost);
}

fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let step = call.input::<Step>(0)[0];
    let (streams, mix) = (call.input::<f32>(1), call.input::<f32>(2));
    let n_embd = p.n_quads as usize * 4;
    let (norm, affine) = call.input::<f32>(3).split_at(n_embd);
    let (base, scale) = affine.split_at(24);
    let [coefficients, x] = call.outputs::<f32, 2>();
    for token in 0..step.n_tokens.min(p.max_tokens) as usize {
        let streams = &streams[token * 4 * n_embd..][..4 * n_embd];
        let (mix, mean_square) = mix_sums::<24>(mix, p.n_parts, token, streams);
        let rho = 1.0 / (mean_square + p.norm_eps).sqrt();
        let of = |i: usize| rho * mix[i] * scale[(i / 4).min(2)] + base[i];
        let out = &mut coefficients[token * 24..][..24];
        for i in 0..4 {
            out[i] = sigmoid(of(i)) + p.hyper_eps;
            out[4 + i] = 2.0 * sigmoid(of(4 + i));
        }
        let mix = std::array::from_fn(|j| std::array::from_fn(|k| of(8 + 4 * j + k)));
        let comb = sinkhorn(mix, p.sinkhorn_iterations, p.hyper_eps);
        out[8..].copy_from_slice(comb.as_flattened());
        super::head_collapse::collapse(streams, &out[..4], norm, p.norm_eps, &mut x[token * n_embd..][..n_embd]);
    }
}

fn sinkhorn(mut c: [[f32; 4]; 4], iterations: u32, eps: f32) -> [[f32; 4]; 4] {
    for row in &mut c {
        let greatest = row.iter().copied().fold(f32::MIN, f32::max);
        let exps = row.map(|v| (v - greatest).exp());
        let sum: f32 = exps.iter().sum();
        *row = exps.map(|e| e / sum + eps);
    }
    for iteration in 0..iterations {
        if iteration > 0 {
            for row in &mut c {
                let sum: f32 = row.iter().sum();
                *row = row.map(|v| v / (sum + eps));
            }
        }
        for k in 0..4 {
            let sum: f32 = c.iter().map(|row| row[k]).sum();
            c.iter_mut().for_each(|row| row[k] /= sum + eps);
        }
    }
    c
}

fn cases() -> Vec<Case> {
    // The last is more than an invocation keeps in one turn, and no whole number of turns.
    vec![
        case(36, [3, 2], 0, 20, 1.0),
        case(256, [1, 1], 16, 1, 8.0),
        case(4, [2, 2], 3, 3, 0.01),
        case(1_148, [2, 1], 2, 4, 1.0),
    ]
}

/// `tokens` are the capacity, and how many there are.
fn case(n_embd: u32, tokens: [u32; 2], n_parts: u32, sinkhorn_iterations: u32, spread: f32) -> Case {
    let [max_tokens, n_tokens] = tokens;
    let name = format!(
        "width {n_embd}, {n_tokens} of {max_tokens}, {n_parts} parts, {sinkhorn_iterations} iterations, spread {spread}"
    );
    let mut case = CaseBuilder::new(name);
    let step = case.step(5, n_tokens);
    let flow = case_flow(&mut case, step, [n_embd, n_parts, sinkhorn_iterations, max_tokens], spread);
    record_hyper_collapse(&mut case.recording, &flow);
    case.finish()
}

/// A collapse in cases; `sizes` are the width, parts of the mix, iterations and the capacity.
pub(super) fn case_flow(case: &mut CaseBuilder, step: Slice, sizes: [u32; 4], spread: f32) -> Flow {
    let [n_embd, n_parts, sinkhorn_iterations, max_tokens] = sizes;
    let streams = case.random_input("streams", (max_tokens * N_STREAMS * n_embd) as usize);
    let mix = case_mix(case, [N_COEFFICIENTS, n_parts, max_tokens], n_embd, 3.0 * spread);
    let mut affine = case.random_values((n_embd + N_COEFFICIENTS) as usize);
    affine.extend([0.7, 1.1, 2.0]);
    Flow {
        step,
        streams,
        mix,
        n_parts,
        affine: case.input("affine", &affine),
        coefficients: case.output("coefficients", (max_tokens * N_COEFFICIENTS) as usize, 1e-4),
        x: case.output("x", (max_tokens * n_embd) as usize, 1e-4),
        n_embd,
        sinkhorn_iterations,
        norm_eps: 1e-6,
        hyper_eps: 1e-6,
        max_tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::op::Spec;

    /// A vector worked out in f64 apart from this program, for 24 values from −1.5 to 1.5.
    #[test]
    fn coefficients_are_those_of_the_published_formula() {
        let expected = [
            0.487_503_6,
            0.396_902_3,
            0.216_949_6,
            0.146_031_6,
            0.301_244_1,
            0.686_454,
            1.085_312,
            1.054_072_2,
            0.260_294_9,
            0.179_900_8,
            0.210_715,
            0.349_088_3,
            0.276_651_5,
            0.438_152_9,
            0.220_942_9,
            0.064_251_7,
            0.049_521_9,
            0.145_636_2,
            0.404_490_6,
            0.400_350_4,
            0.413_530_7,
            0.236_309_1,
            0.163_850_5,
            0.186_308_6f32,
        ];
        let params =
            Params { n_quads: 1, n_parts: 0, sinkhorn_iterations: 20, norm_eps: 1e-6, hyper_eps: 1e-6, max_tokens: 1 };
        let step = Step { n_tokens: 1, ..bytemuck::Zeroable::zeroed() };
        let mix: Vec<f32> = (0..24).map(|i| -1.5 + 3.0 * i as f32 / 23.0).collect();
        let base = (0..24).map(|i| (i as f32).cos());
        let affine: Vec<f32> = [1.0; 4].into_iter().chain(base).chain([0.7, 1.1, 2.0]).collect();
        let (mut coefficients, mut x) = ([0f32; 24], [0f32; 4]);
        // Streams of ones have a root mean square of one, so that the mix is taken as it is.
        reference(&mut Call {
            params: bytemuck::bytes_of(&params),
            spec: &Spec::default(),
            inputs: vec![
                bytemuck::cast_slice(&[step]),
                bytemuck::cast_slice(&[1f32; 16]),
                bytemuck::cast_slice(&mix),
                bytemuck::cast_slice(&affine),
            ],
            outputs: vec![bytemuck::cast_slice_mut(&mut coefficients), bytemuck::cast_slice_mut(&mut x)],
            sample: None,
        });
        for (index, (found, expected)) in coefficients.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() < 3e-6, "coefficient {index}: {found}, expected {expected}");
        }
        assert!(x.iter().all(|v| (v - 1.0).abs() < 1e-5), "a constant normed by its own size: {x:?}");
    }
}
