//! A check as the few rows that a person reads: the same in the terminal and on the page.

use super::verdict::{describe, divergence};
use crate::measure::panel::{Row, percent};
use crate::measure::report::{Check, NO_NUMBER, StageError};

/// The rows of a check, in reading order. Every check has the same labels, so that several stand side by side.
#[must_use]
pub fn rows(check: &Check) -> Vec<Row> {
    let absent = || "not compared".to_owned();
    let tokens =
        |show: &dyn Fn(&crate::measure::report::TokenCheck) -> String| check.tokens.as_ref().map_or_else(absent, show);
    let flag = |flag: Option<bool>| flag.map_or_else(absent, |yes| if yes { "yes" } else { "NO" }.to_owned());
    let kernels = check.kernels.as_ref().map_or_else(absent, |kernels| match kernels.n_wrong {
        0 => format!("{} right", kernels.n_cases),
        wrong => format!("{wrong} of {} WRONG", kernels.n_cases),
    });
    vec![
        ("verdict", check.verdict.label().to_owned()),
        ("kernel dispatches", kernels),
        ("stages", if check.stages.is_empty() { absent() } else { check.stages.len().to_string() }),
        ("worst stage", worst(check).map_or_else(absent, share)),
        ("results drawn", drawn(check)),
        ("first wrong stage", check.first_wrong_stage.as_ref().map_or_else(|| "none".to_owned(), describe)),
        ("KL mean", tokens(&|tokens| divergence(tokens.kl_mean))),
        ("KL 99.9 %", tokens(&|tokens| divergence(tokens.kl_p999))),
        ("KL worst", tokens(&|tokens| format!("{} at position {}", divergence(tokens.kl_max), tokens.worst_position))),
        ("same likeliest token", tokens(&|tokens| format!("{} of {}", tokens.n_same, tokens.n_tokens))),
        ("prefill = decode", flag(check.prefill_equals_decode)),
        ("twice the same", flag(check.twice_the_same)),
        ("activations rounded", rounded(check)),
    ]
}

/// The variants that round.
fn rounded(check: &Check) -> String {
    if check.rounded.is_empty() { "no".to_owned() } else { format!("in {}", check.rounded.join(", ")) }
}

fn drawn(check: &Check) -> String {
    match (&check.sampled, check.stages.is_empty()) {
        (Some(sampled), _) => sampled.n_results.to_string(),
        (None, true) => "not compared".to_owned(),
        (None, false) => "all".to_owned(),
    }
}

/// The stage whose error is the greatest share of its budget.
fn worst(check: &Check) -> Option<&StageError> {
    check.stages.iter().max_by(|a, b| a.share().total_cmp(&b.share()))
}

fn share(stage: &StageError) -> String {
    match stage.error {
        error if error >= NO_NUMBER => format!("{}: no number", stage.stage),
        _ if stage.share() > 100.0 => format!("{}: {:.0e} times its budget", stage.stage, stage.share()),
        _ => format!("{}: {} of its budget", stage.stage, percent(stage.share())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::report::{KernelCheck, TokenCheck, Verdict};

    fn value(check: &Check, label: &str) -> String {
        rows(check).into_iter().find(|row| row.0 == label).expect("the row").1
    }

    #[test]
    fn what_is_wrong_stands_out_and_what_is_missing_is_said() {
        let stage = |stage: &str, error| StageError {
            stage: stage.to_owned(),
            layer: Some(1),
            position: 24,
            error,
            budget: 1e-4,
        };
        let check = Check {
            verdict: Verdict::Wrong,
            kernels: Some(KernelCheck { n_cases: 10, n_wrong: 2, first_wrong: None }),
            first_wrong_stage: Some(stage("attend", 1.0)),
            stages: vec![stage("q", 1e-6), stage("attend", 1.0)],
            tokens: Some(TokenCheck { n_tokens: 9, n_same: 8, kl_max: NO_NUMBER, ..TokenCheck::default() }),
            twice_the_same: Some(false),
            ..Check::default()
        };
        assert_eq!(value(&check, "verdict"), "WRONG");
        assert_eq!(value(&check, "kernel dispatches"), "2 of 10 WRONG");
        assert_eq!(value(&check, "worst stage"), "attend: 1e4 times its budget");
        assert!(value(&check, "first wrong stage").starts_with("attend of layer 1 from position 24 on"));
        assert_eq!(value(&check, "KL worst"), "no number at position 0");
        assert_eq!(value(&check, "same likeliest token"), "8 of 9");
        assert_eq!(
            (value(&check, "twice the same"), value(&check, "prefill = decode")),
            ("NO".into(), "not compared".into())
        );
        assert_eq!(value(&Check::default(), "worst stage"), "not compared");
        let rounded = Check { rounded: vec!["a".into(), "b".into()], ..Check::default() };
        assert_eq!(
            (value(&check, "activations rounded"), value(&rounded, "activations rounded")),
            ("no".into(), "in a, b".into())
        );
    }
}
