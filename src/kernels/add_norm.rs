//! `add_norm`: a sub-layer's outputs join the residual stream, and the next sub-layer's input is normed. A fusion of `add`
//! and `norm_rows`.

use crate::gpu::fuse::Rule;
use crate::gpu::lower;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Stage, Variant};

use super::case::CaseBuilder;
use super::{FINISH_PLAIN, STEP, add, norm_rows};

crate::params! {
    /// Parameters of `add_norm`; the WGSL says what each is.
    pub struct Params {
        /// Vectors of 4 in the stream.
        pub n_quads: u32,
        /// Outputs of a token.
        pub n_slots: u32,
        /// Added to the mean square.
        pub eps: f32,
        /// Tokens to compute at most.
        pub max_tokens: u32,
    }
}

pub(super) const SOURCE: &str = shader_text!("../../shaders/kernels/add_norm.wgsl");

/// The kernel.
pub static OP: Op = Op {
    name: "add_norm",
    variants: &[Variant::only("add_norm", SOURCE, &[STEP, FINISH_PLAIN], lower::VECTOR)],
    bindings: &[
        ("step", Access::Read),
        ("stream", Access::Read),
        ("outputs", Access::Read),
        ("bias", Access::Read),
        ("norm", Access::Read),
        ("next", Access::Write),
        ("x", Access::Write),
    ],
    params: Params::FIELDS,
    reference,
    cases: || RULE.fused_cases(),
};

/// Takes `add` and the norm of what it wrote.
pub static RULE: Rule = Rule { parts: &["add", "norm_rows"], fuse, writers: &[], cases: part_cases };

fn fuse(parts: &[Stage]) -> Option<Stage> {
    let [add, norm] = parts else { return None };
    let (a, n): (add::Params, norm_rows::Params) = (add.params(), norm.params());
    let [step, stream, outputs, bias, next] = add.bindings[..] else { return None };
    let [_, values, weights, x] = norm.bindings[..] else { return None };
    let p = Params { n_quads: a.n_quads, n_slots: a.n_slots, eps: n.eps, max_tokens: a.max_tokens };
    let fits = values == next && bytemuck::bytes_of(&p.norm()) == norm.params;
    fits.then(|| Stage {
        op: &OP,
        spec: add.spec.clone(),
        params: bytemuck::bytes_of(&p).to_vec(),
        bindings: vec![step, stream, outputs, bias, weights, next, x],
        cost: Cost { bytes: add.cost.bytes + norm.cost.bytes, ops: add.cost.ops + norm.cost.ops },
        ..norm.clone()
    })
}

impl Params {
    fn add(&self) -> add::Params {
        add::Params { n_quads: self.n_quads, n_slots: self.n_slots, max_tokens: self.max_tokens }
    }

    fn norm(&self) -> norm_rows::Params {
        norm_rows::Params {
            n_quads: self.n_quads,
            stride: self.n_quads,
            ring: 0,
            last_only: 0,
            eps: self.eps,
            max_tokens: self.max_tokens,
        }
    }
}

/// Its parts' references, one after the other.
fn reference(call: &mut Call<'_>) {
    let p: Params = call.params();
    let [step, stream, outputs, bias, norm] = call.inputs[..] else { unreachable!("five inputs") };
    let [next, x] = &mut call.outputs[..] else { unreachable!("two outputs") };
    let spec = call.spec;
    (add::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.add()),
        spec,
        inputs: vec![step, stream, outputs, bias],
        outputs: vec![&mut **next],
        sample: None,
    });
    (norm_rows::OP.reference)(&mut Call {
        params: bytemuck::bytes_of(&p.norm()),
        spec,
        inputs: vec![step, &**next, norm],
        outputs: vec![&mut **x],
        sample: None,
    });
}

fn part_cases() -> Vec<Case> {
    [(36, 1, true, 5, 4), (256, 1, false, 3, 2), (4, 3, false, 1, 1), (36, 2, true, 5, 4)]
        .map(|(n_embd, n_slots, has_bias, max_tokens, n_tokens)| {
            let name = format!("width {n_embd}, {n_slots} slots, bias {has_bias}, {n_tokens} of {max_tokens}");
            let mut case = CaseBuilder::new(name);
            let flow = add::flow(&mut case, n_embd, n_slots, has_bias, [max_tokens, n_tokens]);
            add::record_add(&mut case.recording, "add", &flow);
            let norm = norm_rows::Flow {
                step: flow.step,
                values: flow.next,
                ring: None,
                norm: case.random_input("norm", n_embd as usize),
                x: case.output("x", (max_tokens * n_embd) as usize, 1e-4),
                width: n_embd,
                last_only: false,
                eps: 1e-6,
                max_tokens,
            };
            norm_rows::record_norm_rows(&mut case.recording, "attn_norm", &norm);
            case.finish()
        })
        .into()
}
