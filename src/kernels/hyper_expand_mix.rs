//! `hyper_expand_mix`: a sub-layer's output goes back into the residual streams, and the mixing matrix of the next one is
//! multiplied by them. A fusion of `hyper_expand` and `hyper_mix`, for a few tokens.

use crate::format::Format;
use crate::gpu::fuse::Rule;
use crate::gpu::lower::{Lowered, Way};
use crate::gpu::recording::Cost;
use crate::gpu::space;
use crate::gpu::{Access, Call, Caps, Case, Config, Op, Stage, Variant};

use super::case::CaseBuilder;
use super::hyper_collapse::N_COEFFICIENTS;
use super::{N_STREAMS, STEP, hyper_expand, hyper_mix};

crate::params! {
    /// Parameters of `hyper_expand_mix`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in a stream.
        pub n_quads: u32,
        /// Outputs to add up for a token.
        pub n_slots: u32,
        /// Rows of the matrix.
        pub n_rows: u32,
        /// Blocks of 32 weights in a row.
        pub n_blocks: u32,
        /// Parts of the mix.
        pub n_parts: u32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

/// The kernel.
pub static OP: Op = Op {
    name: "hyper_expand_mix",
    variants: &[Variant::only(
        "hyper_expand_mix",
        shader_text!("../../shaders/kernels/hyper_expand_mix.wgsl"),
        &[STEP],
        Way { lower, space: space::rows_of_weights },
    )],
    bindings: &[
        ("step", Access::Read),
        ("streams", Access::Read),
        ("coefficients", Access::Read),
        ("outputs", Access::Read),
        ("quants", Access::Read),
        ("next", Access::Write),
        ("mix", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// Takes `hyper_expand` and the mix of what it wrote.
pub static RULE: Rule = Rule { parts: &["hyper_expand", "hyper_mix"], fuse, writers: &[], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [expand, mix] = parts else { return None };
    let (e, m): (hyper_expand::Params, hyper_mix::Params) = (expand.params(), mix.params());
    let [step, streams, coefficients, outputs, next] = expand.bindings[..] else { return None };
    let [_, x, quants, y] = mix.bindings[..] else { return None };
    let p = Params {
        n_quads: e.n_quads,
        n_slots: e.n_slots,
        n_rows: m.n_rows,
        n_blocks: m.n_blocks,
        n_parts: m.n_parts,
        max_tokens: e.max_tokens,
    };
    let fits = x == next && bytemuck::bytes_of(&p.mix()) == mix.params;
    let x_bytes = 64 * u64::from(p.max_tokens) * u64::from(p.n_quads);
    fits.then(|| Stage {
        name: OP.name,
        op: &OP,
        spec: mix.spec.clone(),
        params: bytemuck::bytes_of(&p).to_vec(),
        bindings: vec![step, streams, coefficients, outputs, quants, next, y],
        n_results: mix.n_results,
        cost: Cost {
            bytes: expand.cost.bytes + mix.cost.bytes.saturating_sub(x_bytes),
            ops: expand.cost.ops + mix.cost.ops,
        },
        ..expand.clone()
    })
}

impl Params {
    fn expand(&self) -> hyper_expand::Params {
        hyper_expand::Params { n_quads: self.n_quads, n_slots: self.n_slots, max_tokens: self.max_tokens }
    }

    fn mix(&self) -> hyper_mix::Params {
        hyper_mix::Params {
            n_quads: self.n_quads,
            n_rows: self.n_rows,
            n_blocks: self.n_blocks,
            n_parts: self.n_parts,
            max_tokens: self.max_tokens,
        }
    }
}

fn lower(stage: &Stage, caps: &Caps, config: &Config) -> Lowered {
    let p: Params = stage.params();
    hyper_mix::sharing([p.max_tokens, p.n_parts, p.n_rows], caps, config)
}

/// Its parts' references, one after the other.
fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let [step, streams, coefficients, outputs, quants] = call.inputs[..] else { unreachable!("five inputs") };
    let [next, mix] = &mut call.outputs[..] else { unreachable!("two outputs") };
    let spec = call.spec;
    (hyper_expand::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.expand()),
        spec,
        inputs: vec![step, streams, coefficients, outputs],
        outputs: vec![&mut **next],
        sample: None,
    });
    (hyper_mix::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.mix()),
        spec,
        inputs: vec![step, &**next, quants],
        outputs: vec![&mut **mix],
        sample: None,
    });
}

fn part_cases() -> Vec<Case> {
    vec![
        case(Format::F32, 24, [40, 7, 1, 1]),
        case(Format::BF16, 24, [64, 1, 5, 3]),
        case(Format::F16, 4, [12, 3, 2, 2]),
        case(Format::F32, 5, [132, 1, 3, 3]),
    ]
}

/// `sizes` are the width, slots, the capacity and tokens.
fn case(format: Format, n_rows: u32, sizes: [u32; 4]) -> Case {
    let [n_embd, n_slots, max_tokens, n_tokens] = sizes;
    let mut case = CaseBuilder::new(format!("{format}, {n_rows} rows, [width, slots, of, tokens] {sizes:?}"));
    let w = case.matrix("w", format, n_rows as usize, (N_STREAMS * n_embd) as usize);
    let step = case.step(4, n_tokens);
    let values = max_tokens * n_embd;
    let flow = hyper_expand::Flow {
        step,
        streams: case.random_input("streams", (values * N_STREAMS) as usize),
        coefficients: case.random_input("coefficients", (max_tokens * N_COEFFICIENTS) as usize),
        outputs: case.random_input("outputs", (values * n_slots) as usize),
        n_slots,
        next: case.output("next", (values * N_STREAMS) as usize, 1e-4),
        n_embd,
        max_tokens,
    };
    hyper_expand::record_hyper_expand(&mut case.recording, &flow);
    let n_mix = hyper_mix::n_mix(max_tokens) as usize;
    let mix = case.output("mix", n_mix, 1e-4);
    let mix = hyper_mix::Flow { step, streams: flow.next, mix, n_rows, n_embd, max_tokens };
    hyper_mix::record_parts(&mut case.recording, "hyper_mix", &w, &mix);
    case.finish()
}
