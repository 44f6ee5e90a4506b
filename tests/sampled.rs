//! The check by samples, as the tests of it: it is exact where the references check themselves, right on an intact adapter,
//! and a fault in any stage and in any format is caught.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Instant;

use headstart::engine::lockstep::{Head, LockstepStep, SampledStage, sampled};
use headstart::engine::{LoadOptions, ModelFiles, PlayerChoice, Session};
use headstart::format::Format;
use headstart::gpu::play_gpu::ShaderChecks;
use headstart::measure::Progress;
use headstart::measure::report::{Check, Verdict};
use headstart::measure::verify::{built_in_ids, check_sampled};
use headstart::model::{Shape, SyntheticName};
use pollster::block_on;
use support::{fixture, memory, places};

mod support;

/// A model of random weights whose window and selections are full after 40 tokens.
fn small() -> ModelFiles {
    let config = std::fs::read_to_string(fixture("golden/config.json")).unwrap();
    ModelFiles { sources: vec![memory("golden/model.safetensors")], config: Some(config), ..ModelFiles::default() }
}

/// Layers of every kind, and matrices of more rows than are drawn, of which no number of blocks is a whole unit.
fn of_format(format: Format) -> ModelFiles {
    let width = if format.block_len() > 32 { 768 } else { 352 };
    let config = format!(
        r#"{{"model_type": "deepseek_v4", "vocab_size": 700, "hidden_size": {width}, "moe_intermediate_size": 256,
        "num_hidden_layers": 2, "num_attention_heads": 8, "head_dim": 64, "q_lora_rank": 256, "o_groups": 2,
        "o_lora_rank": 128, "num_experts_per_tok": 2, "n_routed_experts": 6, "max_position_embeddings": 512,
        "compress_ratios": [4, 0], "num_hash_layers": 1, "sliding_window": 16, "index_n_heads": 4,
        "index_head_dim": 32, "index_topk": 8, "qk_rope_head_dim": 16}}"#
    );
    let name = SyntheticName::parse(&format!("synthetic:config.json:format={format}")).unwrap();
    ModelFiles::synthetic(name.with_shape(Shape::from_config(&config).unwrap()).unwrap())
}

fn session(files: &ModelFiles, choice: PlayerChoice, fault: Option<&str>) -> Session {
    let options = LoadOptions {
        shader_checks: ShaderChecks::On,
        n_context: Some(256),
        n_chunk: 64,
        fault: fault.map(str::to_owned),
        ..LoadOptions::default()
    };
    block_on(Session::load(files, choice, &options, &mut |_| ())).unwrap()
}

fn adapters() -> impl Iterator<Item = (String, PlayerChoice)> {
    places().into_iter().skip(1)
}

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn checked(session: &mut Session, seed: u32) -> Check {
    let ids = built_in_ids(session).unwrap();
    block_on(check_sampled(session, &ids, seed, &mut go_on)).unwrap()
}

/// Names of all stages of a model that compute something in a short text.
fn stage_names(session: &Session) -> BTreeSet<String> {
    let mut names: BTreeSet<_> = session.decode_recording().stages.iter().map(|stage| stage.name.to_owned()).collect();
    names.insert("experts_group".into());
    names
}

#[test]
fn the_references_agree_with_themselves_to_the_bit_in_every_format() {
    let step = |position, n_tokens| LockstepStep { position, n_tokens, head: Head::Last };
    let steps = [step(0, 24), step(24, 40), step(64, 1), step(65, 1)];
    for format in &Format::WEIGHTS {
        let mut session = session(&of_format(*format), PlayerChoice::Cpu, None);
        let ids = built_in_ids(&session).unwrap();
        let mut drawn = BTreeSet::new();
        let mut each = |stage: &SampledStage, done: u32, total: u32| {
            assert!(stage.deviation.error == 0.0 && done <= total, "{format}: {stage:?}");
            drawn.extend(stage.n_drawn.map(|_| stage.deviation.stage));
            ControlFlow::Continue(())
        };
        assert!(block_on(sampled(&mut session, &ids, &steps, 3, &mut each)).unwrap().is_continue());
        let expected = ["experts_in", "experts_out", "head", "project", "q"];
        assert!(expected.iter().all(|stage| drawn.contains(stage)), "{format}: only {drawn:?} were drawn from");
    }
}

#[test]
fn an_intact_model_is_right_everywhere_whatever_is_drawn() {
    for (place, choice) in adapters() {
        let mut session = session(&small(), choice, None);
        for seed in 0..2 {
            let begin = Instant::now();
            let check = checked(&mut session, seed);
            println!("{place}, {:?}: {}", begin.elapsed(), check.summary);
            assert_eq!(check.verdict, Verdict::Right, "{place}: {check:?}");
            let compared: BTreeSet<String> = check.stages.iter().map(|stage| stage.stage.clone()).collect();
            assert_eq!(compared, stage_names(&session), "{place}: every stage had something to do");
            let sampled = check.sampled.unwrap();
            assert!(sampled.n_results > 10_000 && sampled.idle.is_empty() && sampled.seed == seed, "{sampled:?}");
        }
    }
}

/// The broken stage is the first that is wrong, and no other one is: each is judged by what the adapter itself gave it.
fn is_caught(files: &ModelFiles, choice: PlayerChoice, fault: &str) {
    let check = checked(&mut session(files, choice, Some(fault)), 1);
    let first = check.first_wrong_stage.as_ref().unwrap_or_else(|| panic!("a fault in {fault} is not caught"));
    assert_eq!((first.stage.as_str(), check.verdict, check.fault.as_deref()), (fault, Verdict::Wrong, Some(fault)));
    for stage in check.stages {
        assert_eq!(stage.is_right(), stage.stage != fault, "{fault} broken: {stage:?}");
    }
}

/// Each stage in another format, and each format with a stage that decodes it.
#[test]
fn a_fault_in_every_stage_and_format_is_caught() {
    let Some((place, choice)) = adapters().next() else { return };
    let decoding = ["q", "experts_in", "experts_out", "head", "embed", "project", "o_a", "o_b"].map(str::to_owned);
    let names = stage_names(&session(&of_format(Format::Q8_0), PlayerChoice::Cpu, None));
    let others = names.iter().filter(|name| !decoding.contains(name)).map(|name| (Format::Q4_K, name));
    for (format, fault) in Format::WEIGHTS.iter().copied().zip(decoding.iter().cycle()).chain(others) {
        let begin = Instant::now();
        is_caught(&of_format(format), choice.clone(), fault);
        println!("{place}, {format}, {fault}: {:?}", begin.elapsed());
    }
}
