//! A context of 4,096 tokens: what is said at its end does not depend on how the prompt was cut, nor on where it is
//! computed; a token costs what the arithmetic says; and steps stay as short as they were.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop where it is, and tells what it measured")]

use crate::support::{fixture, memory};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::gpu::Adapter;
use headstart::gpu::recording::Cost;
use headstart::model::{Shape, SyntheticName};
use pollster::block_on;

const CONTEXT: u32 = 4096;
const N_PROMPT: usize = 4080;
/// Of a logit.
const BUDGET: f32 = 1e-3;

/// Two layers of grouped queries: every token sees every other.
fn grouped() -> ModelFiles {
    let config = std::fs::read_to_string(fixture("families/qwen2/config.json")).unwrap();
    let sources = vec![memory("families/qwen2/model.safetensors")];
    ModelFiles { sources, config: Some(config), ..ModelFiles::default() }
}

const WINDOW: u32 = 16;
const TOP_K: u32 = 24;
const INDEX_HEAD_DIM: u64 = 16;

/// A layer of each ratio: a window; a choice of 24 out of a thousand entries; all of 32 entries.
fn v4() -> ModelFiles {
    let config = format!(
        r#"{{"model_type": "deepseek_v4", "vocab_size": 64, "hidden_size": 32, "moe_intermediate_size": 32,
        "num_hidden_layers": 3, "num_attention_heads": 2, "head_dim": 16, "q_lora_rank": 32, "o_groups": 1,
        "o_lora_rank": 32, "num_experts_per_tok": 1, "n_routed_experts": 2, "max_position_embeddings": {CONTEXT},
        "compress_ratios": [0, 4, 128], "num_hash_layers": 1, "sliding_window": {WINDOW}, "index_n_heads": 2,
        "index_head_dim": {INDEX_HEAD_DIM}, "index_topk": {TOP_K}, "qk_rope_head_dim": 8, "hc_sinkhorn_iters": 2}}"#
    );
    let shape = Shape::from_config(&config).unwrap();
    let name = SyntheticName::parse("synthetic:config.json:format=f32:seed=3").unwrap();
    ModelFiles::synthetic(name.with_shape(shape).unwrap())
}

fn load(files: &ModelFiles, choice: ExecutorChoice) -> Session {
    let options = LoadOptions { n_context: Some(CONTEXT), ..LoadOptions::default() };
    block_on(Session::load(files, choice, &options, &mut |_| ())).unwrap()
}

/// The adapter to try: not the slow one of them, and none where there is none.
fn adapter() -> ExecutorChoice {
    let is_fast =
        |adapter: &Adapter| !adapter.identity.name.contains("SwiftShader") && adapter.identity.backend != "gl";
    block_on(Adapter::all()).into_iter().find(is_fast).map_or(ExecutorChoice::Cpu, ExecutorChoice::Gpu)
}

/// Logits after each of the ids from `first` on.
fn last_logits(session: &mut Session, ids: &[u32], first: usize, steps: &[u32]) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    let mut each = |place: usize, row: &[f32]| {
        if place >= first {
            rows.push(row.to_vec());
        }
        Ok(())
    };
    block_on(session.logits_in_steps(ids, steps, &mut each)).unwrap();
    rows
}

fn worst(expected: &[Vec<f32>], found: &[Vec<f32>]) -> f32 {
    assert_eq!((expected.len(), expected[0].len()), (found.len(), found[0].len()));
    let differences = expected.iter().flatten().zip(found.iter().flatten()).map(|(e, f)| (e - f).abs());
    differences.fold(0.0, |worst: f32, d| if worst.is_nan() || d <= worst { worst } else { d })
}

/// The same end of a text by a prompt in large steps and decode, by steps of other sizes, and on the CPU executor.
fn check_end(name: &str, files: &ModelFiles) {
    let mut session = load(files, adapter());
    let n_vocab = session.outline().n_vocab;
    let mut ids: Vec<u32> = (0..N_PROMPT as u32).map(|i| 2 + (i * i * 7 + i * 13) % (n_vocab - 2)).collect();
    let mut generation = block_on(session.generate(&ids, &Sampling::default(), CONTEXT as usize - N_PROMPT)).unwrap();
    let mut new = Vec::new();
    while let Some(id) = block_on(generation.next()).unwrap() {
        new.push(id);
    }
    block_on(generation.finish()).unwrap();
    assert!(!new.is_empty(), "{name}: nothing was written");
    let longest = session.longest_step();
    println!("{name}: the longest step had {} tokens and took {:.0} ms", longest.n_tokens, longest.ms);
    assert!((1..=session.n_chunk()).contains(&longest.n_tokens));

    ids.extend(&new);
    let first = N_PROMPT - 1;
    let whole = vec![session.n_logits(); first / session.n_logits() as usize];
    let in_large_steps = last_logits(&mut session, &ids, first, &[whole, vec![1; 64]].concat());
    let mut reference = load(files, ExecutorChoice::Cpu);
    let expected = last_logits(&mut reference, &ids, first, &[29; CONTEXT as usize / 29]);
    let gap = worst(&expected, &in_large_steps);
    println!("{name}: {gap:e} from the CPU executor");
    assert!(gap <= BUDGET, "{name}: {gap} from the CPU executor");
    for (id, logits) in new.iter().zip(&expected) {
        let most = logits.iter().copied().fold(f32::MIN, f32::max);
        assert!(logits[*id as usize] >= most - BUDGET, "{name}: wrote {new:?}, and {id} is not the most probable");
    }
}

#[test]
fn the_end_of_a_long_text_is_the_same_with_grouped_queries() {
    check_end("grouped", &grouped());
}

#[test]
fn the_end_of_a_long_text_is_the_same_with_compressed_attention() {
    check_end("V4", &v4());
}

/// A decode step's work at a position, of the stages that `meant` says.
fn work(session: &Session, position: u32, meant: impl Fn(&str, Option<u32>) -> bool) -> Cost {
    let recording = session.decode_recording();
    let stages = recording.stages.iter().filter(|stage| meant(stage.name, stage.layer));
    stages
        .map(|stage| stage.work(position))
        .fold(Cost::default(), |sum, work| Cost { bytes: sum.bytes + work.bytes, ops: sum.ops + work.ops })
}

#[test]
fn a_token_costs_more_by_each_token_before_it() {
    let session = load(&grouped(), ExecutorChoice::Cpu);
    let at = |position| work(&session, position, |_, _| true);
    // Two layers; of each token before, two heads of keys and values of 16 floats; four heads multiply and add twice.
    let (bytes, ops) = (2 * 2 * 2 * 16 * 4, 2 * 4 * 16 * 4);
    for position in [1, 1024, 4095u32] {
        let n = u64::from(position);
        let expected = Cost { bytes: at(0).bytes + n * bytes, ops: at(0).ops + n * ops };
        assert_eq!(at(position), expected, "position {position}");
    }
    // A prompt's tokens see each other, and what was there: the step at the end costs what it must more.
    let [near, far] = [0, 3840].map(|depth| session.work_of_prompt(depth, 256));
    assert_eq!(far.ops - near.ops, 256 * 3840 * ops);
    assert_eq!(far.bytes - near.bytes, 3840 * bytes);
}

#[test]
fn compressed_attention_costs_what_its_entries_cost() {
    let session = load(&v4(), ExecutorChoice::Cpu);
    let at = |position, layer| work(&session, position, move |_, of| of == Some(layer));
    let part = |position, layer, stage: &'static str| {
        work(&session, position, move |name, of| of == Some(layer) && name == stage)
    };
    // A window is full, and costs no more.
    assert_eq!(at(WINDOW - 1, 0), at(4095, 0));
    assert!(at(0, 0).bytes < at(4095, 0).bytes);
    // The indexer looks at every fourth token's entry; what it chooses is a fixed number of them.
    let index = |position| part(position, 1, "index_score").bytes;
    assert_eq!(index(4095) - index(2047), 2048 / 4 * (INDEX_HEAD_DIM + 1) * 4);
    assert_eq!(index(4095) - index(2047), 2 * (index(2047) - index(1023)));
    // The choice, scores and sums are one stage: a score more for each entry, and no more to attend to.
    let chosen = |position: u32| u64::from(position + 1) / 4 * 4;
    let attended = |position| part(position, 1, "attend").bytes - chosen(position);
    assert_eq!(attended(4 * TOP_K + WINDOW), attended(4095));
    assert!(part(3, 1, "attend").bytes < part(4095, 1, "attend").bytes);
    // Of ratio 128, all entries are seen: 16 more at twice the length.
    let more = part(4095, 2, "attend").ops - part(2047, 2, "attend").ops;
    assert_eq!(more, 2 * 16 * 2 * 2 * 16);
    // All in all a token at the end of the context costs little more than one in its middle.
    let all = |position| work(&session, position, |_, _| true).ops as f64;
    println!("operations per token at 1, 1024 and 4096: {} {} {}", all(0), all(1023), all(4095));
    assert!(all(4095) < 2.0 * all(0));
}

/// As many as are usual, or, where all are wanted (`-c 0`), as the model was trained for.
#[test]
fn a_context_that_nobody_counts_is_the_usual_or_the_models_own() {
    for (n_usual, n_context) in [(LoadOptions::default().n_usual, 4096), (u32::MAX, 5000), (64, 64)] {
        let mut files = grouped();
        files.config = files.config.map(|config| config.replace("4096", "5000"));
        let options = LoadOptions { n_context: None, n_usual, ..LoadOptions::default() };
        let session = block_on(Session::load(&files, ExecutorChoice::Cpu, &options, &mut |_| ())).unwrap();
        assert_eq!(session.n_context(), n_context);
    }
}
