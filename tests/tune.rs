//! The tuner on the adapters that are there: a wrong variant is noticed, what was found is kept and used again, and a file
//! that does not suit is passed over and said. No time is asserted.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use crate::support::{adapters, fixture, memory};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Session};
use headstart::gpu::lower::lower;
use headstart::gpu::{Access, Adapter, Caps, Choice, Op, Recording, Stage, Tuning, Variant};
use headstart::measure::report::TuningSource;
use headstart::measure::tune::{Extent, KeptTuning, tune};
use headstart::measure::{Progress, Report};
use pollster::block_on;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output};

const MODEL: &str = "golden/gguf/v4_random_f32.gguf";

/// The page's model: its weights are of several formats.
const QUANTIZED: &str = "../../www/models/headstart-v4-11m.gguf";

fn session(adapter: &Adapter, model: &str) -> Session {
    let options = LoadOptions { n_context: Some(64), n_chunk: Some(16), ..LoadOptions::default() };
    let choice = ExecutorChoice::Gpu(adapter.clone());
    block_on(Session::load(&ModelFiles::gguf(memory(model)), choice, &options, &mut |_| ())).unwrap()
}

/// The kernel with a second variant, whose text is changed.
fn with_variant(kernel: &'static Op, from: &str, to: &str) -> &'static Op {
    let first = &kernel.variants[0];
    let source: &'static str = first.source.replace(from, to).leak();
    assert_ne!(source, first.source, "{}: {from}", kernel.name);
    let copy = |source| Variant { source, ..*first };
    let renamed: &'static str = source.replace(&format!("fn {}(", first.name), "fn planted(").leak();
    let variants =
        vec![copy(first.source), Variant { name: "planted", entry: "planted", pays: |_| false, ..copy(renamed) }]
            .leak();
    Box::leak(Box::new(Op { variants, bindings: kernel.bindings, params: kernel.params, ..*kernel }))
}

#[test]
fn a_planted_wrong_variant_is_noticed_and_a_right_one_is_not() {
    for adapter in adapters() {
        let _turn = crate::support::turn(&adapter);
        let mut session = session(&adapter, MODEL);
        let guess = Tuning::guess(&adapter.caps);
        for (position, n_tokens) in [(16, 1), (0, 16)] {
            let at = session.stand(position, n_tokens);
            block_on(session.stand_in_step(&[5; 17], at)).unwrap();
            let all = session.alike(at);
            let alike = all.into_iter().find(|alike| alike.problem.kernel == "linear").unwrap();
            for (from, to, is_wrong) in [
                ("factor * sums[r])", "1.001 * factor * sums[r])", true),
                // A row that is never written.
                ("first + r < params.n_rows {", "first + r + 1u < params.n_rows {", true),
                ("reduce_rows(lane, &sums);", "reduce_rows(lane, &sums);\n    sums[0] *= 1.0;", false),
            ] {
                let mut stage = alike.stages[0].clone();
                stage.op = with_variant(stage.op, from, to);
                let expected = block_on(session.expect(std::slice::from_ref(&stage), &guess)).unwrap().unwrap();
                assert_eq!(block_on(session.disagreement(&expected, &guess)).unwrap(), None);
                let choice = Choice { variant: "planted".to_owned(), config: guess.config };
                let tuning = guess.clone().with(alike.problem.clone(), choice);
                let found = block_on(session.disagreement(&expected, &tuning)).unwrap();
                assert_eq!(found.is_some(), is_wrong, "{to} on {}: {found:?}", adapter.identity.name);
            }
        }
    }
}

#[test]
fn a_search_that_is_broken_off_ends_within_a_problem_and_leaves_out_the_next_step() {
    for adapter in adapters() {
        let _turn = crate::support::turn(&adapter);
        let mut session = session(&adapter, QUANTIZED);
        let mut heard = 0;
        // The first word is that the first problem begins.
        let mut watch = |_: &Progress| {
            heard += 1;
            if heard > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let facts = block_on(tune(&mut session, Extent::Quick, &mut watch)).unwrap();
        let [found] = &facts.problems[..] else { panic!("{} problems", facts.problems.len()) };
        let kernel = headstart::kernels::ALL.iter().find(|kernel| kernel.name == found.problem.kernel).unwrap();
        // Each variant as it is, and its parts, if it has some: no number was followed.
        let most = kernel.variants.len() as u32 + 1;
        assert!(found.n_tokens == 1 && found.n_tried <= most, "{}: {} tried", found.stage, found.n_tried);
    }
}

#[test]
fn copies_of_weights_compute_the_same_and_are_given_back() {
    for adapter in adapters() {
        let _turn = crate::support::turn(&adapter);
        let mut session = session(&adapter, QUANTIZED);
        let guess = Tuning::guess(&adapter.caps);
        // In steps of a size that no clock tells, so that it is the same to the bit.
        let logits = |session: &mut Session| crate::support::logits(session, &[5; 17], &[16, 1]);
        let before = logits(&mut session);
        let at = session.stand(16, 1);
        block_on(session.stand_in_step(&[5; 17], at)).unwrap();
        let (mut n_copied, mut n_formed, mut first_buffers) = (0, 0, BTreeSet::new());
        for alike in session.alike(at) {
            let one = alike.stages[0].cost.bytes;
            let spread = block_on(session.copy_out(&alike.stages, 20 * one)).unwrap();
            let copies = spread.stages[alike.stages.len().min(20)..].to_vec();
            // One whose weights are all read is copied; what a stage writes stays where it is.
            assert!(copies.is_empty() || spread.stages.len() == 20, "{}", alike.name);
            assert!(!copies.is_empty() || alike.problem.kernel != "linear", "{}", alike.name);
            n_copied += copies.len();
            first_buffers.extend(copies.first().and_then(|copy| copy.bindings.iter().map(|slice| slice.buffer).max()));
            let bound = |stage: &Stage, access| stage.slices(access).collect::<Vec<_>>();
            for (index, copy) in copies.iter().enumerate() {
                assert_eq!(bound(copy, Access::Write), bound(&alike.stages[0], Access::Write));
                let others = alike.stages.iter().chain(&copies[..index]);
                assert!(others.clone().all(|other| bound(other, Access::Read) != bound(copy, Access::Read)));
            }
            // Copies share no helper: each makes its own form of the activations, as each layer does in a step.
            if alike.problem.kernel == "linear" && !copies.is_empty() {
                let choice = Choice { variant: "linear_fixed".to_owned(), config: guess.config };
                let tuning = guess.clone().with(alike.problem.clone(), choice);
                let recording = Recording { stages: copies.clone(), layer: None };
                let caps = Caps { packed_dot: true, ..adapter.caps };
                let kernels = lower(&recording, &caps, &tuning).dispatches.into_iter().map(|of| of.op.name);
                let kernels: Vec<_> = kernels.filter(|name| *name == "fixed_point").collect();
                assert!(kernels.is_empty() || kernels.len() == copies.len(), "{}: {}", alike.name, kernels.len());
                n_formed += kernels.len();
            }
            // The last is the same to the adapter, and its reference is that of the first.
            if let Some(copy) = copies.last() {
                let expected = block_on(session.expect(&alike.stages[..1], &guess)).unwrap().unwrap();
                let of_copy = block_on(session.expect(std::slice::from_ref(copy), &guess)).unwrap().unwrap();
                assert!(expected.is_as(&of_copy), "{} on {}", alike.name, adapter.identity.name);
                assert_eq!(block_on(session.disagreement(&of_copy, &guess)).unwrap(), None, "{}", alike.name);
            }
            session.give_back(spread);
        }
        assert!(n_copied > 20 && n_formed > 0, "{n_copied} stages were copied");
        assert_eq!(first_buffers.len(), 1, "what one took was given back before the next");
        assert_eq!(logits(&mut session), before, "{}", adapter.identity.name);
    }
}

#[test]
fn what_timing_overwrites_makes_no_choice_wrong() {
    // Stages that are alike run one after the other while they are timed: their streams change places, or grow by each sum.
    for adapter in adapters() {
        let _turn = crate::support::turn(&adapter);
        for name in ["llama", "lfm2", "gemma3"] {
            let options = LoadOptions { n_context: Some(64), n_chunk: Some(16), ..LoadOptions::default() };
            let of = |file: &str| format!("families/{name}/{file}");
            let config = Some(std::fs::read_to_string(fixture(&of("config.json"))).unwrap());
            let sources = vec![memory(&of("model.safetensors"))];
            let files = ModelFiles { sources, config, ..ModelFiles::default() };
            let choice = ExecutorChoice::Gpu(adapter.clone());
            let mut session = block_on(Session::load(&files, choice, &options, &mut |_| ())).unwrap();
            let guess = Tuning::guess(&adapter.caps);
            for (position, n_tokens) in [(16, 1), (0, 16)] {
                let at = session.stand(position, n_tokens);
                for alike in session.alike(at).into_iter().filter(|alike| alike.stages.len() > 1) {
                    block_on(session.stand_in_step(&[5; 17], at)).unwrap();
                    let expected = block_on(session.expect(&alike.stages, &guess)).unwrap().unwrap();
                    let prepared = block_on(session.try_stages(&alike.stages, &guess)).unwrap();
                    block_on(session.time_tried(prepared, 3)).unwrap();
                    session.forget_tried(prepared);
                    let found = block_on(session.disagreement(&expected, &guess)).unwrap();
                    assert_eq!(found, None, "{name}, {} of {n_tokens} on {}", alike.name, adapter.identity.name);
                }
            }
        }
    }
}

#[test]
fn a_tuned_model_writes_what_it_wrote_before() {
    for adapter in adapters() {
        let _turn = crate::support::turn(&adapter);
        let mut session = session(&adapter, MODEL);
        let ids: Vec<u32> = (1..20).collect();
        let logits = |session: &mut Session| {
            let mut all = Vec::new();
            block_on(session.logits(&ids, &mut |_, logits| {
                all.extend_from_slice(logits);
                Ok(())
            }))
            .unwrap();
            all
        };
        let before = logits(&mut session);
        let (mut heard, mut last, mut is_searched, mut has_found) = (0, None, false, false);
        let facts = block_on(tune(&mut session, Extent::Quick, &mut |at: &Progress| {
            heard += 1;
            // What is heard of twice is searched, and what comes after another is done with that. Names repeat.
            let is_same = last == Some((at.what.clone(), at.done));
            has_found |= is_searched && !is_same;
            is_searched = is_same;
            last = Some((at.what.clone(), at.done));
            // A person who waits no longer keeps what was found until then.
            if heard < 12 || !has_found { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }))
        .unwrap();
        assert_eq!((facts.source, facts.wrong.as_slice()), (TuningSource::Quick, [].as_slice()));
        let tried = facts.problems.iter().filter(|problem| problem.n_tried > 0);
        assert!(tried.count() > 0 && facts.problems.iter().all(|problem| problem.guess_ms > 0.0), "{facts:?}");
        let chosen = facts.problems.iter().filter(|problem| problem.choice != problem.guess);
        for problem in chosen {
            assert_eq!(session.tuning().choices().get(&problem.problem), Some(&problem.choice));
            assert!(problem.gain() > 1.0, "{problem:?}");
        }
        let after = logits(&mut session);
        let worst = before.iter().zip(&after).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{}: {worst}", adapter.identity.name);
    }
}

/// The program with a cache folder of its own.
fn headstart(cache: &Path, arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_headstart"));
    program.args(arguments).env("XDG_CACHE_HOME", cache).stdin(std::process::Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_found_is_kept_used_exported_and_passed_over_where_it_is_damaged_or_foreign() {
    // Few problems, since each is searched for its time.
    let (cache, model) = (tempfile::tempdir().unwrap(), fixture("families/llama"));
    let (model, exported) = (model.to_str().unwrap(), cache.path().join("exported.json"));
    let exported = exported.to_str().unwrap();
    let bench = |tune: &str| {
        let report = cache.path().join("report.json");
        let quick = ["bench", "-m", model, "-p", "2", "-n", "2", "-r", "1", "--no-probe", "--no-check", "-c", "64"];
        let words = ["--tune", tune, "--report", report.to_str().unwrap()];
        let output = headstart(cache.path(), &[&quick[..], &words].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let reports: Vec<Report> = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        (reports[0].tuning.as_ref().map(|tuning| tuning.source), said(&output))
    };
    assert_eq!(bench("kept").0, None);
    let tuned = headstart(cache.path(), &["tune", "-m", model, "-c", "64", "--export", exported]);
    assert_eq!(tuned.status.code(), Some(0), "{}", said(&tuned));
    assert!(String::from_utf8_lossy(&tuned.stdout).contains("| gain"), "no table");
    let text = std::fs::read_to_string(exported).unwrap();
    let kept = KeptTuning::read(&text).unwrap();
    assert!(!kept.choices.is_empty());
    let file = std::fs::read_dir(cache.path().join("headstart/tuning")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    // Whatever is chosen, another than the guess must be used; so one is made.
    let mut forced = kept.clone();
    forced.choices.iter_mut().for_each(|kept| kept.choice.config.threads = 64);
    std::fs::write(&file, forced.text().unwrap()).unwrap();
    assert_eq!(bench("kept").0, Some(TuningSource::Kept));
    // All is known: nothing is searched.
    assert_eq!(bench("quick").0, Some(TuningSource::Kept));
    assert_eq!(bench("off").0, None);
    // Damaged, foreign, of another driver: said, and done without.
    let foreign = KeptTuning {
        adapter: headstart::gpu::adapter::Identity { driver: "of yesterday".into(), ..kept.adapter.clone() },
        ..kept.clone()
    };
    let foreign = foreign.text().unwrap();
    for bad in [&text[..text.len() / 2], foreign.as_str(), "\u{0}"] {
        std::fs::write(&file, bad).unwrap();
        let (source, said) = bench("kept");
        assert!(source.is_none() && said.contains("is not used"), "{said}");
    }
    std::fs::write(exported, &foreign).unwrap();
    let refused = headstart(cache.path(), &["tune", "--import", exported]);
    assert!(refused.status.code() == Some(3) && said(&refused).contains("of yesterday"), "{}", said(&refused));
    let itself = headstart(cache.path(), &["tune", "--import", exported, "--export", exported]);
    assert!(itself.status.code() == Some(2) && said(&itself).contains("is read"), "{}", said(&itself));
    // As Windows' shells write it.
    let wide: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(exported, &wide).unwrap();
    let taken = headstart(cache.path(), &["tune", "--import", exported]);
    assert_eq!(taken.status.code(), Some(0), "{}", said(&taken));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}
