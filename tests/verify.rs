//! `verify` as the tests of it: an adapter that is right passes, and every stage that is broken on purpose is caught.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;

use headstart::engine::{LoadOptions, ModelFiles, PlayerChoice, Session};
use headstart::format::Memory;
use headstart::gpu::play_gpu::ShaderChecks;
use headstart::measure::report::{Check, Verdict};
use headstart::measure::verify::{Extent, built_in_ids, check};
use pollster::block_on;
use support::places;

mod support;

static MODEL: &[u8] = include_bytes!("../www/models/headstart-v4-11m.gguf");

fn session(choice: PlayerChoice, fault: Option<&str>) -> Session {
    let files = ModelFiles::gguf(Rc::new(Memory::new("embedded model", MODEL)));
    let options = LoadOptions {
        shader_checks: ShaderChecks::On,
        n_context: Some(512),
        fault: fault.map(str::to_owned),
        ..LoadOptions::default()
    };
    block_on(Session::load(&files, choice, &options, &mut |_| ())).unwrap()
}

fn checked(choice: PlayerChoice, fault: Option<&str>, extent: Extent) -> Check {
    let (mut session, mut oracle) = (session(choice, fault), session(PlayerChoice::Cpu, None));
    let ids = built_in_ids(&session).unwrap();
    block_on(check(&mut session, &mut oracle, &ids, extent, &mut |_| ControlFlow::Continue(()))).unwrap()
}

#[test]
fn an_intact_model_is_right_everywhere() {
    for (place, choice) in places() {
        for extent in [Extent::Short, Extent::Full] {
            let check = checked(choice.clone(), None, extent);
            println!("{place}: {}", check.summary);
            check.stages.iter().for_each(|stage| println!("  {stage:?}"));
            assert_eq!(check.verdict, Verdict::Right, "{place}, {extent:?}: {check:?}");
        }
    }
}

/// All but those that 48 tokens do not need: fewer entries than are selected need no scores, and nothing is sampled.
#[test]
fn the_short_form_catches_a_fault_in_every_stage_on_the_way_to_the_logits() {
    let (place, choice) = places().swap_remove(1);
    let recording = session(PlayerChoice::Cpu, None).decode_recording();
    let names: BTreeSet<&str> = recording.stages.iter().map(|stage| stage.name).collect();
    for name in names.into_iter().filter(|name| !["index_compress", "index_score", "sample"].contains(name)) {
        let check = checked(choice.clone(), Some(name), Extent::Short);
        println!("{place}, {name} broken: {}", check.summary);
        assert_eq!(check.verdict, Verdict::Wrong, "{place}, {name} broken: {check:?}");
        assert_eq!(check.fault.as_deref(), Some(name));
    }
}
