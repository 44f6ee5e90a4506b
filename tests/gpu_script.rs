//! `tools/gpu.sh`, as it would run on a machine with a GPU: with a small model on the first adapter, and with programs that stand
//! in for headstart and llama-bench and fail as they are told. No rate is asserted.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use crate::support::{adapters, fixture};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a run of the script left.
struct Run {
    code: Option<i32>,
    table: String,
    told: String,
}

/// The script in a folder where `smollm3/config.json` is a model, with small tests.
fn gpu(folder: &Path, program: &Path, settings: &[(&str, &str)]) -> Run {
    let mut script = Command::new("bash");
    script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/gpu.sh")).arg(folder.join("out"));
    script.current_dir(fixture("families")).env("HEADSTART", program).env("XDG_CACHE_HOME", folder.join("cache"));
    script.env("TESTS", "-p 8 -n 2 -d 0,16 -r 1").env("WHOLE_TESTS", "-p 8 -n 2 -d 16,64 -r 1");
    let output = script.envs(settings.iter().copied()).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let run = Run { code: output.status.code(), table: text(output.stdout), told: text(output.stderr) };
    assert_eq!(fs::read_to_string(folder.join("out/table.md")).unwrap(), run.table, "{}", run.told);
    run
}

/// A program of one's own.
fn program(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/usr/bin/env bash\n{text}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The cells of the first row that begins so.
fn row<'a>(table: &'a str, begin: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("no {begin}: {table}"));
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// Rows of llama-bench; its words go to a file.
const LLAMA_BENCH: &str = r#"echo "$@" >>"$0.words"
for depth in 0 16; do
  echo "{\"n_prompt\": 8, \"n_gen\": 0, \"n_depth\": $depth, \"avg_ts\": 100.5}"
  echo "{\"n_prompt\": 0, \"n_gen\": 2, \"n_depth\": $depth, \"avg_ts\": 7.5}"
done
"#;

/// headstart, with a model that computes something else, one whose tuning lasts too long, and one without reports.
const STAND_IN: &str = r#"while [ $# -gt 0 ]; do
  case $1 in
    tune | bench | verify) verb=$1 ;;
    -m) model=$2 ;;
    --report) report=$2 ;;
  esac
  shift
done
[[ -z ${report:-} || ${model:-} = *silent ]] || echo '{}' >"$report"
case ${verb:-}$model in
  verify*wrong) echo '[{ "verdict": "wrong" }]' >"$report" && exit 6 ;;
  tune*slow) exec sleep 60 ;;
  bench*) echo '{"n_prompt":8,"n_gen":0,"n_depth":0,"tokens_per_s":3.5,"tokens_per_s_sd":1.0}' ;;
esac
"#;

#[test]
fn a_small_model_is_tuned_checked_timed_by_turns_and_predicted() {
    if adapters().is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let llama_bench = program(folder.path(), "llama-bench", LLAMA_BENCH);
    let settings = [
        ("MODELS", "smollm3/config.json:layers=0..1:format=q8_0 no-such-model"),
        ("LLAMA_BENCH", llama_bench.to_str().unwrap()),
        ("ROUNDS", "3"),
        ("KERNEL_SECONDS", "0"),
        ("TUNE_SECONDS", "3"),
    ];
    let run = gpu(folder.path(), Path::new(env!("CARGO_BIN_EXE_headstart")), &settings);
    let name = "smollm3-config.json-layers-0..1-format-q8_0";
    for test in ["pp8 @ d0", "tg2 @ d0", "pp8 @ d16", "tg2 @ d16"] {
        let cells = row(&run.table, &format!("| {name} | right | {test} |"));
        let [tuned, untuned, of_tuning, ratio] = [3, 4, 6, 7].map(|at| cells[at].parse::<f64>().unwrap());
        assert!(tuned > 0.0 && untuned > 0.0 && of_tuning > 0.0 && ratio > 0.0, "{cells:?}");
        assert_eq!((cells[5], cells[8]), (if test.starts_with("pp") { "100.5" } else { "7.5" }, "3"), "{cells:?}");
    }
    assert!(!row(&run.table, &format!("| {name} | a token @ d65 |"))[4].is_empty(), "{}", run.table);
    let words = fs::read_to_string(llama_bench.with_extension("words")).unwrap();
    assert!(words.lines().count() == 3 && words.lines().all(|line| line.contains(" -fa 1 ")), "{words}");
    let first = |round: u32| {
        let is_turn = |line: &&str| line.contains("layers=") && line.contains(&format!("round {round}"));
        run.told.lines().find(is_turn).unwrap().split(", ").nth(1).unwrap()
    };
    assert_eq!([first(1), first(2), first(3)], ["tuned", "untuned", "llama.cpp"], "{}", run.told);
    // What cannot be written fails alone, and by its name.
    assert_eq!(run.code, Some(1), "{}", run.told);
    let failed = run.table.split("FAILED:").nth(1).unwrap_or_else(|| panic!("{}", run.table));
    assert!(failed.contains("no-such-model") && !failed.contains("config.json"), "{failed}");
}

#[test]
fn wrong_numbers_fail_and_what_there_is_no_time_for_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let stand_in = program(folder.path(), "stand-in", STAND_IN);
    let run = gpu(folder.path(), &stand_in, &[("MODELS", "wrong good silent"), ("KERNEL_SECONDS", "0")]);
    assert_eq!(run.code, Some(1), "{}", run.told);
    assert_eq!(row(&run.table, "| wrong | WRONG |")[3..5], ["3.5", "3.5"]);
    assert_eq!(row(&run.table, "| good | right |")[3..5], ["3.5", "3.5"]);
    let (_, failed) = run.table.split_once("FAILED:").unwrap();
    assert!(failed.contains("checking wrong: WRONG NUMBERS") && !failed.contains("good"), "{failed}");
    assert!(failed.contains("tuning to silent: no report was written"), "{failed}");

    let settings = [("MODELS", "good slow late"), ("KERNEL_SECONDS", "0"), ("SECONDS_AT_MOST", "10")];
    let run = gpu(folder.path(), &stand_in, &settings);
    assert_eq!(run.code, Some(0), "{}{}", run.table, run.told);
    assert_eq!(row(&run.table, "| good |")[3], "3.5");
    let (_, left_out) = run.table.split_once("Left out for want of time:").unwrap();
    let named = ["tuning to slow, broken off", "checking slow", "timing slow, from round 1 on", "late", "MODELS=late"];
    assert!(named.iter().all(|words| left_out.contains(words)), "{left_out}");
}
