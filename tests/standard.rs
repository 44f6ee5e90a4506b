//! The standard test of a card, in short: it measures, predicts and reports both models on an adapter, and what it reports
//! is read, compared and told again.
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use headstart::measure::compare::{Section, compare};
use headstart::measure::report::link::{pack, unpack};
use headstart::measure::report::read::read;
use headstart::measure::report::{Check, Entry, Platform, StandardResult, Test, Verdict};
use headstart::measure::standard::MODELS;
use headstart::measure::{AdapterFacts, Report, Spread};
use std::process::Command;

#[test]
fn the_command_tells_what_whole_models_would_do() {
    if crate::support::adapters().is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("card.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_headstart"));
    command.args(["test", "--short", "--tune", "off", "--report"]).arg(&file);
    let output = command.output().unwrap();
    let (told, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(told.contains("tokens/s with DeepSeek V4-Flash and "), "{told}");
    let Entry::Measured(report) = read(&std::fs::read_to_string(&file).unwrap()).unwrap().remove(0) else {
        panic!("no report")
    };
    assert_eq!(report.standard.len(), MODELS.len());
    // Layers of the whole, and bytes that a token of it reads at least: all weights but the embedding's.
    for (result, (n_layers, least_bytes)) in report.standard.iter().zip([(43, 10_000_000_000), (32, 4_200_000_000)]) {
        assert_eq!((result.n_layers, result.n_measured_layers), (n_layers, 2), "{}", result.ran);
        let (whole, cut) = (result.writing().unwrap(), &result.measured[0]);
        assert!(whole.bytes_per_token > least_bytes, "{}: {}", result.model, whole.bytes_per_token);
        let times = whole.ms_per_token / cut.ms_per_token;
        assert!((2.0..100.0).contains(&times), "{}: {times} times as long as {}", result.model, result.ran);
        assert!((whole.ms_per_token * whole.tokens_per_s.median / 1e3 - 1.0).abs() < 1e-9, "{}", result.model);
        assert_eq!(result.verdict(), Verdict::Unknown, "nothing was checked");
    }
}

/// A report of a card that would write at these rates.
fn card(name: &str, rates: [f64; 2]) -> Report {
    let result = |(rate, model): (f64, &str)| {
        let tokens_per_s = Spread { n: 3, median: rate, mean: rate, min: rate * 0.9, max: rate * 1.2, sd: 0.0 };
        let of = |test: Test| Test { tokens_per_s, ms_per_token: 1e3 / rate, gb_per_s: 1234.5, ..test };
        let (writing, reading) = (Test { n_gen: 32, ..Test::default() }, Test { n_prompt: 512, ..Test::default() });
        StandardResult {
            model: model.into(),
            ran: "synthetic:some:layers=0..2".into(),
            n_layers: 43,
            n_measured_layers: 2,
            tests: vec![of(writing), of(reading)],
            check: Some(Check { verdict: Verdict::Right, ..Check::default() }),
            ..StandardResult::default()
        }
    };
    let mut adapter = AdapterFacts::of_cpu();
    adapter.identity.name = name.into();
    let models = MODELS.iter().map(|model| model.name);
    let standard = rates.into_iter().zip(models).map(result).collect();
    Report { standard, ..Report::of_adapter(Platform::default(), adapter) }
}

#[test]
fn cards_compare_by_the_standard_test_whatever_model_and_cut_they_ran() {
    let mut one = card("One", [50.0, 200.0]);
    one.standard[0].ran = "synthetic:other:layers=0..8".into();
    one.model = Some(headstart::measure::report::ModelFacts { name: "toy.gguf".into(), ..Default::default() });
    let mut wrong = card("Wrong", [500.0, 2000.0]);
    wrong.standard[1].check = Some(Check { verdict: Verdict::Wrong, ..Check::default() });
    let entries = [one, card("Two", [75.0, 100.0]), wrong].map(|report| Entry::Measured(Box::new(report)));
    let comparison = compare(&entries, Some(0));
    let titles: Vec<&str> = comparison.groups.iter().map(|group| group.title.as_str()).collect();
    assert_eq!(titles, ["The standard test", "toy.gguf"]);
    let group = &comparison.groups[0];
    assert_eq!(group.columns.len(), 3);
    let row =
        group.rows.iter().find(|row| row.figure == "DeepSeek V4-Flash, writing" && row.unit == "tokens/s").unwrap();
    let ratios: Vec<_> = row.cells.iter().map(|cell| cell.as_ref().unwrap().ratio).collect();
    assert_eq!(ratios, [Some(1.0), Some(1.5), Some(10.0)]);
    let row =
        group.rows.iter().find(|row| row.figure == "Llama 8B in Q4_0, writing" && row.unit == "tokens/s").unwrap();
    assert_eq!(row.cells[2].as_ref().unwrap().ratio, None, "what is wrong has no speed");
    let notes = group.notes.join(" ");
    assert!(notes.contains("ran of DeepSeek V4-Flash synthetic:some:layers=0..2, not synthetic:other"), "{notes}");
    assert!(!comparison.groups[1].rows.iter().any(|row| row.section == Section::Standard));
}

#[test]
fn a_link_carries_the_standard_test_and_stays_short() {
    let text = include_str!("fixtures/reports/chromium.json");
    let Entry::Measured(mut report) = read(text).unwrap().remove(0) else { panic!("no report") };
    let before = pack(&report).len();
    report.standard = card("x", [71.234_567, 312.345_67]).standard;
    let link = pack(&report);
    // With the page's own address it stays under 600.
    assert!(link.len() <= 500, "{} characters, {before} without", link.len());
    let carried = unpack(&link).unwrap();
    assert_eq!(carried.standard.len(), 2);
    for (told, was) in carried.standard.iter().zip(&report.standard) {
        assert_eq!((&told.model, told.verdict(), told.tests.len()), (&was.model, Verdict::Right, 2));
        let (told, was) = (told.writing().unwrap(), was.writing().unwrap());
        assert!((told.tokens_per_s.median / was.tokens_per_s.median - 1.0).abs() < 1e-3);
    }
}
