//! The embedded model: the same text on every executor, llama.cpp's logits, and the size of a decode step.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails where it cannot go on")]

use std::rc::Rc;

use crate::support::{divergence, fixture, load, log_softmax, places};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::format::{Memory, Source, quant, safetensors};
use pollster::block_on;

static MODEL: &[u8] = include_bytes!("../www/models/headstart-v4-11m.gguf");

fn session(choice: ExecutorChoice) -> Session {
    let files = ModelFiles::gguf(Rc::new(Memory::new("embedded model", MODEL)));
    let options = LoadOptions { n_context: Some(1024), ..LoadOptions::default() };
    load(&files, choice, &options)
}

fn top(row: &[f64]) -> usize {
    (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b]).then(b.cmp(a))).unwrap()
}

fn teacher_forced(session: &mut Session, ids: &[u32]) -> Vec<Vec<f64>> {
    let mut rows = Vec::new();
    block_on(session.logits(ids, &mut |_, row| {
        rows.push(log_softmax(row));
        Ok(())
    }))
    .unwrap();
    rows
}

/// Token ids and llama.cpp's log-probabilities after each.
fn llama() -> (Vec<u32>, Vec<Vec<f64>>) {
    let name = "llama_logits.safetensors";
    let source: Rc<dyn Source> = Rc::new(Memory::new(name, std::fs::read(fixture(name)).unwrap()));
    let directory = block_on(safetensors::read(source.as_ref(), 0)).unwrap().directory;
    let read = |name: &str| {
        let info = directory.require(name).unwrap();
        let mut bytes = vec![0; info.bytes as usize];
        block_on(source.read_at(info.offset, &mut bytes)).unwrap();
        (info.require_supported().unwrap(), bytes, info.n_in() as usize)
    };
    let (format, bytes, _) = read("ids");
    let mut ids = Vec::new();
    quant::decode_integers(format, &bytes, &mut ids).unwrap();
    let (format, bytes, n_vocab) = read("log_probs");
    let mut values = vec![0.0; bytes.len() / format.block_bytes()];
    quant::decode_row(format, &bytes, &mut values).unwrap();
    let rows = values.chunks(n_vocab).map(|row| row.iter().map(|v| f64::from(*v)).collect()).collect();
    (ids.into_iter().map(|id| id as u32).collect(), rows)
}

#[test]
fn every_executor_agrees_with_the_cpu_executor_and_with_llama_cpp() {
    let (ids, llama) = llama();
    assert_eq!(ids.len(), 512);
    let mut reference: Option<Vec<Vec<f64>>> = None;
    for (place, choice) in places() {
        let rows = teacher_forced(&mut session(choice), &ids);
        let mean = |p: &[Vec<f64>]| p.iter().zip(&rows).map(|(p, q)| divergence(p, q)).sum::<f64>() / rows.len() as f64;
        let same_top = |p: &[Vec<f64>]| p.iter().zip(&rows).filter(|(p, q)| top(p) == top(q)).count();
        let against_llama = mean(&llama);
        println!("{place}: KL from llama.cpp {against_llama:.2e}, same top token {}", same_top(&llama));
        assert!(against_llama <= 1e-3, "{place}: mean KL divergence from llama.cpp is {against_llama}");
        let Some(reference) = &reference else {
            reference = Some(rows);
            continue;
        };
        let (kl, same) = (mean(reference), same_top(reference) as f64 / 512.0);
        println!("{place}: KL from the CPU executor {kl:.2e}, same top token {same:.4}");
        assert!(kl <= 1e-4 && same >= 0.995, "{place}: KL {kl}, same top token {same}, from the CPU executor");
    }
}

#[test]
fn greedy_text_is_the_same_everywhere() {
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(fixture("greedy.json")).unwrap()).unwrap();
    let ids = |key: &str| -> Vec<u32> { serde_json::from_value(json[key].clone()).unwrap() };
    let (prompt, expected) = (ids("prompt_ids"), ids("ids"));
    assert_eq!(expected.len(), 64);
    for (place, choice) in places() {
        let mut session = session(choice);
        for repeat in 0..2 {
            let mut written = Vec::new();
            let timings = block_on(async {
                let mut generation = session.generate(&prompt, &Sampling::default(), 64).await.unwrap();
                while let Some(id) = generation.next().await.unwrap() {
                    written.push(id);
                }
                generation.finish().await.unwrap()
            });
            assert_eq!(written, expected, "{place}, repeat {repeat}");
            assert!(timings.first_token_ms > 0.0 && timings.n_decoded == 63, "{place}: {timings:?}");
        }
    }
}

#[test]
fn sampling_repeats_with_its_seed_and_stops_when_told() {
    let prompt = [0, 300, 301, 302];
    let mut session = session(ExecutorChoice::Cpu);
    let mut write = |seed, n| {
        let sampling = Sampling { temperature: 0.9, top_k: 40, top_p: 0.95, seed, ..Sampling::default() };
        block_on(async {
            let mut generation = session.generate(&prompt, &sampling, 24).await.unwrap();
            let mut written = Vec::new();
            while written.len() < n {
                let Some(id) = generation.next().await.unwrap() else { break };
                written.push(id);
            }
            generation.finish().await.unwrap();
            written
        })
    };
    let first = write(1, 24);
    assert_eq!(first, write(1, 24), "the same seed writes the same");
    assert_ne!(first, write(2, 24), "another seed writes something else");
    assert_eq!(first[..5], write(1, 5)[..], "a stop in the middle leaves nothing behind");
    assert_eq!(first, write(1, 24), "and the next text is as the first");
}

#[test]
fn prompts_that_cannot_be_are_refused() {
    let mut session = session(ExecutorChoice::Cpu);
    let mut refused = |prompt: &[u32], sampling: Sampling| {
        block_on(async { session.generate(prompt, &sampling, 1).await.err() }).unwrap().to_string()
    };
    assert!(refused(&[], Sampling::default()).contains("no tokens"));
    assert!(refused(&[4000], Sampling::default()).contains("4000"));
    assert!(refused(&vec![1; 2000], Sampling::default()).contains("1024"));
    assert!(refused(&[1], Sampling { temperature: f32::NAN, ..Sampling::default() }).contains("temperature"));
}

/// The figure that a decode step is held to: dispatches per layer, with one set of bind groups and one pass.
#[test]
fn a_layer_decodes_in_at_most_20_dispatches() {
    let session = session(ExecutorChoice::Cpu);
    let recording = session.decode_recording();
    for layer in 0..session.outline().layer_kinds.len() as u32 {
        let n = recording.stages.iter().filter(|stage| stage.layer == Some(layer)).count();
        assert!((8..=20).contains(&n), "layer {layer} takes {n} dispatches");
    }
    for stage in &recording.stages {
        assert!(stage.work(0).bytes > 0, "{} moves bytes", stage.name);
    }
}
