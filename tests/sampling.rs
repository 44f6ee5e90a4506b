//! Tokens chosen on the host instead of by the kernel, texts of a form, texts that end at a string, and what one run
//! leaves for another in a file: on the CPU executor and on every adapter present, and on the command line.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use headstart::engine::{ExecutorChoice, Generation, LoadOptions, ModelFiles, Sampling, Session};
use headstart::error::Error;
use headstart::format::Memory;
use headstart::kernels::cache::{CacheType, CacheTypes};
use pollster::block_on;
use std::process::{Command, Output};
use std::rc::Rc;

fn fixture(name: &str) -> ModelFiles {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    ModelFiles::gguf(Rc::new(Memory::new(name, std::fs::read(path).unwrap())))
}

const MODELS: [&str; 2] = ["families/llama/model.gguf", "golden/gguf/v4_random_f32.gguf"];

fn everywhere() -> Vec<ExecutorChoice> {
    let adapters = crate::support::adapters().into_iter().map(ExecutorChoice::Gpu);
    std::iter::once(ExecutorChoice::Cpu).chain(adapters).collect()
}

fn load(model: &str, choice: &ExecutorChoice, cache: CacheType) -> Session {
    let cache = CacheTypes::both(cache);
    let options = LoadOptions { n_context: Some(256), n_chunk: Some(32), cache, ..LoadOptions::default() };
    block_on(Session::load(&fixture(model), choice.clone(), &options, &mut |_| ())).unwrap()
}

async fn all(generation: headstart::Result<Generation<'_>>) -> (Vec<u32>, u32) {
    let mut generation = generation.unwrap();
    let mut ids = Vec::new();
    while let Some(id) = generation.next().await.unwrap() {
        ids.push(id);
    }
    (ids, generation.finish().await.unwrap().n_known)
}

/// The ids that follow a prompt, and how many of the prompt's were known.
fn go_on(session: &mut Session, prompt: &[u32], sampling: &Sampling, n: usize) -> (Vec<u32>, u32) {
    block_on(async { all(session.go_on(prompt, sampling, n, &[]).await).await })
}

const PROMPT: [u32; 12] = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26];

/// The same settings, such that the host has to choose.
fn on_host(sampling: &Sampling) -> Sampling {
    Sampling { logit_bias: vec![(0, 0.0)], ..sampling.clone() }
}

#[test]
fn a_text_is_the_same_wherever_its_tokens_are_chosen() {
    let hot = Sampling { temperature: 1.2, top_k: 30, top_p: 0.9, min_p: 0.02, seed: 5, ..Sampling::default() };
    let settings = [
        Sampling::default(),
        Sampling { repeat_penalty: 1.3, ..Sampling::default() },
        Sampling { presence_penalty: 0.7, frequency_penalty: 0.4, ..Sampling::default() },
        Sampling { repeat_penalty: 1.2, repeat_window: 8, frequency_penalty: -0.2, ..hot.clone() },
        Sampling { temperature: 1.0, seed: 9, ..Sampling::default() },
    ];
    for choice in everywhere() {
        let _turn = crate::support::turn_at(&choice);
        for model in MODELS {
            let mut session = load(model, &choice, CacheType::F32);
            for sampling in &settings {
                let (by_kernel, _) = go_on(&mut session, &PROMPT, sampling, 12);
                let (by_host, _) = go_on(&mut session, &PROMPT, &on_host(sampling), 12);
                assert_eq!(by_kernel, by_host, "{model}, {sampling:?}, {choice:?}");
                // What the host chose is what the cache now goes on from, but for the last token.
                let text = [&PROMPT[..], &by_host].concat();
                let (_, n_known) = go_on(&mut session, &[&text[..], &[1, 2]].concat(), sampling, 1);
                assert_eq!(n_known as usize, text.len() - 1);
            }
        }
    }
}

#[test]
fn what_is_forbidden_is_not_written() {
    let mut session = load(MODELS[0], &ExecutorChoice::Cpu, CacheType::F32);
    let (free, _) = go_on(&mut session, &PROMPT, &Sampling::default(), 6);
    let logit_bias = free.iter().map(|id| (*id, f32::NEG_INFINITY)).collect();
    let (other, _) = go_on(&mut session, &PROMPT, &Sampling { logit_bias, ..Sampling::default() }, 6);
    assert!(other.len() == 6 && other.iter().all(|id| !free.contains(id)), "{free:?}, {other:?}");
    // A great frequency penalty leaves no token twice.
    let frequency_penalty = 100.0;
    let (each, _) = go_on(&mut session, &PROMPT, &Sampling { frequency_penalty, ..Sampling::default() }, 20);
    let text = [&PROMPT[..], &each].concat();
    assert!((1..text.len()).all(|at| !text[..at].contains(&text[at])), "{text:?}");
    let unknown = Sampling { logit_bias: vec![(1 << 20, 1.0)], ..Sampling::default() };
    let refused = block_on(session.go_on(&PROMPT, &unknown, 1, &[])).map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("1048576"), "{refused}");
}

const HASH: [u8; 32] = [7; 32];

fn keep(session: &mut Session) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut write = |bytes: &[u8]| {
        kept.extend_from_slice(bytes);
        Ok(())
    };
    block_on(session.keep_past(&HASH, &mut write)).unwrap();
    kept
}

fn recall(session: &mut Session, mut kept: &[u8], model: &[u8; 32]) -> headstart::Result<u32> {
    let mut read = |buffer: &mut [u8]| {
        let (now, later) = kept.split_at_checked(buffer.len()).ok_or_else(|| Error::file("it", "ends too early"))?;
        buffer.copy_from_slice(now);
        kept = later;
        Ok(())
    };
    block_on(session.recall_past(model, &mut read))
}

#[test]
fn another_run_goes_on_from_what_was_kept() {
    let greedy = Sampling::default();
    for choice in everywhere() {
        let _turn = crate::support::turn_at(&choice);
        for (model, cache) in [(MODELS[0], CacheType::F32), (MODELS[0], CacheType::F16), (MODELS[1], CacheType::F32)] {
            let prompt: Vec<u32> = PROMPT.iter().cycle().take(60).copied().collect();
            let mut first = load(model, &choice, cache);
            assert!(keep(&mut first).is_empty(), "nothing was computed yet");
            let (answer, _) = go_on(&mut first, &prompt, &greedy, 50);
            let kept = keep(&mut first);
            let text = [&prompt[..], &answer[..40], &[7, 8, 9]].concat();
            let (expected, known_before) = go_on(&mut first, &text, &greedy, 9);
            assert_eq!(known_before, 100);
            // The text itself, and its prompt with another end, for which a V4 needs rows that were kept aside.
            let mut second = load(model, &choice, cache);
            assert_eq!(recall(&mut second, &kept, &HASH).unwrap(), 109);
            assert_eq!(go_on(&mut second, &text, &greedy, 9), (expected, 100), "{model}, {choice:?}");
            assert_eq!(recall(&mut second, &kept, &HASH).unwrap(), 109);
            let (again, known) = go_on(&mut second, &prompt, &greedy, 50);
            assert_eq!((again, known), (answer, 59), "{model}, {choice:?}");
        }
    }
}

#[test]
fn what_is_damaged_or_foreign_is_refused_and_does_no_harm() {
    for model in MODELS {
        let mut session = load(model, &ExecutorChoice::Cpu, CacheType::F32);
        let (answer, _) = go_on(&mut session, &PROMPT, &Sampling::default(), 8);
        let kept = keep(&mut session);
        let refused = |session: &mut Session, kept: &[u8], model: &[u8; 32], told: &str| {
            let error = recall(session, kept, model).unwrap_err().to_string();
            assert!(error.contains(told), "{error}, not {told}");
            // Nothing is known then.
            let (found, n_known) = go_on(session, &PROMPT, &Sampling::default(), 8);
            assert_eq!((&found, n_known), (&answer, 0));
        };
        refused(&mut session, &kept, &[8; 32], "another model");
        for n in [0, 7, 11, 50, 100, 140, kept.len() / 2, kept.len() - 1] {
            refused(&mut session, &kept[..n], &HASH, "ends too early");
        }
        let n = kept.len();
        let places = [
            (0, "another kind"),
            (8, "version"),
            (12, "another model"),
            (44, "another layout"),
            (78, "tokens"),
            // The first id, a value, and the hash.
            (95, "ids below"),
            (n / 2, "damaged"),
            (n - 1, "damaged"),
        ];
        for (place, told) in places {
            let mut wrong = kept.clone();
            wrong[place] ^= 0x40;
            refused(&mut session, &wrong, &HASH, told);
        }
    }
}

/// A `config.json` beside the weights says how they are used.
#[test]
fn the_same_weights_in_another_shape_are_another_model() {
    let config = std::fs::read_to_string(crate::support::fixture("families/llama/config.json")).unwrap();
    let of = |config: &str| {
        let sources = vec![crate::support::memory("families/llama/model.safetensors")];
        let files = ModelFiles { sources, config: Some(config.to_owned()), ..ModelFiles::default() };
        let options = LoadOptions { n_context: Some(64), ..LoadOptions::default() };
        block_on(Session::load(&files, ExecutorChoice::Cpu, &options, &mut |_| ())).unwrap()
    };
    let mut first = of(&config);
    go_on(&mut first, &PROMPT, &Sampling::default(), 4);
    let kept = keep(&mut first);
    assert_eq!(recall(&mut of(&config), &kept, &HASH).unwrap(), 15);
    for (from, to) in [("500000.0", "10000.0"), ("1e-05", "1e-06"), ("\"factor\": 8.0", "\"factor\": 4.0")] {
        let other = config.replace(from, to);
        assert!(other != config, "{from}");
        let error = recall(&mut of(&other), &kept, &HASH).unwrap_err().to_string();
        assert!(error.contains("another shape of the model"), "{to}: {error}");
    }
}

/// A short text of the embedded model.
fn write(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_headstart");
    Command::new(program)
        .args(["run", "--adapter", "cpu", "-p", "He said", "--seed", "4"])
        .args(arguments)
        .output()
        .unwrap()
}

fn written(arguments: &[&str]) -> String {
    let output = write(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_text_has_the_form_that_is_asked_for() {
    let schema = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":0,"maximum":9},"is":{"type":"boolean"}},
        "required":["n","is"],"additionalProperties":false}"#;
    let value: serde_json::Value = serde_json::from_str(&written(&["-n", "90", "-j", schema])).unwrap();
    assert!(value["n"].as_u64().unwrap() < 10 && value["is"].is_boolean(), "{value}");
    let text = written(&["-n", "12", "--grammar", r#"root ::= " nothing" (" at all" | " more")"#]);
    assert!([" nothing at all", " nothing more"].contains(&text.as_str()), "{text}");
    for (options, told) in [
        (["--grammar", "root ::= other"], "no rule \"other\""),
        (["-j", "{"], "JSON schema"),
        (["--json-schema", r#"{"type":"nothing"}"#], "grammar"),
    ] {
        let output = write(&options);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && err.contains(told), "{err}");
    }
}

#[test]
fn a_text_ends_at_a_string_which_is_left_out() {
    let whole = written(&["-n", "12", "--temp", "0"]);
    // From the middle of one word to that of the next.
    let middle = whole.char_indices().nth(whole.chars().count() / 2).unwrap().0;
    let stop: String = whole[middle..].chars().take(4).collect();
    let before = &whole[..whole.find(&stop).unwrap()];
    assert_eq!(written(&["-n", "12", "--temp", "0", "-r", "never", "-r", &stop]), before);
    // Also at a token that is no part of the text.
    let pad = ["-n", "6", "--temp", "0", "--logit-bias", "2+100"];
    for (stops, ends) in [(&["-r", "<｜▁pad▁｜>"][..], true), (&[], false)] {
        let told = String::from_utf8(write(&[&pad, stops].concat()).stderr).unwrap();
        assert_eq!(told.contains("fewer than two tokens"), ends, "{told}");
    }
    // The embedded model ends no text here; forbidden to, it writes as many tokens as are asked for.
    assert_eq!(written(&["-n", "12", "--temp", "0", "--ignore-eos"]), whole);
}

#[test]
fn a_prompt_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let cache = path.to_str().unwrap();
    let known = |output: &Output| {
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{err}");
        let line = err.lines().find(|line| line.contains("of the prompt were known")).unwrap();
        (line.split(' ').nth(1).unwrap().parse::<u32>().unwrap(), err.contains("is not used"))
    };
    let options = ["-n", "4", "--temp", "0", "--prompt-cache", cache];
    let first = write(&options);
    assert_eq!(known(&first), (0, false));
    let second = write(&options);
    assert!(known(&second).0 > 0 && first.stdout == second.stdout);
    // Damaged, it is reported and made again.
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let third = write(&options);
    assert_eq!((known(&third), &third.stdout), ((0, true), &first.stdout));
    assert!(known(&write(&options)).0 > 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
