//! Fusions against their parts, what a rule leaves alone, and how many steps wait for each other in a token.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]

use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::format::Format;
use headstart::gpu::ShaderChecks;
use headstart::gpu::executor_gpu::GpuExecutor;
use headstart::gpu::fuse::{Rule, fuse, n_ordered_steps};
use headstart::gpu::lower::{Dispatch, lower};
use headstart::gpu::{
    APART, Access, Caps, Case, Choice, Executor, Op, Problem, Purpose, Recording, Slice, Stage, Tuning,
};
use headstart::kernels;
use headstart::kernels::case::CaseBuilder;
use headstart::kernels::linear::{Flow, record_linear};
use headstart::kernels::norm_rows::{self, record_norm_rows};
use headstart::kernels::swiglu::{self, Activation};
use headstart::measure::verify::{difference, run_case};
use pollster::block_on;

use crate::support::{adapters, memory};

/// The parts of a rule's cases, and what they become.
fn pairs(rule: &'static Rule) -> impl Iterator<Item = (Case, Case)> {
    (rule.cases)().into_iter().zip(rule.fused_cases())
}

/// The rules of recordings, and those of lowering.
fn rules() -> impl Iterator<Item = &'static Rule> {
    kernels::RULES.iter().chain(kernels::finish_fixed::RULES).copied()
}

#[test]
fn a_fused_reference_is_its_parts_references_in_order() {
    for rule in rules() {
        for (parts, fused) in pairs(rule) {
            assert!(parts.recording.stages.len() > 1 && fused.recording.stages.len() == 1, "{}", parts.name);
            let run = |case: &Case| block_on(run_case(&mut Executor::Cpu(Box::default()), case)).unwrap();
            assert_eq!(run(&parts), run(&fused), "{:?}: {}", rule.parts, parts.name);
        }
    }
}

#[test]
fn a_fused_stage_equals_its_parts_on_every_adapter() {
    for adapter in adapters() {
        let _turn = crate::support::turn(&adapter);
        let open = block_on(GpuExecutor::open(&adapter, ShaderChecks::On)).unwrap();
        let mut executor = Executor::Gpu(Box::new(open));
        for (parts, fused) in rules().flat_map(pairs) {
            let mut run = |case: &Case| block_on(run_case(&mut executor, case)).unwrap();
            let (expected, found) = (run(&parts), run(&fused));
            for ((expected, found), (_, tolerance)) in expected.iter().zip(&found).zip(&parts.outputs) {
                let difference = difference(expected, found, *tolerance);
                assert_eq!(difference, None, "{}: {}", adapter.identity.name, parts.name);
            }
        }
    }
}

#[test]
fn a_rule_takes_nothing_that_another_stage_reads() {
    for rule in kernels::RULES {
        for mut case in (rule.cases)() {
            let fused = fuse(&case.recording, &[rule]).stages.remove(0);
            let [first, .., last] = &case.recording.stages[..] else { panic!("{}: one part", case.name) };
            let bound = first.bindings.iter().zip(first.op.bindings);
            let mut lost =
                bound.filter(|(slice, (_, access))| *access == Access::Write && !fused.bindings.contains(slice));
            let Some((lost, _)) = lost.next() else { continue };
            // Another stage like the last one reads what lies between the two.
            let mut other = last.clone();
            let output = other.bindings.len() - 1;
            other.bindings[output] = case.arena.words("other", other.bindings[output].bytes / 4, Purpose::Scratch);
            assert!(other.bindings.contains(lost), "{}: the last part reads what the first wrote", case.name);
            case.recording.stages.push(other);
            assert_eq!(fuse(&case.recording, &[rule]).stages.len(), 3, "{}", case.name);
        }
    }
}

#[test]
fn only_stages_that_share_what_one_writes_are_in_order() {
    let parts = |rule: &Rule| (rule.cases)().remove(0).recording.stages;
    let n_ordered_steps = |stages: &[Stage]| n_ordered_steps(stages.iter().map(bound));
    let beside = parts(&kernels::window_compress::RULE);
    assert_eq!((beside.len(), n_ordered_steps(&beside)), (2, 1), "all read the step and the rotation");
    let in_line = parts(&kernels::gate_up_swiglu::RULE);
    assert_eq!((in_line.len(), n_ordered_steps(&in_line)), (2, 2), "one reads what the other wrote");
    let twice = [beside[0].clone(), beside[0].clone()];
    assert_eq!((n_ordered_steps(&twice), n_ordered_steps(&[])), (2, 0), "both write the window");
}

fn load(files: &ModelFiles) -> Session {
    let options = LoadOptions { n_context: Some(256), n_chunk: Some(64), ..LoadOptions::default() };
    block_on(Session::load(files, ExecutorChoice::Cpu, &options, &mut |_| ())).unwrap()
}

fn bound(stage: &Stage) -> (&'static Op, &[Slice]) {
    (stage.op, stage.bindings.as_slice())
}

/// A GPU without anything but what every one has on a desk: in browsers some others have 8 storage buffers.
const GPU: Caps = Caps {
    is_software: false,
    subgroup: 0,
    subgroup_varies: false,
    subgroups_directive: false,
    f16: false,
    packed_dot: false,
    storage_buffers: 10,
    workgroup_bytes: 16 << 10,
    cooperative: 0,
    cooperative_subgroup: 0,
};

#[test]
fn what_is_chosen_apart_becomes_the_parts_and_gives_the_same() {
    let adapters = adapters();
    for rule in kernels::RULES {
        let (parts, fused) = pairs(rule).next().unwrap();
        let stage = &fused.recording.stages[0];
        assert_eq!(stage.parts.len(), parts.recording.stages.len(), "{}", parts.name);
        let apart = Choice { variant: APART.to_owned(), config: Tuning::guess(&GPU).config };
        let chosen = Tuning::guess(&GPU).with(Problem::of(stage), apart);
        let names = |recording: &Recording, tuning: &Tuning| -> Vec<_> {
            lower(recording, &GPU, tuning)
                .dispatches
                .iter()
                .map(|dispatch| (dispatch.stage, dispatch.op.name))
                .collect()
        };
        // A part may be cut into runs, which are then merged.
        let guess = Tuning::guess(&GPU);
        let of_parts: Vec<_> = names(&parts.recording, &guess).into_iter().map(|(_, name)| (0, name)).collect();
        assert!(of_parts.len() >= stage.parts.len(), "{}: {of_parts:?}", parts.name);
        assert_eq!(names(&fused.recording, &chosen), of_parts, "{}", parts.name);
        assert_eq!(names(&fused.recording, &guess)[0], (0, stage.op.name), "{}", parts.name);
        for adapter in &adapters {
            let _turn = crate::support::turn(adapter);
            let mut open = block_on(GpuExecutor::open(adapter, ShaderChecks::On)).unwrap();
            open.tune(chosen.clone());
            let found = block_on(run_case(&mut Executor::Gpu(Box::new(open)), &fused)).unwrap();
            let expected = block_on(run_case(&mut Executor::Cpu(Box::default()), &parts)).unwrap();
            for ((expected, found), (_, tolerance)) in expected.iter().zip(&found).zip(&parts.outputs) {
                assert_eq!(difference(expected, found, *tolerance), None, "{}: {}", adapter.identity.name, parts.name);
            }
        }
    }
}

#[test]
fn a_program_on_the_cpu_norms_once() {
    let case = kernels::linear_norm::RULE.fused_cases().remove(0);
    let caps = Caps::default();
    let program = lower(&case.recording, &caps, &Tuning::guess(&caps));
    let names: Vec<_> = program.dispatches.iter().map(|dispatch| dispatch.op.name).collect();
    assert_eq!(names, ["norm_rows", "linear"]);
}

/// Of each layer's decode step on an adapter: ordered steps, dispatches, and whether it chooses among compressed entries.
fn steps(session: &Session, caps: &Caps) -> Vec<(usize, usize, bool)> {
    let recording = session.decode_recording();
    let program = lower(&recording, caps, &Tuning::guess(caps));
    let layer_of = |stage: usize| recording.stages[stage].layer;
    let layers = program.dispatches.chunk_by(|a, b| layer_of(a.stage) == layer_of(b.stage));
    let layers = layers.filter(|dispatches| layer_of(dispatches[0].stage).is_some());
    let count = |of: &[Dispatch]| {
        let in_order = n_ordered_steps(of.iter().map(|d| (d.op, d.bindings.as_slice())));
        (in_order, of.len(), of.iter().any(|dispatch| dispatch.op.name == "index_score"))
    };
    layers.map(count).collect()
}

/// A program on the CPU, with the storage buffers that those at hand have at least.
const SOFTWARE: Caps = Caps { is_software: true, storage_buffers: 16, ..GPU };

/// The figure that a decode step is held to: steps of a layer that wait for each other, and dispatches; on a GPU, and on a program
/// on the CPU, where fewer fusions pay. A layer of V4 that chooses among its entries, from 2,048 tokens on, takes more, and the first
/// one, which has a mix of its own: others get theirs from the layer before.
#[test]
fn a_layer_decodes_in_few_ordered_steps() {
    let embedded = include_bytes!("../www/models/headstart-v4-11m.gguf");
    let v4 = ModelFiles::gguf(std::rc::Rc::new(headstart::format::Memory::new("embedded model", embedded.as_slice())));
    let family = |name: &str| ModelFiles::gguf(memory(&format!("families/{name}/model.gguf")));
    let models = [
        ("V4", v4, [(11, 12), (16, 17)]),
        ("llama", family("llama"), [(6, 6), (9, 9)]),
        ("qwen3moe", family("qwen3moe"), [(7, 7), (11, 11)]),
    ];
    for (name, files, most) in models {
        let session = load(&files);
        for (caps, most) in [GPU, SOFTWARE].iter().zip(most) {
            let layers = steps(&session, caps);
            println!("{name}: {layers:?}");
            for (index, (in_order, dispatches, chooses)) in layers.into_iter().enumerate() {
                let more = match (index, chooses) {
                    (_, true) if caps.is_software => (2, 4),
                    (_, true) => (1, 2),
                    (0, _) if name == "V4" => (1, 1),
                    _ => (0, 0),
                };
                assert!(
                    in_order <= most.0 + more.0 && dispatches <= most.1 + more.1,
                    "{name}, layer {index}: {in_order} ordered steps and {dispatches} dispatches, {most:?} and {more:?} allowed"
                );
            }
        }
    }
}

/// Packed products wait for no dispatch that makes the form of what they read: the one that writes it leaves it so.
#[test]
fn activations_get_their_form_where_they_are_born() {
    const WIDTH: u32 = 96;
    let case = |is_apart: bool| {
        let mut case = CaseBuilder::new("norm, q, k");
        let [q, k] = ["q", "k"].map(|name| case.matrix(name, Format::Q8_0, 40, WIDTH as usize));
        let step = case.step(0, 2);
        let [values, other] = ["values", "other"].map(|name| case.random_input(name, 2 * WIDTH as usize));
        let norm = case.random_input("norm", WIDTH as usize);
        let [x, y, z] = [("x", 1e-4), ("y", 2e-3), ("z", 2e-3)].map(|(name, off)| case.output(name, 192, off));
        let flow = norm_rows::Flow {
            step,
            values,
            ring: None,
            norm,
            x,
            width: WIDTH,
            last_only: false,
            eps: 1e-6,
            max_tokens: 2,
        };
        record_norm_rows(&mut case.recording, "attn_norm", &flow);
        let of = |x, y| Flow {
            step,
            x,
            x_stride: WIDTH,
            y,
            y_stride: 40,
            y_offset: 0,
            y_ring: 0,
            rows_per_group: 0,
            max_tokens: 2,
        };
        record_linear(&mut case.recording, "q", &q, of(if is_apart { other } else { x }, y));
        record_linear(&mut case.recording, "k", &k, of(x, z));
        case.finish()
    };
    let (born, apart) = (case(false), case(true));
    assert_eq!(by_fixed_point(&born), [(0, "norm_rows_fixed"), (1, "linear"), (2, "linear")]);
    let each = [(0, "norm_rows"), (1, "fixed_point"), (1, "linear"), (2, "fixed_point"), (2, "linear")];
    assert_eq!(by_fixed_point(&apart), each, "another's activations come first");
    assert_right_by_fixed_point(&born);
}

#[test]
fn hidden_units_in_fixed_point_are_born_so() {
    let mut case = CaseBuilder::new("swiglu, down");
    let down = case.matrix("down", Format::Q8_0, 40, 96);
    let step = case.step(0, 2);
    let gate_up = case.random_input("gate_up", 2 * 2 * 96);
    let [hidden, y] = [("hidden", 1e-4), ("y", 2e-3)].map(|(name, off)| case.output(name, 192, off));
    let of =
        swiglu::Flow { step, gate_up, hidden, n_hidden: 96, activation: Activation::Silu, limit: 10.0, max_tokens: 2 };
    swiglu::record_swiglu(&mut case.recording, &of);
    let (x_stride, y_stride, y_offset, y_ring, rows_per_group, max_tokens) = (96, 40, 0, 0, 0, 2);
    let of = Flow { step, x: hidden, x_stride, y, y_stride, y_offset, y_ring, rows_per_group, max_tokens };
    record_linear(&mut case.recording, "down", &down, of);
    let case = case.finish();
    assert_eq!(by_fixed_point(&case), [(0, "swiglu_fixed"), (1, "linear")]);
    assert_right_by_fixed_point(&case);
}

/// All products of a case by fixed point.
fn in_fixed_point(case: &Case, caps: &Caps) -> Tuning {
    let config = Tuning::guess(caps).config;
    let choice = Choice { variant: "linear_fixed".to_owned(), config };
    let stages = case.recording.stages.iter().filter(|stage| stage.op.name == "linear");
    stages.fold(Tuning::guess(caps), |tuning, stage| tuning.with(Problem::of(stage), choice.clone()))
}

/// The dispatches of that on a GPU, each with its stage.
fn by_fixed_point(case: &Case) -> Vec<(usize, &'static str)> {
    let caps = Caps { packed_dot: true, ..GPU };
    let program = lower(&case.recording, &caps, &in_fixed_point(case, &caps));
    program.dispatches.iter().map(|dispatch| (dispatch.stage, dispatch.op.name)).collect()
}

fn assert_right_by_fixed_point(case: &Case) {
    for adapter in adapters() {
        let _turn = crate::support::turn(&adapter);
        let mut open = block_on(GpuExecutor::open(&adapter, ShaderChecks::On)).unwrap();
        open.tune(in_fixed_point(case, &adapter.caps));
        let found = block_on(run_case(&mut Executor::Gpu(Box::new(open)), case)).unwrap();
        let expected = block_on(run_case(&mut Executor::Cpu(Box::default()), case)).unwrap();
        for ((expected, found), (_, tolerance)) in expected.iter().zip(&found).zip(&case.outputs) {
            assert_eq!(difference(expected, found, *tolerance), None, "{}", adapter.identity.name);
        }
    }
}
