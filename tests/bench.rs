//! Repeated tests of speed, on every adapter present and the CPU executor: every figure there and consistent with the
//! others, the order as promised, nothing lost where an adapter fails or a person has had enough. No time is asserted.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::process::{Command, Output, Stdio};
use std::rc::Rc;

use crate::support::{all_places, fixture, memory, places};
use headstart::engine::{ExecutorChoice, LoadOptions, ModelFiles, Sampling, Session};
use headstart::gpu::recording::Cost;
use headstart::measure::bench::{Lane, Plan, TestPlan, bench};
use headstart::measure::report::{Host, ModelFacts, Platform, Probe, ProbeKind, Probes, Settings, Test, Verdict};
use headstart::measure::{Progress, Report, Spread};
use pollster::block_on;
use serde_json::Value;

const MODEL: &str = "golden/gguf/v4_random_f32.gguf";

fn session(choice: ExecutorChoice, n_context: u32) -> Session {
    let options = LoadOptions { n_context: Some(n_context), n_chunk: Some(32), ..LoadOptions::default() };
    block_on(Session::load(&ModelFiles::gguf(memory(MODEL)), choice, &options, &mut |_| ())).unwrap()
}

fn lane(choice: ExecutorChoice, n_context: u32) -> Lane {
    let session = session(choice, n_context);
    let facts = ModelFacts::new(&session, "tiny", 1);
    let platform = Platform::new(Host::Native, String::new(), None);
    let mut report = Report::of_session(platform, &session, facts, Settings::default());
    let read = Spread { n: 1, median: 10.0, ..Spread::default() };
    report.probes = Probes(vec![Probe { kind: ProbeKind::Read, value: read, right: true }]);
    Lane::new(session, report)
}

fn test(n_prompt: u32, n_gen: u32, depth: u32) -> TestPlan {
    TestPlan { n_prompt, n_gen, depth }
}

fn plan(tests: &[TestPlan]) -> Plan {
    Plan { tests: tests.to_vec(), repeats: 2, warm_up: true, fill: true, profile: false }
}

fn run(lanes: &mut [Lane], plan: &Plan) {
    block_on(bench(lanes, plan, &mut |_| ControlFlow::Continue(()))).unwrap();
}

fn names(lane: &Lane) -> Vec<String> {
    lane.report.tests.iter().map(Test::name).collect()
}

/// Fails unless a test's figures are there and agree with each other.
fn consistent(test: &Test, repeats: u32) {
    let (name, speed) = (test.name(), test.tokens_per_s);
    let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-6;
    assert_eq!(speed.n, repeats, "{name}");
    assert!(speed.min > 0.0 && speed.min <= speed.median && speed.median <= speed.max, "{name}: {speed:?}");
    // Rate and time are one number, also of an even number of runs.
    assert!(near(speed.median * test.ms_per_token, 1000.0), "{name}: {speed:?}, {} ms", test.ms_per_token);
    assert!(test.bytes_per_token > 0 && test.ops_per_token > 0, "{name}: {test:?}");
    assert!(near(test.gb_per_s * test.ms_per_token * 1e6, test.bytes_per_token as f64), "{name}: {test:?}");
    let share = test.share.unwrap();
    assert!(share.of == ProbeKind::Read && near(share.share, test.gb_per_s / 10.0), "{name}: {test:?}");
    assert!(test.prefill_ms > 0.0, "{name}: {test:?}");
    assert_eq!(test.first_token_ms.is_some(), test.n_gen > 0, "{name}");
    if let Some(first) = test.first_token_ms {
        let whole = test.ms_per_token * f64::from(test.n_prompt + test.n_gen);
        assert!(first > 0.0 && test.decode_ms > 0.0 && whole > 0.0, "{name}: {test:?}");
    }
}

#[test]
fn every_figure_is_there_and_agrees_with_the_others_on_every_adapter() {
    let mut lanes: Vec<Lane> = places().into_iter().map(|(_, choice)| lane(choice, 128)).collect();
    let tests = [test(16, 0, 0), test(0, 8, 0), test(16, 8, 64), test(40, 0, 64)];
    run(&mut lanes, &Plan { profile: true, ..plan(&tests) });
    for lane in &lanes {
        assert_eq!(lane.failed, None, "{}", lane.name());
        assert_eq!(names(lane), ["pp16", "tg8", "pp16+tg8 @ d64", "pp40 @ d64"], "{}", lane.name());
        lane.report.tests.iter().for_each(|test| consistent(test, 2));
        let settings = lane.report.settings.clone().unwrap();
        assert_eq!((settings.repeats, settings.warm_up), (2, true));
    }
    // The CPU executor always has a clock for stages: decode and a prompt's step, at each of the depths.
    let profiles = &lanes[0].report.profiles;
    let steps: Vec<(u32, u32)> = profiles.iter().map(|profile| (profile.n_tokens, profile.depth)).collect();
    assert_eq!(steps, [(1, 0), (1, 80), (16, 0), (32, 64)]);
    for profile in profiles {
        let mut kinds: Vec<&str> = profile.layers.iter().map(|layers| layers.kind.as_str()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["ratio 0", "ratio 128", "ratio 4"]);
        let n_layers: u32 = profile.layers.iter().map(|layers| layers.n_layers).sum();
        assert_eq!(n_layers as usize, lanes[0].session.outline().layer_kinds.len());
        let whole: f64 = profile.stages.iter().map(|stage| stage.ms).sum();
        let in_layers: f64 = profile.layers.iter().map(|kind| kind.ms_per_layer * f64::from(kind.n_layers)).sum();
        assert!(in_layers > 0.0 && in_layers < whole, "{in_layers} of {whole}");
    }
}

#[test]
fn rounds_go_through_all_tests_and_in_each_through_all_lanes() {
    let mut lanes = [lane(ExecutorChoice::Cpu, 32), lane(ExecutorChoice::Cpu, 32)];
    lanes[1].report.adapter.identity.name = "other".to_owned();
    let mut heard = Vec::new();
    let plan = Plan { repeats: 1, ..plan(&[test(2, 0, 0), test(0, 2, 0)]) };
    let mut watch = |progress: &Progress| {
        heard.push((progress.done, progress.what.clone()));
        assert_eq!(progress.total, 8);
        ControlFlow::Continue(())
    };
    block_on(bench(&mut lanes, &plan, &mut watch)).unwrap();
    heard.dedup();
    let round = |round: &str| {
        ["pp2 on CPU", "pp2 on other", "tg2 on CPU", "tg2 on other"].map(|what| format!("{what} (cpu), {round}"))
    };
    let expected = [round("warm-up"), round("run 1 of 1")].concat();
    assert_eq!(heard, (0..8).zip(expected).collect::<Vec<_>>());
}

#[test]
fn a_lane_that_fails_keeps_its_error_and_the_others_their_results() {
    let mut lanes = [lane(ExecutorChoice::Cpu, 8), lane(ExecutorChoice::Cpu, 64)];
    run(&mut lanes, &plan(&[test(4, 0, 0), test(0, 16, 0)]));
    let error = lanes[0].failed.clone().unwrap();
    assert!(error.to_string().contains("room for 8 tokens; expected 17"), "{error}");
    assert!(lanes[0].report.tests.is_empty());
    assert_eq!((names(&lanes[1]), lanes[1].failed.clone()), (vec!["pp4".to_owned(), "tg16".to_owned()], None));
}

#[test]
fn what_was_measured_before_it_was_broken_off_is_kept() {
    let mut lanes = [lane(ExecutorChoice::Cpu, 64)];
    let told = Rc::new(RefCell::new(Vec::new()));
    let hearer = Rc::clone(&told);
    let count = |report: &Report| report.tests.iter().map(|test| test.tokens_per_s.n).sum::<u32>();
    lanes[0].hear = Some(Box::new(move |report| hearer.borrow_mut().push(count(report))));
    let plan = Plan { repeats: 50, profile: true, ..plan(&[test(2, 0, 0), test(0, 2, 0)]) };
    // The warm-up, two whole rounds, and the first test of the third.
    let mut watch = |progress: &Progress| match progress.done {
        7 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    block_on(bench(&mut lanes, &plan, &mut watch)).unwrap();
    let counts: Vec<u32> = lanes[0].report.tests.iter().map(|test| test.tokens_per_s.n).collect();
    assert_eq!((counts, lanes[0].report.profiles.len()), (vec![3, 2], 0));
    // The report was told as it grew, and once more at the end.
    assert_eq!(*told.borrow(), [1, 2, 3, 4, 5, 5]);
}

#[test]
fn plans_that_make_no_sense_are_refused() {
    let mut lanes = [lane(ExecutorChoice::Cpu, 32)];
    for plan in [plan(&[]), plan(&[test(0, 0, 4)]), Plan { repeats: 0, ..plan(&[test(1, 0, 0)]) }] {
        assert!(block_on(bench(&mut lanes, &plan, &mut |_| ControlFlow::Continue(()))).is_err(), "{plan:?}");
    }
    // So large that nothing may be allocated for it.
    run(&mut lanes, &plan(&[test(u32::MAX, u32::MAX, u32::MAX)]));
    assert!(lanes[0].failed.is_some());
}

#[test]
fn the_tokens_before_a_test_are_computed_once_if_they_are_wanted() {
    let entries = |fill: bool| {
        let mut lanes = [lane(ExecutorChoice::Cpu, 128)];
        run(&mut lanes, &Plan { fill, ..plan(&[test(4, 0, 64)]) });
        let shape = lanes[0].session.v4_shape().unwrap();
        let layer = shape.ratios.iter().position(|ratio| *ratio == 4).unwrap();
        let width = shape.head_dim as usize;
        block_on(lanes[0].session.read_entries(layer)).unwrap().0[..16 * width].to_vec()
    };
    assert!(entries(true).chunks_exact(16).all(|part| part.iter().any(|x| *x != 0.0)));
    // The test's own first token finishes nothing before it.
    assert!(entries(false).iter().all(|x| *x == 0.0));
}

#[test]
fn the_work_of_a_test_is_that_of_its_recordings() {
    let session = session(ExecutorChoice::Cpu, 128);
    let at = |position: u32| {
        let stages = session.decode_recording().stages;
        let work = |sum: Cost, own: Cost| Cost { bytes: sum.bytes + own.bytes, ops: sum.ops + own.ops };
        stages.iter().map(|stage| stage.work(position)).fold(Cost::default(), work)
    };
    // One token after 50, and the next: two decode steps, though the first is computed as a prompt, whose head reads the
    // streams that its body wrote. A decode step has that in one stage.
    let streams = 4 * 4 * u64::from(session.v4_shape().unwrap().n_embd);
    let one = session.work_of_generation(50, 1, 1);
    assert_eq!((one.bytes, one.ops), (at(50).bytes + streams, at(50).ops));
    let two = session.work_of_generation(50, 1, 2);
    assert_eq!((two.bytes, two.ops), (one.bytes + at(51).bytes, one.ops + at(51).ops));
    // Steps hold 32 tokens here: what is left over is a step of its own.
    let (whole, rest, both) =
        (session.work_of_prompt(0, 32), session.work_of_prompt(32, 5), session.work_of_prompt(0, 37));
    assert_eq!((both.bytes, both.ops), (whole.bytes + rest.bytes, whole.ops + rest.ops));
    assert_eq!(session.work_of_prompt(9, 0), Cost::default());
    assert!(session.work_of_prompt(64, 32).ops > whole.ops, "more keys are seen after 64 tokens");
}

#[test]
fn an_end_token_ends_a_text_but_no_measurement() {
    let mut session = session(ExecutorChoice::Cpu, 256);
    let mut write = |seed: u32, past: bool| {
        let sampling = Sampling { temperature: 100.0, seed, ..Sampling::default() };
        block_on(async {
            let mut generation = if past {
                session.generate_from(0, &[1], &sampling, 100).await.unwrap()
            } else {
                session.generate(&[1], &sampling, 100).await.unwrap()
            };
            let mut n = 0;
            while generation.next().await.unwrap().is_some() {
                n += 1;
            }
            n
        })
    };
    let seed = (0..100).find(|seed| write(*seed, false) < 100).expect("a seed that draws the end token");
    assert_eq!(write(seed, true), 100);
}

fn headstart(arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_headstart"));
    // Searching for faster kernels is another test's business, and takes long.
    program
        .args(["bench", "--tune", "off"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    program
}

fn output(arguments: &[&str]) -> Output {
    headstart(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The tiny model on the CPU executor, in a few tokens.
fn tiny(more: &[&str]) -> Output {
    let model = fixture(MODEL);
    let tests = ["-m", model.to_str().unwrap(), "--adapter", "cpu", "-p", "4", "-n", "0", "-pg", "2,3", "-r", "2"];
    output(&[&tests[..], more].concat())
}

#[test]
fn the_command_measures_and_checks_every_adapter_and_reports_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.json");
    let file = path.to_str().unwrap();
    let more = ["-p", "16", "-n", "8", "-r", "2", "-d", "32", "--adapter", "all,cpu", "-o", "json", "--report", file];
    let rows: Vec<Value> = serde_json::from_str(&stdout(&output(&more))).unwrap();
    let reports: Vec<Report> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(reports.len(), all_places().len());
    assert_eq!(rows.len(), reports.len() * 2);
    for (report, rows) in reports.iter().zip(rows.chunks(2)) {
        let (name, backend) = (&report.adapter.identity.name, &report.adapter.identity.backend);
        let names: Vec<String> = report.tests.iter().map(Test::name).collect();
        assert_eq!(names, ["pp16 @ d32", "tg8 @ d32"]);
        let model = report.model.clone().unwrap();
        assert_eq!((model.name.as_str(), model.n_context), ("headstart-v4-11m.gguf", 4096));
        assert!(model.sha256.is_some_and(|hash| hash.len() == 64), "{name}");
        assert!(report.load.is_some_and(|load| load.upload_ms > 0.0), "{name}");
        let check = report.check.clone().unwrap();
        let expected = if backend == "cpu" { Verdict::Unknown } else { Verdict::Right };
        assert_eq!(check.verdict, expected, "{name}: {}", check.summary);
        for (test, row) in report.tests.iter().zip(rows) {
            assert!(test.share.is_some_and(|share| share.share > 0.0), "{name}: {test:?}");
            assert_eq!((row["adapter"].as_str(), row["backend"].as_str()), (Some(&**name), Some(&**backend)));
            assert_eq!((row["test"].as_str(), row["runs"].as_u64()), (Some(&*test.name()), Some(2)));
            assert_eq!(row["tokens_per_s"].as_f64(), Some(test.tokens_per_s.median));
            assert_eq!((row["load_ms"].is_f64(), row["prefill_ms"].as_f64()), (true, Some(test.prefill_ms)));
            assert_eq!(row["verdict"], serde_json::to_value(expected).unwrap());
        }
    }
}

#[test]
fn every_format_tells_the_same_rows() {
    let table = stdout(&tiny(&["--no-probe", "--no-check", "--profile"]));
    let lines: Vec<&str> = table.lines().collect();
    // What all rows have in common stands once, above them; a row has room in 80 columns.
    assert!(lines[0].starts_with("v4_random_f32.gguf, ") && lines[0].ends_with(" parameters"), "{table}");
    assert!(lines[1].contains(": load ") && lines[1].ends_with(", numbers not checked"), "{table}");
    for column in ["test", "t/s", "ms/token", "first", "GB/s", "share"] {
        assert!(lines[3].contains(column), "{column}: {table}");
    }
    assert!(lines[3..7].iter().all(|line| line.chars().count() <= 80), "{table}");
    assert!(lines[5].contains(" pp4 ") && lines[5].contains(" ± "), "{table}");
    assert!(lines[6].contains(" pp2+tg3 ") && lines[6].contains("not probed"), "{table}");
    assert!(table.contains("pp2+tg3: prefill ") && table.contains("Stages of prefill of 4 tokens"), "{table}");
    assert!(table.contains("layers of ratio 128"), "{table}");

    let lines = stdout(&tiny(&["--no-check", "-o", "jsonl"]));
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!([&rows[0]["test"], &rows[1]["test"]], ["pp4", "pp2+tg3"]);
    assert!(rows.iter().all(|row| row["share"].is_f64() && row["model"] == "v4_random_f32.gguf"), "{lines}");

    let text = stdout(&tiny(&["--no-probe", "-o", "csv"]));
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let fields: Vec<&str> = names.iter().collect();
    let mut keys: Vec<&str> = rows[0].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, keys);
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let test = fields.iter().position(|name| *name == "test").unwrap();
    assert_eq!([&records[0][test], &records[1][test]], ["pp4", "pp2+tg3"]);

    let text = stdout(&tiny(&["--no-probe", "--no-check", "-o", "sql"]));
    assert_eq!(text.matches("CREATE TABLE IF NOT EXISTS").count(), 1, "{text}");
    assert_eq!(text.matches("INSERT INTO").count(), 2, "{text}");
}

#[test]
fn requests_that_make_no_sense_are_refused_by_name() {
    for (more, words) in [
        (&["-p", "0", "-n", "0"][..], "no tokens"),
        (&["-p", "9-1"], "smaller number first"),
        (&["-m", "no/such/file.gguf"], "no/such/file.gguf"),
        (&["-d", "100000000"], "context"),
        (&["-o", "xml"], "xml"),
    ] {
        let refused = output(&[&["--adapter", "cpu", "--no-probe"], more].concat());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code().is_some_and(|code| code > 1), "{more:?}: {said}");
        assert!(said.contains(words), "{more:?}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_term_end_the_tests_and_show_what_was_measured() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        assert_ends_with_what_was_measured(signal, code);
    }
}

#[cfg(unix)]
fn assert_ends_with_what_was_measured(signal: &str, code: i32) {
    let model = fixture(MODEL);
    let tests = ["-m", model.to_str().unwrap(), "--adapter", "cpu", "-p", "2", "-n", "0", "-r", "100000", "-o", "json"];
    let mut child = headstart(&tests).args(["--no-probe", "--no-check"]).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("measuring on") {
        line.clear();
        assert!(errors.read_line(&mut line).unwrap() > 0, "it ended before it measured");
    }
    // Long enough for a few runs of two tokens; were there none, the list would be empty and still be one.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    let mut said = String::new();
    errors.read_to_string(&mut said).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(rows.iter().all(|row| row["runs"].as_u64().is_some_and(|runs| runs > 0 && runs < 100_000)), "{rows:?}");
}
