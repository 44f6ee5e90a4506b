//! Every kernel, in every variant, on every adapter present, against its scalar reference; and its text against naga
//! and against the Rust structs.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]

use std::collections::BTreeSet;
use std::mem::offset_of;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;

use headstart::format::Format;
use headstart::gpu::ShaderChecks;
use headstart::gpu::lower::lower;
use headstart::gpu::op::{Precision, Spec, Step, compose};
use headstart::gpu::{
    Access, Caps, Case, Choice, Config, Executor, Op, Problem, Recording, Rounding, Slice, Tile, Tuning, Variant,
};
use headstart::kernels::case::CaseBuilder;
use headstart::kernels::linear::{Flow, record_linear};
use headstart::kernels::{self, Words, words_written};
use headstart::measure::Progress;
use headstart::measure::verify::{self, Configs, difference, run_case, tunings};

fn parse(name: &str, text: &str) -> naga::Module {
    naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)))
}

/// An adapter that has everything.
const CAPS: Caps = Caps {
    is_software: false,
    subgroup: 4,
    subgroup_varies: false,
    subgroups_directive: true,
    f16: true,
    packed_dot: true,
    storage_buffers: 16,
    workgroup_bytes: 48 << 10,
    cooperative: 16,
    cooperative_subgroup: 4,
};

/// Every case of a kernel, in every config and variant.
fn all_of(kernel: &Op) -> Vec<(Rc<Case>, Tuning)> {
    let mut all = Vec::new();
    for case in (kernel.cases)().into_iter().map(Rc::new) {
        for config in verify::configs() {
            all.extend(tunings(&case, config).into_iter().map(|tuning| (Rc::clone(&case), tuning)));
        }
    }
    all
}

/// Where the texts are left for the browser tests, whose compiler is stricter in places (uniformity above all).
fn texts_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("out/wgsl")
}

#[test]
fn composed_texts_validate_and_match_their_rust_twins() {
    let mut texts = BTreeSet::new();
    for kernel in kernels::ALL {
        let case = (kernel.cases)().remove(0);
        let baseline = Caps { storage_buffers: 8, ..CAPS };
        let runs_on_baseline = kernel.variants.iter().any(|of| of.can(&case.recording.stages[0], &baseline));
        assert_eq!(kernel.bindings.len() < 8, runs_on_baseline, "{}: the baseline has 8 storage buffers", kernel.name);
        // Where subgroups vary, other texts are only those that add up by them.
        let varied = Caps { subgroup_varies: true, ..CAPS };
        for (case, tuning) in all_of(kernel) {
            let of_varied =
                lower(&case.recording, &varied, &tuning).dispatches.into_iter().filter(|d| d.spec.subgroups);
            for dispatch in lower(&case.recording, &CAPS, &tuning).dispatches.into_iter().chain(of_varied) {
                let variant = dispatch.variant;
                let text = compose(variant, &dispatch.spec, false);
                let module = parse(variant.name, &text);
                let flags = naga::valid::ValidationFlags::all();
                let capabilities = naga::valid::Capabilities::SUBGROUP
                    | naga::valid::Capabilities::SHADER_FLOAT16
                    | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32
                    | naga::valid::Capabilities::COOPERATIVE_MATRIX;
                let info = naga::valid::Validator::new(flags, capabilities)
                    .validate(&module)
                    .unwrap_or_else(|e| panic!("{} ({}): {}", variant.name, case.name, e.emit_to_string(&text)));
                translate(&module, &info, &dispatch.spec)
                    .unwrap_or_else(|e| panic!("{} ({}): {e}", variant.name, case.name));
                reflect(dispatch.op, variant, &dispatch.spec, &module)
                    .unwrap_or_else(|e| panic!("{}: {e}", variant.name));
                // No browser has cooperative matrices.
                if !dispatch.spec.cooperative {
                    texts.insert((variant.name, compose(variant, &dispatch.spec, CAPS.subgroups_directive)));
                }
            }
        }
    }
    // Whatever an earlier run left; there is nothing on the first.
    let _ = std::fs::remove_dir_all(texts_folder());
    std::fs::create_dir_all(texts_folder()).unwrap();
    for (number, (name, text)) in texts.iter().enumerate() {
        std::fs::write(texts_folder().join(format!("{name}-{number}.wgsl")), text).unwrap();
    }
}

/// Writes a text as Metal and DirectX 12 take it, as wgpu does: no adapter here has either.
fn translate(module: &naga::Module, info: &naga::valid::ModuleInfo, spec: &Spec) -> Result<(), String> {
    let metal = naga::back::msl::Options {
        // What the oldest systems with subgroups have.
        lang_version: (2, 4),
        fake_missing_bindings: true,
        ..Default::default()
    };
    let (_, written) = naga::back::msl::write_string(module, info, &metal, &Default::default())
        .map_err(|error| format!("as Metal: {error}"))?;
    written.entry_point_names[0].as_ref().map_err(|error| format!("as Metal: {error}"))?;
    // wgpu has them on Vulkan and Metal.
    if spec.cooperative {
        return Ok(());
    }
    // What DXC takes at least where it has f16.
    let model = naga::back::hlsl::ShaderModel::V6_2;
    let directx = naga::back::hlsl::Options { shader_model: model, fake_missing_bindings: true, ..Default::default() };
    let mut text = String::new();
    let written = naga::back::hlsl::Writer::new(&mut text, &directx, &Default::default())
        .write(module, info, None)
        .map_err(|error| format!("as HLSL: {error}"))?;
    written.entry_point_names[0].as_ref().map_err(|error| format!("as HLSL: {error}"))?;
    Ok(())
}

/// Every adapter has 16 KiB of workgroup memory; the software adapters have more, and would not tell.
#[test]
fn attention_that_chooses_takes_no_more_workgroup_memory_than_every_adapter_has() {
    let mut found = BTreeSet::new();
    for (case, tuning) in all_of(&kernels::attend_flash::OP) {
        for dispatch in lower(&case.recording, &CAPS, &tuning).dispatches {
            let module = parse(dispatch.variant.name, &compose(dispatch.variant, &dispatch.spec, false));
            let mut layouter = naga::proc::Layouter::default();
            layouter.update(module.to_ctx()).unwrap();
            let shared = module.global_variables.iter().filter(|(_, of)| of.space == naga::AddressSpace::WorkGroup);
            let bytes: u32 = shared.map(|(_, of)| layouter[of.ty].size.next_multiple_of(16)).sum();
            assert!(bytes <= 16 << 10, "{}, {}: {bytes} bytes", dispatch.variant.name, case.name);
            found.insert((dispatch.variant.name, dispatch.spec.value_of("COPIES")));
        }
    }
    // Short runs with two copies of the counts, long ones with one.
    for copies in [1, 2] {
        assert!(found.contains(&("attend_flash_choosing", Some(copies))), "{found:?}");
    }
}

/// No software adapter has cooperative matrices: their texts are held against the compiler, in both sizes and every tile.
#[test]
fn texts_of_cooperative_matrices_validate() {
    let kernels = [&kernels::linear::OP, &kernels::experts_in_tiled::OP, &kernels::experts_out_tiled::OP];
    for (kernel, cooperative) in kernels.into_iter().flat_map(|kernel| [(kernel, 8), (kernel, 16)]) {
        let variant = kernel.variants.iter().find(|variant| variant.name.ends_with("cooperative")).unwrap();
        let suits = |case: &Case| (variant.allows)(&case.recording.stages[0]);
        let case = (kernel.cases)().into_iter().find(suits).unwrap();
        let caps = Caps { cooperative, ..CAPS };
        let tiles: Vec<Tile> = Tile::COOPERATIVE.into_iter().filter(|tile| tile.is_made_of(cooperative)).collect();
        assert!(!tiles.is_empty() && !(variant.needs)(&Caps { cooperative: 0, ..CAPS }));
        for tile in tiles {
            let config = Config { cooperative: tile, ..Config::default() };
            let choice = Choice { variant: variant.name.into(), config };
            let tuning = Tuning::default().with(Problem::of(&case.recording.stages[0]), choice);
            let dispatch = lower(&case.recording, &caps, &tuning).dispatches.remove(0);
            assert_eq!(dispatch.variant.name, variant.name);
            let text = compose(variant, &dispatch.spec, false);
            assert!(text.contains("coopMultiplyAdd") && text.contains(&format!("coop_mat{cooperative}x{cooperative}")));
            let (flags, all) = (naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all());
            let module = parse(variant.name, &text);
            let info = naga::valid::Validator::new(flags, all)
                .validate(&module)
                .unwrap_or_else(|error| panic!("{}: {}", variant.name, error.emit_to_string(&text)));
            translate(&module, &info, &dispatch.spec).unwrap_or_else(|error| panic!("{}: {error}", variant.name));
        }
        // Nothing guesses that products are right.
        let guessed = lower(&case.recording, &caps, &Tuning::guess(&caps)).dispatches.remove(0);
        assert!(!guessed.spec.cooperative && guessed.variant.precision == Precision::Exact);
    }
}

/// Holds entry point, bindings and parameter struct against the Rust declarations.
fn reflect(kernel: &Op, variant: &Variant, spec: &Spec, module: &naga::Module) -> Result<(), String> {
    if module.entry_points.len() != 1 || module.entry_points[0].name != variant.entry {
        return Err("the one entry point is named like the file".into());
    }
    let mut declared = vec![("params", Access::Read)];
    declared.extend(variant.bindings(kernel));
    let globals: Vec<_> = module.global_variables.iter().filter(|(_, g)| g.binding.is_some()).collect();
    if globals.len() != declared.len() {
        return Err(format!("{} bindings in WGSL, {} in Rust", globals.len(), declared.len()));
    }
    for (_, global) in globals {
        let binding = global.binding.as_ref().unwrap().binding as usize;
        let name = global.name.as_deref().unwrap_or("");
        let access = match global.space {
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => Access::Write,
            _ => Access::Read,
        };
        if declared.get(binding) != Some(&(name, access)) {
            return Err(format!("binding {binding} is {name} {access:?}, in Rust {:?}", declared.get(binding)));
        }
        let is_float = words_written(kernel, spec, name) == Words::Floats;
        if access == Access::Write && is_integer(module, global.ty) == is_float {
            return Err(format!("binding {binding}, {name}: Rust knows another kind of number"));
        }
        let naga::TypeInner::Struct { members, .. } = &module.types[global.ty].inner else { continue };
        if name == "step" && members.iter().map(|m| m.offset as usize).ne(step_offsets()) {
            return Err(format!("the step's fields lie elsewhere than in Rust: {members:?}"));
        }
        if name == "params" {
            let wgsl: Vec<_> = members.iter().map(|m| (m.name.as_deref().unwrap_or(""), m.offset as usize)).collect();
            let rust: Vec<_> = kernel.params.iter().map(|f| (f.name, f.offset)).collect();
            if wgsl != rust {
                return Err(format!("params are {wgsl:?} in WGSL, {rust:?} in Rust"));
            }
        }
    }
    Ok(())
}

/// Where the fields of the step lie, as WGSL has them: the stops are two vectors there.
fn step_offsets() -> impl Iterator<Item = usize> {
    let head = (0..offset_of!(Step, stops)).step_by(4);
    head.chain((offset_of!(Step, stops)..size_of::<Step>()).step_by(16))
}

/// Whether a binding's elements are anything but floats.
fn is_integer(module: &naga::Module, ty: naga::Handle<naga::Type>) -> bool {
    match module.types[ty].inner {
        naga::TypeInner::Array { base, .. } => is_integer(module, base),
        naga::TypeInner::Scalar(scalar) | naga::TypeInner::Vector { scalar, .. } => scalar != naga::Scalar::F32,
        _ => true,
    }
}

#[test]
fn reflection_notices_a_shifted_field_and_a_renamed_binding() {
    let kernel = &kernels::linear::OP;
    let case = (kernel.cases)().remove(0);
    let dispatch = lower(&case.recording, &CAPS, &Tuning::uniform(verify::configs()[0])).dispatches.remove(0);
    let (variant, spec) = (dispatch.variant, &case.recording.stages[0].spec);
    let text = compose(variant, &dispatch.spec, false);
    assert!(reflect(kernel, variant, spec, &parse(variant.name, &text)).is_ok());
    let changes = [
        ("    n_in: u32,", "    @align(16) n_in: u32,"),
        ("n_blocks", "n_chunks"),
        ("quants", "quanta"),
        ("    frequency_penalty: f32,\n", "    frequency_penalty: f32, more: u32,\n"),
    ];
    for (from, to) in changes {
        let broken = text.replace(from, to);
        assert!(reflect(kernel, variant, spec, &parse(variant.name, &broken)).is_err(), "{to} was not noticed");
    }
}

#[test]
fn a_helper_runs_again_only_where_it_must_and_scratch_goes_by_turns() {
    let mut case = CaseBuilder::new("scratch");
    let w = case.matrix("w", Format::Q4_0, 64, 64);
    let step = case.step(0, 1);
    let xs: Vec<Slice> = (0..6).map(|i| case.random_input(&format!("x{i}"), 64)).collect();
    let ys: Vec<Slice> = (0..6).map(|i| case.output(&format!("y{i}"), 64, 1e-4)).collect();
    let record = |recording: &mut Recording, layer: u32, x: Slice, y: Slice| {
        recording.layer = Some(layer);
        let strides =
            Flow { step, x, x_stride: 64, y, y_stride: 64, y_offset: 0, y_ring: 0, rows_per_group: 0, max_tokens: 1 };
        record_linear(recording, "q", &w, strides);
    };
    // The kernels of a program, and the scratch that each fixed_point writes.
    let lowered = |recording: &Recording| {
        let choose = |tuning: Tuning, stage| {
            let choice = Choice { variant: "linear_fixed".to_owned(), config: Config::default() };
            tuning.with(Problem::of(stage), choice)
        };
        let tuning = recording.stages.iter().fold(Tuning::default(), choose);
        lower(recording, &CAPS, &tuning)
    };
    let helped = |recording: &Recording| -> Vec<bool> {
        let program = lowered(recording);
        (0..recording.stages.len())
            .map(|at| program.dispatches.iter().any(|d| d.stage == at && d.op.name == "fixed_point"))
            .collect()
    };
    let mut shared = Recording::default();
    record(&mut shared, 0, xs[0], ys[0]);
    record(&mut shared, 0, xs[0], ys[1]); // The same x.
    record(&mut shared, 0, ys[2], xs[0]); // Another, and x is written.
    record(&mut shared, 0, xs[0], ys[1]);
    record(&mut shared, 1, xs[0], ys[1]); // Another layer.
    assert_eq!(helped(&shared), [true, false, true, true, true]);
    let mut apart = Recording::default();
    xs.iter().zip(&ys).for_each(|(x, y)| record(&mut apart, 0, *x, *y));
    // By then its scratch serves another.
    record(&mut apart, 0, xs[0], ys[0]);
    assert_eq!(helped(&apart), [true; 7]);
    let program = lowered(&apart);
    let scratch: Vec<u32> = program
        .dispatches
        .iter()
        .filter(|dispatch| dispatch.op.name == "fixed_point")
        .filter_map(|dispatch| dispatch.bindings[2].buffer.as_scratch())
        .collect();
    assert!(scratch.len() == 7 && scratch.windows(2).all(|two| two[0] != two[1]), "{scratch:?}");
    assert_eq!((program.scratch.len(), program.scratch_bytes()), (4, 4 * 2 * 80));
    // Without packed dots, or where all is to be exact, none of it.
    let is_plain = |variant: &str, caps: &Caps, rounding: Rounding| {
        let choice = Choice { variant: variant.to_owned(), config: Config::default() };
        let tuning = Tuning::default().rounded(rounding).with(Problem::of(&apart.stages[0]), choice);
        let program = lower(&apart, caps, &tuning);
        program.scratch.is_empty() && program.dispatches.len() == apart.stages.len()
    };
    assert!(is_plain("linear_fixed", &Caps { packed_dot: false, ..CAPS }, Rounding::Usual));
    assert!(is_plain("linear_fixed", &CAPS, Rounding::Exact));
    // Those of 8 bits are for who asks for them.
    for (rounding, plain) in [(Rounding::Exact, true), (Rounding::Usual, true), (Rounding::Int8, false)] {
        assert_eq!(is_plain("linear_int8", &CAPS, rounding), plain, "{rounding:?}");
    }
}

fn run(case: &Case) -> Vec<Vec<u8>> {
    pollster::block_on(run_case(&mut Executor::Cpu(Box::default()), case)).unwrap()
}

#[test]
fn every_case_expects_something() {
    for kernel in kernels::ALL {
        for case in (kernel.cases)() {
            for output in run(&case) {
                assert!(output.iter().any(|b| *b != 0), "{} {}: expects nothing", kernel.name, case.name);
            }
        }
    }
}

#[test]
fn every_variant_agrees_with_its_reference_on_every_adapter() {
    for adapter in crate::support::adapters() {
        let _turn = crate::support::turn(&adapter);
        let mut go_on = |_: &Progress| ControlFlow::Continue(());
        let checks = crate::support::checks(&adapter);
        let check = pollster::block_on(verify::kernels(&adapter, checks, Configs::All, &mut go_on)).unwrap();
        println!("{} ({}): {} dispatches", adapter.identity.name, adapter.identity.backend, check.n_cases);
        assert!(check.n_cases as usize > 3 * kernels::ALL.len(), "{check:?}");
        assert_eq!(check.n_wrong, 0, "{}: {check:?}", adapter.identity.name);
    }
}

/// On one adapter: what others make of the same texts is shown by the configs above.
#[test]
fn every_number_of_a_search_agrees_with_the_reference() {
    let Some(adapter) = crate::support::adapters().into_iter().next() else { return };
    let mut go_on = |_: &Progress| ControlFlow::Continue(());
    let check = verify::kernels(&adapter, ShaderChecks::On, Configs::Numbers, &mut go_on);
    let check = pollster::block_on(check).unwrap();
    println!("{} ({}): {} dispatches", adapter.identity.name, adapter.identity.backend, check.n_cases);
    assert!(check.n_cases as usize > 3 * kernels::ALL.len(), "{check:?}");
    assert_eq!(check.n_wrong, 0, "{}: {check:?}", adapter.identity.name);
}

/// All of them take many hours on a program on the CPU (`headstart verify --every-config`).
#[test]
fn the_first_combination_of_numbers_is_tried_over_every_case() {
    let Some(adapter) = crate::support::adapters().into_iter().next() else { return };
    let mut n_configs = 0;
    let mut a_few = |_: &Progress| {
        n_configs += 1;
        if n_configs > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let check = verify::kernels(&adapter, ShaderChecks::On, Configs::Combinations, &mut a_few);
    let check = pollster::block_on(check).unwrap();
    let n_cases = (kernels::ALL[0].cases)().len();
    assert!(check.n_cases as usize >= n_cases && check.n_wrong == 0, "{n_cases} cases, {check:?}");
}

/// What `every_variant_agrees_…` takes for granted: a choice that is passed over would be another variant, tried twice.
#[test]
fn every_variant_is_the_choice_for_some_case() {
    for kernel in kernels::ALL {
        let cases = (kernel.cases)();
        for variant in kernel.variants.iter().filter(|variant| (variant.needs)(&CAPS)) {
            let is_chosen = |case: &Case| {
                tunings(case, Config::guess(&CAPS)).iter().any(|tuning| {
                    let stages = case.recording.stages.iter();
                    stages.flat_map(|stage| tuning.variants(stage, &CAPS)).any(|chosen| chosen.name == variant.name)
                })
            };
            assert!(cases.iter().any(is_chosen), "{} of {}", variant.name, kernel.name);
        }
    }
}

/// Whether a case that was changed gives other outputs than `expected`. One that panics does not count.
fn shows(case: &Case, expected: &[Vec<u8>]) -> bool {
    let changed = std::panic::catch_unwind(|| run(case));
    changed.is_ok_and(|changed| {
        let outputs = expected.iter().zip(&changed).zip(&case.outputs);
        outputs.into_iter().any(|((e, c), (_, tolerance))| difference(e, c, *tolerance).is_some())
    })
}

#[test]
fn comparison_notices_one_flipped_input_and_nan() {
    for kernel in kernels::ALL {
        let mut case = (kernel.cases)().remove(0);
        let expected = run(&case);
        // Some input of every kernel must matter: flip the sign bit of each word in turn until one shows.
        let mut noticed = (0..case.inputs.len()).any(|input| {
            let intact = case.inputs[input].1.clone();
            if intact.len() == size_of::<Step>() {
                return false;
            }
            (0..intact.len() / 4).take(64).any(|word| {
                case.inputs[input].1[word * 4 + 3] ^= 0x80;
                let noticed = shows(&case, &expected);
                case.inputs[input].1.clone_from(&intact);
                noticed
            })
        });
        // A kernel without inputs depends on its parameters alone: flip a bit of each.
        if case.inputs.is_empty() {
            noticed = (0..case.recording.stages[0].params.len()).any(|byte| {
                case.recording.stages[0].params[byte] ^= 1;
                let noticed = shows(&case, &expected);
                case.recording.stages[0].params[byte] ^= 1;
                noticed
            });
        }
        assert!(noticed, "{}: no flipped input changes the output", kernel.name);
    }
}
