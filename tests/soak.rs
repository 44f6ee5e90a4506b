//! Many loads and texts in one process, as in a tab that stays open for a day: memory stays flat, and what is written stays
//! the same. It takes as long as it is told, and other tests beside it would be counted, so it is run by itself:
//! `tools/soak.sh MINUTES`.

use crate::support::{all_places, memory};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use pollster::block_on;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

const MODELS: [&str; 3] = ["families/llama/model.gguf", "quantized/v4_mixed.gguf", "golden/gguf/v4_random_f32.gguf"];
/// Rounds in which allocators, drivers and their caches of shaders grow to what they need.
const N_WARM: usize = 5;
/// What may be held more than after these; a model that is not given back has several times that, over the rounds.
const MOST_GROWTH_BYTES: u64 = 24 << 20;

fn resident_bytes() -> u64 {
    let process = Pid::from_u32(std::process::id());
    let mut system = System::new().unwrap();
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[process]),
        true,
        ProcessRefreshKind::nothing().with_memory(),
    );
    system.process(process).unwrap().memory()
}

/// Loads a model, writes a text, leaves another in the midst, and writes the first again. Gives the text.
fn round(files: &ModelFiles, choice: &ExecutorChoice) -> Vec<u32> {
    let mut session = block_on(Session::load(files, choice.clone(), &LoadOptions::default(), &mut |_| ())).unwrap();
    let mut write = |prompt: &[u32], n: usize, leaves: bool| {
        let mut generation = block_on(session.generate(prompt, &Sampling::default(), n)).unwrap();
        let mut ids = Vec::new();
        while let Some(id) = block_on(generation.next()).unwrap() {
            ids.push(id);
            if leaves && ids.len() == 3 {
                // As when a person presses Stop twice: nobody waits for what is under way.
                return ids;
            }
        }
        block_on(generation.finish()).unwrap();
        ids
    };
    let text = write(&[1, 2, 3, 4], 24, false);
    write(&[1, 2, 9], 24, true);
    assert_eq!(write(&[1, 2, 3, 4], 24, false), text);
    text
}

#[test]
#[ignore = "as long as it is told: tools/soak.sh MINUTES"]
fn memory_stays_flat() {
    let minutes = std::env::var("HEADSTART_SOAK_MINUTES").map_or(1, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let places = all_places();
    let mut texts: HashMap<(usize, usize), Vec<u32>> = HashMap::new();
    let (mut n_rounds, mut after_warm, mut told) = (0, None, Instant::now());
    while Instant::now() < end || after_warm.is_none() {
        for (place, (_, choice)) in places.iter().enumerate() {
            for (model, name) in MODELS.into_iter().enumerate() {
                let found = round(&ModelFiles::gguf(memory(name)), choice);
                assert_eq!(*texts.entry((place, model)).or_insert_with(|| found.clone()), found, "round {n_rounds}");
            }
        }
        n_rounds += 1;
        let bytes = resident_bytes();
        if n_rounds == N_WARM {
            after_warm = Some(bytes);
        }
        if told.elapsed() > Duration::from_secs(20) || n_rounds == N_WARM {
            println!("round {n_rounds}: {} MiB", bytes >> 20);
            told = Instant::now();
        }
        let most = after_warm.map_or(u64::MAX, |warm| warm + warm / 10 + MOST_GROWTH_BYTES);
        assert!(bytes <= most, "round {n_rounds}: {} MiB, at most {} MiB expected", bytes >> 20, most >> 20);
    }
    println!("{n_rounds} rounds of {} models on {} places", MODELS.len(), places.len());
}
