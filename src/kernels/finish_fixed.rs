//! Kernels that leave their rows in fixed point beside what they write, so that packed products behind them wait for no dispatch
//! that makes this form: `norm_rows`, `add_norm`, `grouped_merge` and `swiglu`, each joined with `fixed_point`. Lowering joins them, where one
//! stands right before the other; a recording has the parts.

use crate::gpu::fuse::Rule;
use crate::gpu::op::Spec;
use crate::gpu::recording::Cost;
use crate::gpu::{Access, Call, Case, Op, Slice, Stage, Variant, lower};

use super::case::CaseBuilder;
use super::{STEP, add, add_norm, fixed_point, grouped_merge, grouped_merge_shared, norm_rows, swiglu};

const FINISH: &str = shader_text!("../../shaders/lib/finish_fixed.wgsl");
const WAIT: &str = shader_text!("../../shaders/lib/wait_workgroup.wgsl");
const WAIT_NONE: &str = shader_text!("../../shaders/lib/wait_none.wgsl");

/// The constant that is the number of the binding of the result in fixed point.
const BINDING: &str = "FIXED_BINDING";

/// `norm_rows`, with its rows in fixed point.
pub static NORM_ROWS: Op = Op {
    name: "norm_rows_fixed",
    variants: &[Variant {
        entry: "norm_rows",
        ..Variant::only("norm_rows_fixed", norm_rows::SOURCE, &[STEP, fixed_point::BLOCK, FINISH], lower::VECTOR)
    }],
    bindings: &[
        ("step", Access::Read),
        ("values", Access::Read),
        ("norm", Access::Read),
        ("x", Access::Write),
        ("fixed", Access::Write),
    ],
    params: norm_rows::Params::FIELDS,
    reference: |call| reference(call, &norm_rows::OP, form_of_norm(&call.params())),
    cases: || OF_NORM.fused_cases(),
};

/// `add_norm`, with the normed rows in fixed point.
pub static ADD_NORM: Op = Op {
    name: "add_norm_fixed",
    variants: &[Variant {
        entry: "add_norm",
        ..Variant::only("add_norm_fixed", add_norm::SOURCE, &[STEP, fixed_point::BLOCK, FINISH], lower::VECTOR)
    }],
    bindings: &[
        ("step", Access::Read),
        ("stream", Access::Read),
        ("outputs", Access::Read),
        ("bias", Access::Read),
        ("norm", Access::Read),
        ("next", Access::Write),
        ("x", Access::Write),
        ("fixed", Access::Write),
    ],
    params: add_norm::Params::FIELDS,
    reference: |call| reference(call, &add_norm::OP, form_of_add_norm(&call.params())),
    cases: || OF_ADD_NORM.fused_cases(),
};

/// `grouped_merge` by a workgroup for each head, with the heads in fixed point.
pub static GROUPED_MERGE: Op = Op {
    name: "grouped_merge_fixed",
    variants: &[Variant {
        name: "grouped_merge_shared_fixed",
        parts: &[STEP, WAIT, fixed_point::BLOCK, FINISH],
        ..grouped_merge_shared::VARIANT
    }],
    bindings: &[
        ("step", Access::Read),
        ("partial", Access::Read),
        ("stats", Access::Read),
        ("sinks", Access::Read),
        ("out", Access::Write),
        ("fixed", Access::Write),
    ],
    params: grouped_merge::Params::FIELDS,
    reference: |call| reference(call, &grouped_merge::OP, form_of_merge(&call.params())),
    cases: || OF_MERGE.fused_cases(),
};

/// `swiglu` by an invocation for each block, with the hidden units in fixed point.
pub static SWIGLU: Op = Op {
    name: "swiglu_fixed",
    variants: &[Variant {
        entry: "swiglu",
        ..Variant::only(
            "swiglu_fixed",
            swiglu::SOURCE,
            &[STEP, WAIT_NONE, fixed_point::BLOCK, FINISH],
            swiglu::way::<BLOCK_QUADS>(),
        )
    }],
    bindings: &[("step", Access::Read), ("gate_up", Access::Read), ("hidden", Access::Write), ("fixed", Access::Write)],
    params: swiglu::Params::FIELDS,
    reference: |call| reference(call, &swiglu::OP, form_of_swiglu(&call.params())),
    cases: || OF_SWIGLU.fused_cases(),
};

/// Vectors of 4 in a block.
const BLOCK_QUADS: u32 = 8;

/// What lowering joins.
pub static RULES: &[&Rule] = &[&OF_NORM, &OF_ADD_NORM, &OF_MERGE, &OF_SWIGLU];

static OF_NORM: Rule = Rule {
    parts: &["norm_rows", "fixed_point"],
    writers: &[],
    fuse: |parts| join(parts, &NORM_ROWS, form_of_norm(&parts[0].params())),
    cases: norm_cases,
};

static OF_ADD_NORM: Rule = Rule {
    parts: &["add_norm", "fixed_point"],
    writers: &[],
    fuse: |parts| join(parts, &ADD_NORM, form_of_add_norm(&parts[0].params())),
    cases: add_norm_cases,
};

static OF_MERGE: Rule = Rule {
    parts: &["grouped_merge", "fixed_point"],
    writers: &[],
    fuse: |parts| join(parts, &GROUPED_MERGE, form_of_merge(&parts[0].params())),
    cases: merge_cases,
};

static OF_SWIGLU: Rule = Rule {
    parts: &["swiglu", "fixed_point"],
    writers: &[],
    fuse: |parts| {
        let joined = join(parts, &SWIGLU, form_of_swiglu(&parts[0].params()))?;
        Some(Stage { n_results: joined.n_results / u64::from(BLOCK_QUADS), ..joined })
    },
    cases: swiglu_cases,
};

/// The change of form that a joined kernel does, none where its rows are no whole blocks.
fn form(n_quads: u32, rows: u32, max_tokens: u32) -> Option<fixed_point::Params> {
    let width = n_quads * rows;
    let params = fixed_point::Params { n_blocks: width / 8, x_stride: width, n_rows: 1, row_stride: 0, max_tokens };
    n_quads.is_multiple_of(8).then_some(params)
}

fn form_of_norm(p: &norm_rows::Params) -> Option<fixed_point::Params> {
    form(p.n_quads, 1, p.max_tokens).filter(|_| p.last_only == 0)
}

fn form_of_add_norm(p: &add_norm::Params) -> Option<fixed_point::Params> {
    form(p.n_quads, 1, p.max_tokens)
}

fn form_of_merge(p: &grouped_merge::Params) -> Option<fixed_point::Params> {
    form(p.n_quads, p.n_heads, p.max_tokens)
}

fn form_of_swiglu(p: &swiglu::Params) -> Option<fixed_point::Params> {
    form(p.n_quads, 1, p.max_tokens)
}

/// A stage and the change of form of what it writes last, as one.
fn join(parts: &[Stage], op: &'static Op, form: Option<fixed_point::Params>) -> Option<Stage> {
    let ([first, change], Some(form)) = (parts, form) else { return None };
    let wanted: fixed_point::Params = change.params();
    let [step, x, fixed] = change.bindings[..] else { return None };
    // What lies between rows does not matter where there is one.
    let is_same = bytemuck::bytes_of(&fixed_point::Params { row_stride: 0, ..wanted }) == bytemuck::bytes_of(&form);
    let fits = is_same && first.bindings.first() == Some(&step) && first.bindings.last() == Some(&x);
    fits.then(|| Stage {
        op,
        spec: first.spec.clone().constant(BINDING, first.bindings.len() as u32 + 1).with(&change.spec),
        bindings: first.bindings.iter().copied().chain([fixed]).collect(),
        cost: Cost { bytes: first.cost.bytes + change.cost.bytes, ops: first.cost.ops + change.cost.ops },
        ..first.clone()
    })
}

/// The parts' references, one after the other.
fn reference(call: &mut Call<'_>, first: &Op, form: Option<fixed_point::Params>) {
    let mut outputs = std::mem::take(&mut call.outputs);
    let (Some(fixed), Some(form)) = (outputs.pop(), form) else { unreachable!("rows of whole blocks") };
    let (spec, step) = (call.spec, call.inputs[0]);
    let mut of_first = Call { params: call.params, spec, inputs: call.inputs.clone(), outputs, sample: None };
    (first.reference)(&mut of_first);
    let mut outputs = of_first.outputs;
    if let Some(x) = outputs.last() {
        (fixed_point::OP.reference)(&mut Call {
            params: bytemuck::bytes_of(&form),
            spec,
            inputs: vec![step, &**x],
            outputs: vec![&mut *fixed],
            sample: None,
        });
    }
    outputs.push(fixed);
    call.outputs = outputs;
}

/// Appends the change of form of what a case's stage wrote last.
fn record_change(case: &mut CaseBuilder, step: Slice, x: Slice, form: Option<fixed_point::Params>) {
    let form = form.expect("a case of whole blocks");
    // Any number of planes will do.
    let planes = 1 + form.max_tokens % 2;
    let fixed = case.output("fixed", form.bytes(planes) as usize / 4, 0.0);
    fixed_point::record_fixed_point(&mut case.recording, [step, x, fixed], planes, &form);
}

/// Values of −1 and 1: whose mean square is 1 on every adapter, so that words of integers can be equal.
fn signs(case: &mut CaseBuilder, n: u32) -> Vec<f32> {
    (0..n).map(|_| if case.random_u32() & 1 == 0 { -1.0 } else { 1.0 }).collect()
}

fn norm_cases() -> Vec<Case> {
    [[32, 1, 1], [96, 5, 4], [2080, 2, 2]]
        .map(|[width, max_tokens, n_tokens]| {
            let mut case = CaseBuilder::new(format!("width {width}, {n_tokens} of {max_tokens}"));
            let values = signs(&mut case, max_tokens * width);
            let flow = norm_rows::Flow {
                step: case.step(3, n_tokens),
                values: case.input("values", &values),
                ring: None,
                norm: case.random_input("norm", width as usize),
                x: case.output("x", values.len(), 1e-6),
                width,
                last_only: false,
                eps: 0.0,
                max_tokens,
            };
            norm_rows::record_norm_rows(&mut case.recording, "attn_norm", &flow);
            record_change(&mut case, flow.step, flow.x, form(width / 4, 1, max_tokens));
            case.finish()
        })
        .into()
}

fn add_norm_cases() -> Vec<Case> {
    [[32, 1, 1], [96, 5, 4], [2080, 2, 2]]
        .map(|[width, max_tokens, n_tokens]| {
            let mut case = CaseBuilder::new(format!("width {width}, {n_tokens} of {max_tokens}"));
            let stream = vec![1.0f32; (max_tokens * width) as usize];
            let outputs: Vec<f32> = signs(&mut case, max_tokens * width).iter().map(|sign| sign - 1.0).collect();
            let params = add_norm::Params { n_quads: width / 4, n_slots: 1, eps: 0.0, max_tokens };
            let step = case.step(3, n_tokens);
            let [stream, outputs] = [case.input("stream", &stream), case.input("outputs", &outputs)];
            let norm = case.random_input("norm", width as usize);
            let [next, x] = ["next", "x"].map(|of| case.output(of, (max_tokens * width) as usize, 1e-6));
            let bindings = [step, stream, outputs, stream, norm, next, x];
            let facts = Spec::default().constant(add::BIAS, 0);
            let n = max_tokens.into();
            case.recording.push("attn_norm", &add_norm::OP, facts, n, &params, &bindings, Cost::default());
            record_change(&mut case, step, x, form_of_add_norm(&params));
            case.finish()
        })
        .into()
}

/// `of` are n_heads, n_quads, n_splits. Runs weigh the same, and there are a power of two of them: for the same reason.
fn merge_cases() -> Vec<Case> {
    [([3, 8, 4], 2, 2), ([2, 16, 1], 3, 1), ([1, 264, 2], 1, 1)]
        .map(|(of, max_tokens, n_tokens)| {
            let [n_heads, n_quads, n_splits] = of;
            let mut case = CaseBuilder::new(format!("{of:?}, {n_tokens} of {max_tokens}"));
            let n_runs = max_tokens * n_heads * n_splits;
            let partial = signs(&mut case, n_runs * n_quads * 4);
            let stats: Vec<[f32; 2]> = (0..n_runs).map(|_| [0.5, 1.0]).collect();
            let params = grouped_merge::Params { n_heads, n_quads, n_splits, max_tokens };
            let step = case.step(3, n_tokens);
            let [partial, stats] = [case.input("partial", &partial), case.input("stats", &stats)];
            let out = case.output("out", (max_tokens * n_heads * n_quads * 4) as usize, 1e-6);
            let facts = Spec::default().constant(grouped_merge::SINKS, 0);
            let n = u64::from(max_tokens * n_heads * n_quads);
            let bindings = [step, partial, stats, stats, out];
            case.recording.push("attend_merge", &grouped_merge::OP, facts, n, &params, &bindings, Cost::default());
            record_change(&mut case, step, out, form_of_merge(&params));
            case.finish()
        })
        .into()
}

/// Gates so great that they pass whole, or so small that nothing does, and whole numbers that they multiply: for the same reason.
fn swiglu_cases() -> Vec<Case> {
    [
        (32, swiglu::Activation::Silu, 1, 1),
        (96, swiglu::Activation::GeluTanh, 5, 4),
        (2080, swiglu::Activation::Silu, 2, 2),
    ]
    .map(|(n_hidden, activation, max_tokens, n_tokens)| {
        let mut case = CaseBuilder::new(format!("width {n_hidden}, {activation:?}, {n_tokens} of {max_tokens}"));
        let n = (max_tokens * n_hidden) as usize;
        let mut whole = || (case.random_u32() % 61) as f32;
        let units = (0..2 * n).map(|at| match at / n_hidden as usize % 2 {
            0 => [-90.0, 30.0 + whole()][usize::from(at % 3 > 0)],
            _ => whole() - 30.0,
        });
        let gate_up: Vec<f32> = units.collect();
        let flow = swiglu::Flow {
            step: case.step(3, n_tokens),
            gate_up: case.input("gate_up", &gate_up),
            hidden: case.output("hidden", n, 1e-6),
            n_hidden,
            activation,
            limit: f32::MAX,
            max_tokens,
        };
        swiglu::record_swiglu(&mut case.recording, &flow);
        record_change(&mut case, flow.step, flow.hidden, form(n_hidden / 4, 1, max_tokens));
        case.finish()
    })
    .into()
}
