//! The check by samples, as the tests of it: it is exact where the references check themselves, right on an intact adapter,
//! and a fault in any stage and in any format is caught.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Instant;

use crate::support::{fixture, load, memory, places};
use headstart::engine::check::lockstep::{Head, LockstepStep, SampledStage, sampled};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::format::Format;
use headstart::measure::Progress;
use headstart::measure::report::{Check, Verdict};
use headstart::measure::verify::{built_in_ids, check_sampled};
use headstart::model::{Shape, SyntheticName};
use pollster::block_on;

const FAMILIES: [&str; 2] = ["qwen3moe", "llama"];

/// A model of random weights whose window and selections are full after 40 tokens.
fn small() -> ModelFiles {
    let config = std::fs::read_to_string(fixture("golden/config.json")).unwrap();
    ModelFiles { sources: vec![memory("golden/model.safetensors")], config: Some(config), ..ModelFiles::default() }
}

/// Layers of every kind, and matrices of more rows than are drawn, of which no number of blocks is a whole unit.
fn of_format(format: Format, options: &str) -> ModelFiles {
    let width = if format.block_len() > 32 { 768 } else { 352 };
    let config = format!(
        r#"{{"model_type": "deepseek_v4", "vocab_size": 700, "hidden_size": {width}, "moe_intermediate_size": 256,
        "num_hidden_layers": 2, "num_attention_heads": 8, "head_dim": 64, "q_lora_rank": 256, "o_groups": 2,
        "o_lora_rank": 128, "num_experts_per_tok": 2, "n_routed_experts": 6, "max_position_embeddings": 512,
        "compress_ratios": [4, 0], "num_hash_layers": 1, "sliding_window": 16, "index_n_heads": 4,
        "index_head_dim": 32, "index_topk": 8, "qk_rope_head_dim": 16}}"#
    );
    let name = SyntheticName::parse(&format!("synthetic:config.json:format={format}{options}")).unwrap();
    ModelFiles::synthetic(name.with_shape(Shape::from_config(&config).unwrap()).unwrap())
}

/// A small model with grouped-query attention.
fn grouped(family: &str) -> ModelFiles {
    ModelFiles::gguf(memory(&format!("families/{family}/model.gguf")))
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

fn adapters() -> impl Iterator<Item = (String, ExecutorChoice)> {
    places().into_iter().skip(1)
}

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn checked(session: &mut Session, seed: u32) -> Check {
    let ids = built_in_ids(session).unwrap();
    block_on(check_sampled(session, &ids, seed, &mut go_on)).unwrap()
}

/// Names of all stages of a model, prompts' and decode's.
fn stage_names(session: &mut Session) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    each_stage(session, &mut |stage| {
        names.insert(stage.deviation.stage.to_owned());
    });
    names
}

/// A small step of a prompt, a large one, and two of decode.
fn each_stage(session: &mut Session, each: &mut dyn FnMut(&SampledStage)) {
    let step = |position, n_tokens| LockstepStep { position, n_tokens, head: Head::Last };
    let steps = [step(0, 24), step(24, 40), step(64, 1), step(65, 1)];
    let ids: Vec<u32> = (0..66).map(|i| i * 7 % session.outline().n_vocab).collect();
    let mut each = |stage: &SampledStage, done: u32, total: u32| {
        assert!(done <= total);
        each(stage);
        ControlFlow::Continue(())
    };
    assert!(block_on(sampled(session, &ids, &steps, 3, &mut each)).unwrap().is_continue());
}

#[test]
fn the_references_agree_with_themselves_to_the_bit_in_every_format() {
    let formats = Format::WEIGHTS.iter().map(|format| (format.to_string(), of_format(*format, "")));
    for (name, files) in formats.chain(FAMILIES.map(|family| (family.to_owned(), grouped(family)))) {
        let (mut compared, mut drawn, mut all) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        each_stage(&mut session(&files, ExecutorChoice::Cpu, None), &mut |stage| {
            assert!(stage.deviation.error == 0.0, "{name}: {stage:?}");
            let of = stage.deviation.stage;
            all.insert(of);
            compared.extend((stage.deviation.n_words > 0).then_some(of));
            drawn.extend(stage.n_drawn.map(|_| of));
        });
        assert_eq!(compared, all, "{name}: every stage had something to do");
        let expected = ["experts_in", "experts_out", "head", "project", "q"];
        let is_grouped = FAMILIES.contains(&name.as_str());
        assert!(is_grouped || expected.iter().all(|stage| drawn.contains(stage)), "{name}: only {drawn:?} are drawn");
    }
}

#[test]
fn an_intact_model_is_right_everywhere_whatever_is_drawn() {
    for (place, choice) in adapters() {
        for family in FAMILIES {
            let check = checked(&mut session(&grouped(family), choice.clone(), None), 0);
            assert_eq!(check.verdict, Verdict::Right, "{place}, {family}: {check:?}");
        }
        let mut session = session(&small(), choice, None);
        for seed in 0..2 {
            let begin = Instant::now();
            let check = checked(&mut session, seed);
            println!("{place}, {:?}: {}", begin.elapsed(), check.summary);
            assert_eq!(check.verdict, Verdict::Right, "{place}: {check:?}");
            let compared: BTreeSet<String> = check.stages.iter().map(|stage| stage.stage.clone()).collect();
            assert_eq!(compared, stage_names(&mut session), "{place}: every stage had something to do");
            let sampled = check.sampled.unwrap();
            assert!(sampled.n_results > 10_000 && sampled.idle.is_empty() && sampled.seed == seed, "{sampled:?}");
        }
    }
}

/// The broken stage is the first that is wrong, and no other one is: each is judged by what the adapter itself gave it.
fn is_caught(files: &ModelFiles, choice: ExecutorChoice, fault: &str) {
    let check = checked(&mut session(files, choice, Some(fault)), 1);
    let first = check.first_wrong_stage.as_ref().unwrap_or_else(|| panic!("a fault in {fault} is not caught"));
    assert_eq!((first.stage.as_str(), check.verdict, check.fault.as_deref()), (fault, Verdict::Wrong, Some(fault)));
    for stage in check.stages {
        assert_eq!(stage.is_right(), stage.stage != fault, "{fault} broken: {stage:?}");
    }
}

#[test]
fn a_fault_in_every_format_is_caught() {
    let Some((place, choice)) = adapters().next() else { return };
    let begin = Instant::now();
    let decoding = ["q", "experts_in", "experts_out", "head", "embed", "project", "o_a", "o_b"];
    for (format, fault) in Format::WEIGHTS.iter().zip(decoding.iter().cycle()) {
        is_caught(&of_format(*format, ":layers=1..2"), choice.clone(), fault);
    }
    println!("{place}: {:?}", begin.elapsed());
}

#[test]
fn a_fault_in_every_stage_is_caught() {
    let Some((place, choice)) = adapters().next() else { return };
    let begin = Instant::now();
    let mut seen = BTreeSet::new();
    for files in [of_format(Format::Q4_K, ""), grouped("qwen3moe"), grouped("llama")] {
        for fault in stage_names(&mut session(&files, ExecutorChoice::Cpu, None)) {
            if seen.insert(fault.clone()) {
                is_caught(&files, choice.clone(), &fault);
            }
        }
    }
    println!("{place}: {:?} for {} stages", begin.elapsed(), seen.len());
    assert!(seen.len() > 30, "{seen:?}");
}

/// A kernel of matrices that is not known as one would have its whole weights read back.
#[test]
fn every_kernel_with_weights_says_which_rows_it_needs() {
    for kernel in headstart::kernels::ALL {
        let names: Vec<&str> = kernel.bindings.iter().map(|(name, _)| *name).collect();
        // A matrix without scales is one of a few rows in f32 (`hyper_expand_mix`), and computed whole.
        let has_planes = names.contains(&"scales");
        // Each of its results needs all rows of a group, which are few: it is computed whole, for some tokens.
        let is_whole = kernel.name == "linear_transposed";
        assert_eq!(headstart::kernels::rows::has_matrix(kernel), has_planes && !is_whole, "{}", kernel.name);
        let inputs = kernel.bindings.iter().filter(|(_, access)| *access == headstart::gpu::Access::Read);
        let inputs: Vec<&str> = inputs.map(|(name, _)| *name).collect();
        let has_pair = inputs.windows(2).any(|two| two == ["quants", "scales"]);
        assert_eq!(has_pair, has_planes, "{}: the planes stand side by side among the inputs", kernel.name);
    }
}
