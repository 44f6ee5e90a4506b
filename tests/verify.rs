//! `verify` as the tests of it: an adapter that is right passes, and every stage that is broken on purpose is caught.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant;

use crate::support::{fixture, load, memory, places};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::format::Memory;
use headstart::gpu::lower::lower;
use headstart::gpu::op::Precision;
use headstart::gpu::{Caps, Choice, Config, Problem, Reduce, Rounding, Tuning, Variant};
use headstart::measure::Progress;
use headstart::measure::report::{Check, Verdict};
use headstart::measure::verify::{Extent, built_in_ids, check, compare_stages};
use pollster::block_on;

static MODEL: &[u8] = include_bytes!("../www/models/headstart-v4-11m.gguf");

/// The embedded model.
fn embedded() -> ModelFiles {
    ModelFiles::gguf(Rc::new(Memory::new("embedded model", MODEL)))
}

/// A model of random weights whose window and selections are full after 40 tokens.
fn small() -> ModelFiles {
    let config = std::fs::read_to_string(fixture("golden/config.json")).unwrap();
    ModelFiles { sources: vec![memory("golden/model.safetensors")], config: Some(config), ..ModelFiles::default() }
}

fn session(files: &ModelFiles, choice: ExecutorChoice, fault: Option<&str>) -> Session {
    let options = LoadOptions {
        n_context: Some(256),
        n_chunk: Some(64),
        fault: fault.map(str::to_owned),
        ..LoadOptions::default()
    };
    load(files, choice, &options)
}

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn checked(files: &ModelFiles, choice: ExecutorChoice, fault: Option<&str>, extent: Extent) -> Check {
    let (mut session, mut oracle) = (session(files, choice, fault), session(files, ExecutorChoice::Cpu, None));
    let ids = built_in_ids(&session).unwrap();
    block_on(check(&mut session, &mut oracle, &ids, extent, &mut go_on)).unwrap()
}

fn adapters() -> impl Iterator<Item = (String, ExecutorChoice)> {
    places().into_iter().skip(1)
}

/// Names of all stages of a model, prompts' and decode's.
fn stage_names(files: &ModelFiles) -> BTreeSet<&'static str> {
    let session = session(files, ExecutorChoice::Cpu, None);
    let mut names: BTreeSet<_> = session.decode_recording().stages.iter().map(|stage| stage.name).collect();
    // What stands in a prompt's steps alone.
    names.extend([
        "attend_score",
        "compress",
        "experts_group",
        "head_mix",
        "hyper_collapse",
        "hyper_expand",
        "index_rotate",
        "index_top_k",
        "q_norm",
        "rotate",
        "route",
    ]);
    names
}

#[test]
fn an_intact_model_is_right_everywhere() {
    for (index, (place, choice)) in adapters().enumerate() {
        let begin = Instant::now();
        let files = if index == 0 { embedded() } else { small() };
        let check = checked(&files, choice, None, Extent::Full);
        println!("{place}, {:?}: {}", begin.elapsed(), check.summary);
        check.stages.iter().for_each(|stage| println!("  {stage:?}"));
        assert_eq!(check.verdict, Verdict::Right, "{place}: {check:?}");
        assert_eq!((check.prefill_equals_decode, check.twice_the_same), (Some(true), Some(true)), "{place}");
        let compared: BTreeSet<&str> = check.stages.iter().map(|stage| stage.stage.as_str()).collect();
        assert_eq!(compared, stage_names(&embedded()), "{place}: every stage had something to do");
    }
}

/// Stage by stage over 40 tokens of the small model.
fn stages_checked(choice: ExecutorChoice, fault: Option<&str>) -> Check {
    let (mut session, mut oracle) = (session(&small(), choice, fault), session(&small(), ExecutorChoice::Cpu, None));
    let ids = built_in_ids(&session).unwrap();
    let mut check = Check::default();
    let whole = block_on(compare_stages(&mut session, &mut oracle, &ids[..40], &mut check, &mut go_on)).unwrap();
    assert!(whole);
    check
}

/// The first stage that is wrong must be the broken one, and no other may be wrong.
fn is_caught(choice: ExecutorChoice, place: &str, fault: &str) {
    let check = stages_checked(choice, Some(fault));
    let first = check.first_wrong_stage.unwrap_or_else(|| panic!("{place}: a fault in {fault} is not caught"));
    assert_eq!(first.stage, fault, "{place}: {first:?}");
    for stage in check.stages {
        assert_eq!(stage.is_right(), stage.stage != fault, "{place}, {fault} broken: {stage:?}");
    }
}

/// A test for each stage, on the first adapter, and the list of them.
macro_rules! faults {
    ($($stage:ident)*) => {
        mod a_fault_is_caught_in {
            $(#[test]
            fn $stage() {
                let Some((place, choice)) = super::adapters().next() else { return };
                super::is_caught(choice, &place, stringify!($stage));
            })*
        }
        const FAULTS: &[&str] = &[$(stringify!($stage)),*];
    };
}

faults! {
    attend attend_score compress embed experts_group experts_in experts_out gate head head_collapse head_mix
    hyper_collapse hyper_expand hyper_expand_mix hyper_mix index_compress index_rotate index_score index_top_k kv o_a o_b project q q_norm rotate
    route sample window_compress
}

#[test]
fn every_stage_has_its_fault() {
    for files in [embedded(), small()] {
        assert_eq!(FAULTS.iter().copied().collect::<BTreeSet<_>>(), stage_names(&files));
    }
}

#[test]
fn other_adapters_catch_faults_too() {
    for (place, choice) in adapters().skip(1) {
        assert!(stages_checked(choice.clone(), None).first_wrong_stage.is_none(), "{place}");
        for fault in ["route", "attend", "sample"] {
            is_caught(choice.clone(), &place, fault);
        }
    }
}

/// Sums as hardware GPUs make them, and weights in shards, which make up one stage together.
#[test]
fn stages_agree_in_every_variant() {
    let Some((place, choice)) = adapters().next() else { return };
    let config = Config { reduce: Reduce::Workgroup, row_lanes: 8, vector_lanes: 32, ..Config::default() };
    for (fault, shard_bytes) in [(None, None), (None, Some(32 << 10)), (Some("experts_in"), Some(32 << 10))] {
        let mut oracle = session(&small(), ExecutorChoice::Cpu, None);
        let options = LoadOptions {
            n_context: Some(256),
            n_chunk: Some(64),
            tuning: Some(Tuning::uniform(config)),
            shard_bytes,
            fault: fault.map(str::to_owned),
            ..LoadOptions::default()
        };
        let mut session = block_on(Session::load(&small(), choice.clone(), &options, &mut |_| ())).unwrap();
        let ids = built_in_ids(&session).unwrap();
        let mut check = Check::default();
        block_on(compare_stages(&mut session, &mut oracle, &ids[..40], &mut check, &mut go_on)).unwrap();
        let first = check.first_wrong_stage.map(|stage| stage.stage);
        assert_eq!(first.as_deref(), fault, "{place}, shards of {shard_bytes:?} bytes");
    }
}

/// For every stage of a token, fused or not, the last exact variant that an adapter can run: what GPUs are given, and a program on the
/// CPU is not.
fn as_on_a_gpu(session: &Session, caps: &Caps) -> Tuning {
    let gpu = Tuning::guess(&Caps { is_software: false, ..*caps });
    session.decode_recording().stages.iter().fold(gpu, |tuning, stage| {
        let fits = |variant: &&Variant| variant.precision == Precision::Exact && variant.can(stage, caps);
        let Some(variant) = stage.op.variants.iter().rev().find(fits) else { return tuning };
        let choice = Choice { variant: variant.name.to_owned(), config: tuning.config };
        tuning.with(Problem::of(stage), choice)
    })
}

#[test]
fn stages_agree_in_the_variants_of_a_gpu() {
    let Some(adapter) = crate::support::adapters().into_iter().next() else { return };
    let family = |name: &str| ModelFiles::gguf(memory(&format!("families/{name}/model.gguf")));
    let models = [
        (
            small(),
            vec![
                "attend_flash",
                "attend_flash_choosing",
                "index_score_shared",
                "route_experts_in_of_bias",
                "window_compress",
                "linear_collapse",
            ],
        ),
        (family("qwen3moe"), vec!["route_experts_in", "experts_out_add", "linear_norm"]),
    ];
    for (files, fused) in models {
        let mut oracle = session(&files, ExecutorChoice::Cpu, None);
        let tuning = as_on_a_gpu(&oracle, &adapter.caps);
        let program = lower(&oracle.decode_recording(), &adapter.caps, &tuning);
        for name in fused {
            assert!(
                program.dispatches.iter().any(|of| [of.op.name, of.variant.name].contains(&name)),
                "{name} is used"
            );
        }
        let options =
            LoadOptions { n_context: Some(256), n_chunk: Some(64), tuning: Some(tuning), ..LoadOptions::default() };
        let choice = ExecutorChoice::Gpu(adapter.clone());
        let mut session = block_on(Session::load(&files, choice, &options, &mut |_| ())).unwrap();
        let ids = built_in_ids(&session).unwrap();
        let mut check = Check::default();
        block_on(compare_stages(&mut session, &mut oracle, &ids[..40], &mut check, &mut go_on)).unwrap();
        assert_eq!(check.first_wrong_stage, None, "{:?}", check.stages);
    }
}

/// What a whole model predicts where all matrices of a token's step that can be are multiplied with rounded activations: within
/// the budgets that docs/tuning.md states.
#[test]
fn rounded_activations_stay_within_their_budgets() {
    let Some(adapter) = crate::support::adapters().into_iter().find(|adapter| adapter.caps.packed_dot) else { return };
    let mut oracle = session(&embedded(), ExecutorChoice::Cpu, None);
    let ids = built_in_ids(&oracle).unwrap();
    let is_wanted = |variant: &Variant, rounding: Rounding| match variant.precision {
        Precision::Exact => false,
        Precision::Rounded(_) => rounding == Rounding::Usual,
        Precision::Quantized(_) => rounding == Rounding::Int8,
    };
    for (rounding, mean, worst) in [(Rounding::Usual, 1e-4, 1e-2), (Rounding::Int8, 1e-3, 1e-1)] {
        let guess = Tuning::guess(&adapter.caps).rounded(rounding);
        let decode = oracle.decode_recording();
        let with_parts = decode.stages.iter().flat_map(|stage| [stage].into_iter().chain(&stage.parts));
        let mut names = BTreeSet::new();
        let tuning = with_parts.fold(guess, |tuning, stage| {
            let fits = |of: &&Variant| is_wanted(of, rounding) && tuning.can(of, stage, &adapter.caps);
            let Some(variant) = stage.op.variants.iter().find(fits) else { return tuning };
            names.insert(variant.name.to_owned());
            let config = tuning.config;
            tuning.with(Problem::of(stage), Choice { variant: variant.name.to_owned(), config })
        });
        let options =
            LoadOptions { n_context: Some(256), n_chunk: Some(64), tuning: Some(tuning), ..Default::default() };
        let mut session = load(&embedded(), ExecutorChoice::Gpu(adapter.clone()), &options);
        let check = block_on(check(&mut session, &mut oracle, &ids, Extent::Full, &mut go_on)).unwrap();
        println!("{rounding:?}: {}, {names:?}", check.summary);
        assert_eq!(check.verdict, Verdict::Right, "{check:?}");
        assert!(check.rounded.len() >= 3 && check.rounded.iter().all(|name| names.contains(name)), "{check:?}");
        let tokens = check.tokens.unwrap();
        assert!(tokens.kl_mean > 0.0 && tokens.kl_mean <= mean && tokens.kl_max <= worst, "{rounding:?}: {tokens:?}");
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let mut oracle = session(&small(), ExecutorChoice::Cpu, None);
    let mut other = session(&embedded(), ExecutorChoice::Cpu, None);
    let mut refused = |session: &mut Session, ids: &[u32], words: &str| {
        let error = block_on(check(session, &mut oracle, ids, Extent::Full, &mut go_on)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(&mut other, &[1, 2], "another model");
    let options = LoadOptions { n_context: Some(128), ..LoadOptions::default() };
    let mut shorter = block_on(Session::load(&small(), ExecutorChoice::Cpu, &options, &mut |_| ())).unwrap();
    refused(&mut shorter, &[1, 2], "of the same size");
    refused(&mut session(&small(), ExecutorChoice::Cpu, None), &[1, 512], "512");
    refused(&mut session(&small(), ExecutorChoice::Cpu, None), &[], "no tokens");
    let fault = LoadOptions { fault: Some("atend".into()), ..LoadOptions::default() };
    let error = block_on(Session::load(&small(), ExecutorChoice::Cpu, &fault, &mut |_| ())).err().unwrap().to_string();
    assert!(error.contains("\"atend\"") && error.contains("attend, attend_score, compress"), "{error}");
}

#[test]
fn a_check_that_is_broken_off_knows_that_it_knows_nothing() {
    let mut sessions = [session(&small(), ExecutorChoice::Cpu, None), session(&small(), ExecutorChoice::Cpu, None)];
    let ids = built_in_ids(&sessions[0]).unwrap();
    for (extent, most) in [(Extent::Full, 3), (Extent::Short, 3), (Extent::Short, 60)] {
        let mut heard = 0;
        let mut watch = |progress: &Progress| {
            heard += 1;
            assert!(progress.done <= progress.total, "{progress:?}");
            if heard < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let [session, oracle] = &mut sessions;
        let check = block_on(check(session, oracle, &ids, extent, &mut watch)).unwrap();
        assert_eq!((check.verdict, heard), (Verdict::Unknown, most), "{check:?}");
    }
}

/// All but those that 48 tokens do not need: fewer entries than are selected need no scores, and nothing is sampled.
#[test]
fn the_short_form_catches_a_fault_in_every_stage_on_the_way_to_the_logits() {
    let Some((place, choice)) = adapters().next() else { return };
    for name in FAULTS.iter().copied().filter(|name| !["index_compress", "index_score", "sample"].contains(name)) {
        // Where no weight means anything, a fault means least.
        let check = checked(&small(), choice.clone(), Some(name), Extent::Short);
        println!("{place}, {name} broken: {}", check.summary);
        assert_eq!(check.verdict, Verdict::Wrong, "{place}, {name} broken: {check:?}");
        assert_eq!(check.fault.as_deref(), Some(name));
    }
}
