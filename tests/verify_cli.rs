//! `headstart verify` as people and scripts meet it: tables, JSON, files, exit codes. Where there is no adapter, only what
//! needs none is asked of it.

use std::process::{Command, Output, Stdio};

use headstart::measure::Report;
use headstart::measure::report::Verdict;

/// A small model without a tokenizer.
fn small() -> String {
    format!("{}/tests/fixtures/golden/model.safetensors", env!("CARGO_MANIFEST_DIR"))
}

fn verify(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headstart"));
    command.args(["verify", "-m", &small(), "--no-kernels"]).args(arguments).stdin(Stdio::null());
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn n_adapters() -> usize {
    crate::support::adapters().len()
}

#[test]
fn an_adapter_that_computes_right_ends_well() {
    if n_adapters() == 0 {
        return;
    }
    let output = verify(&["--adapter", "0"]);
    let (table, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{table}{told}");
    for words in [
        "| verdict",
        "right",
        "| worst stage",
        "% of its budget",
        "| KL 99.9 %",
        "168 of 168",
        "| twice the same",
        "100 % of its budget is the limit",
    ] {
        assert!(table.contains(words), "`{words}` is not in: {table}");
    }
}

#[test]
fn adapters_are_held_against_each_other_and_reported() {
    if n_adapters() < 2 {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("verify.json");
    let output = verify(&["--adapter", "0,1", "--json", "--shader-checks", "--report", path.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), std::fs::read_to_string(&path).expect("the report"));
    let reports: Vec<Report> = serde_json::from_slice(&output.stdout).expect("reports");
    assert_eq!(reports.len(), 2);
    for (index, report) in reports.iter().enumerate() {
        let check = report.check.as_ref().expect("a check");
        assert_eq!(
            (check.verdict, check.stages.len(), check.kernels.is_some()),
            (Verdict::Right, 29, false),
            "{check:?}"
        );
        assert!(report.settings.as_ref().is_some_and(|settings| settings.shader_checks));
        let [other] = &check.others[..] else { panic!("one other: {:?}", check.others) };
        assert!(other.adapter.starts_with(&reports[1 - index].adapter.identity.name), "{other:?}");
        assert_eq!((other.tokens.n_tokens, other.tokens.n_same), (168, 168), "{other:?}");
    }
}

#[test]
fn a_check_by_samples_says_what_it_looked_at() {
    if n_adapters() == 0 {
        return;
    }
    let output = verify(&["--adapter", "0", "--sampled"]);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{table}{}", text(&output.stderr));
    assert!(table.contains("| results drawn") && table.contains("right"), "{table}");
    let output = verify(&["--adapter", "0", "--sampled", "--fault", "head", "--json"]);
    assert_eq!(output.status.code(), Some(6), "{}", text(&output.stderr));
    let reports: Vec<Report> = serde_json::from_slice(&output.stdout).expect("reports that can be read back");
    let check = reports[0].check.as_ref().expect("a check");
    let sampled = check.sampled.as_ref().expect("what was drawn");
    assert!(sampled.n_results > 1000 && sampled.fewest_rows == Some(256) && sampled.missed < 0.08, "{sampled:?}");
    assert_eq!(check.first_wrong_stage.as_ref().map(|stage| stage.stage.as_str()), Some("head"));
    let refused = verify(&["--sampled", "--whole"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
}

#[test]
fn a_fault_ends_with_the_code_for_wrong_numbers() {
    if n_adapters() == 0 {
        return;
    }
    let output = verify(&["--adapter", "0", "--fault", "route", "--json"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("the fault in route was caught") && told.contains("stage route of layer 0"), "{told}");
    let reports: Vec<Report> = serde_json::from_slice(&output.stdout).expect("reports that can be read back");
    let check = reports[0].check.as_ref().expect("a check");
    assert_eq!((check.verdict, check.fault.as_deref()), (Verdict::Wrong, Some("route")));
    assert_eq!(check.first_wrong_stage.as_ref().map(|stage| stage.stage.as_str()), Some("route"));
}

#[test]
fn requests_that_cannot_be_met_are_refused() {
    if n_adapters() > 0 {
        let output = verify(&["--adapter", "0", "--fault", "dance"]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("\"dance\"") && told.contains("attend_score") && output.stdout.is_empty(), "{told}");
    }
    let output = verify(&["--adapter", "no such adapter"]);
    assert!(output.status.code() == Some(4) && output.stdout.is_empty(), "{}", text(&output.stderr));
}
