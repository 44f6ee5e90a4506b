//! Conversations on the command line: turns over a pipe, what goes to stdout and what to stderr, commands, refusals.
//! The embedded model was not made to answer, so what it says is no measure; that it is the same each time is.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};

fn program(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_headstart"))
        .arg("run")
        .args(["--adapter", "cpu"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// Runs it with these turns, one after the other.
fn talk(turns: &str, arguments: &[&str]) -> Output {
    let mut child = program(arguments);
    // It may end without reading to the end.
    let _ = child.stdin.take().expect("its stdin").write_all(turns.as_bytes());
    child.wait_with_output().expect("the program ends")
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn refused(output: &Output, words: &[&str]) {
    let err = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    for word in words {
        assert!(err.contains(word) && !err.contains("panicked"), "`{word}` is not in: {err}");
    }
}

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

const HOT: [&str; 5] = ["-cnv", "--reasoning=none", "-n", "9", "--seed=3"];
const ANSWER: [&str; 5] = ["-cnv", "--reasoning=none", "-n", "9", "--temp=0"];

/// Of the lines of timings: tokens known before each turn.
fn known(output: &Output) -> Vec<u32> {
    let number = |line: &str| line.split_once(", ")?.1.split_once(" known before")?.0.parse().ok();
    stderr(output).lines().filter(|line| line.starts_with('[')).map(|line| number(line).expect("timings")).collect()
}

#[test]
fn turns_come_from_stdin_and_answers_alone_go_to_stdout() {
    let both = talk("What did he say?\n\nAnd then?\n", &ANSWER);
    let answers = stdout(&both);
    let first = stdout(&talk("What did he say?", &ANSWER));
    assert!(first.len() > 2 && first.ends_with('\n'), "{first:?}");
    assert!(answers.starts_with(&first) && answers.len() > first.len() + 2, "{answers:?} after {first:?}");
    let given = talk("And then?\n", &[&ANSWER[..], &["-p", "What did he say?"]].concat());
    assert_eq!(stdout(&given), answers, "-p is the first turn");
    let known = known(&both);
    assert!(known.len() == 2 && known[0] == 0 && known[1] > 20, "{known:?}");
    let err = stderr(&both);
    assert!(err.contains("not made for conversations") && err.contains("tokens/s"), "{err}");
    let told = stdout(&talk("What did he say?\nAnd then?\n", &[&ANSWER[..], &["-sys", "You are a prince."]].concat()));
    assert_ne!(told, answers, "instructions have an effect");
    assert_eq!(stdout(&talk("", &ANSWER)), "");
}

#[test]
fn thoughts_are_shown_beside_hidden_or_not_had() {
    let think = |how: &str| talk("Why?\n", &["-cnv", "-n", "9", "--temp=0", "--reasoning", how]);
    let (show, hide, none) = (think("show"), think("hide"), think("none"));
    // Told to think, the embedded model never comes to an answer.
    assert_eq!((stdout(&show), stdout(&hide)), ("\n".to_owned(), "\n".to_owned()));
    assert!(stdout(&none).len() > 2);
    let thought = |output: &Output| {
        let err = stderr(output);
        let lines: Vec<&str> = err.lines().filter(|line| !line.starts_with(['[', 'h'])).collect();
        lines.concat().trim().to_owned()
    };
    assert!(!thought(&show).is_empty() && thought(&hide).is_empty() && thought(&none).is_empty(), "{}", stderr(&show));
    assert_eq!(thought(&talk("Why?\n", &["-cnv", "-n", "9", "--temp=0"])), thought(&show), "show is the default");
}

#[test]
fn commands_answer_anew_forget_and_end() {
    let once = stdout(&talk("Why?\n", &ANSWER));
    let cleared = talk("Why?\n/clear\nWhy?\n/exit\nWhy?\n", &ANSWER);
    assert_eq!(stdout(&cleared), once.repeat(2));
    assert!(stderr(&cleared).contains("forgotten"));
    // At temperature 0 the same answer comes again; else, with other random numbers, another.
    let again = talk("Why?\n/regen\n", &ANSWER);
    assert_eq!(stdout(&again), once.repeat(2));
    assert!(known(&again)[1] > 10, "{}", stderr(&again));
    let hot = stdout(&talk("Why?\n/regen\n", &[&HOT[..], &["--temp=2"]].concat()));
    let one = stdout(&talk("Why?\n", &[&HOT[..], &["--temp=2"]].concat()));
    assert!(hot.starts_with(&one) && hot[one.len()..] != one, "{hot:?} after {one:?}");
    refused(&talk("/regen\n", &ANSWER), &["no question yet"]);
    let joined = talk("Why\\\nnot?\n", &ANSWER);
    assert_eq!(stderr(&joined).matches("known before").count(), 1, "{}", stderr(&joined));
}

#[test]
fn what_no_longer_fits_is_dropped_and_said_and_what_never_fits_is_refused() {
    let small = [&ANSWER[..], &["-c", "120"]].concat();
    let output = talk(&"And then?\n".repeat(5), &small);
    stdout(&output);
    assert!(stderr(&output).contains("the context is full: dropped turn"), "{}", stderr(&output));
    let output = talk(&format!("Why?\n{}\n", "a long story ".repeat(60)), &small);
    refused(&output, &["message: ", "at most 111", "the context has room for 120"]);
    assert!(output.stdout.len() > 2, "the turn before was answered");
}

#[test]
fn models_and_options_without_a_conversation_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture(&format!("families/llama/{name}")), folder.path().join(name)).expect("copied");
    }
    let tokenizer = r#"{"model": {"type": "BPE", "vocab": {"W": 0, "h": 1, "y": 2, "?": 3}, "merges": []},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}}"#;
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer).expect("written");
    let folder = folder.path().to_str().expect("UTF-8");
    refused(&talk("Why?\n", &["-cnv", "-m", folder]), &["no chat template", "-cnv"]);
    refused(&talk("Why?\n", &["-cnv", "-m", &fixture("families/llama/model.gguf")]), &["no vocabulary"]);
    refused(&talk("Why?\n", &["-sys", "Be brief."]), &["--conversation"]);
    refused(&talk("Why?\n", &["--reasoning", "hide"]), &["--conversation"]);
    refused(&talk("Why?\n", &["-cnv", "-"]), &["--conversation"]);
    refused(&talk("Why?\n", &["-cnv", "--reasoning", "loud"]), &["loud"]);
    let all = Command::new(env!("CARGO_BIN_EXE_headstart")).args(["run", "-cnv", "--adapter", "all"]).output();
    refused(&all.expect("the program starts"), &["one adapter"]);
}

#[test]
fn a_conversation_from_a_file_is_gone_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |text: &str| {
        let path = folder.path().join("talk.json");
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let hot = ["--reasoning=none", "-n", "9", "--temp=0"];
    let said = |text: &str, turns: &str| talk(turns, &[&hot[..], &["--messages", &file(text)]].concat());
    let typed = stdout(&talk("What did he say?\nAnd then?\n", &ANSWER));
    let open = said(r#"[{"role": "user", "content": "What did he say?"}]"#, "And then?\n");
    assert_eq!(stdout(&open), typed);
    // Answered already: the lines of stdin go on with it, and it has an effect.
    let first = typed.lines().next().expect("an answer");
    let answer = serde_json::to_string(first).expect("JSON");
    let whole = format!(
        r#"{{"messages": [{{"role": "user", "content": "What did he say?"}}, {{"role": "assistant", "content": {answer}}}]}}"#
    );
    let more = stdout(&said(&whole, "And then?\n"));
    assert!(more.len() > 2 && more != stdout(&talk("And then?\n", &ANSWER)), "{more:?}");
    refused(&said(r#"[{"role": 7}]"#, ""), &["talk.json: message 1: role", "a text"]);
    refused(&said(r#"[{"role": "robot"}]"#, ""), &["a message's role", "robot", "assistant"]);
    refused(&said("[", ""), &["talk.json", "no JSON"]);
    refused(&talk("", &["--messages", "nosuch.json", "-sys", "x"]), &["--messages"]);
    let missing = talk("", &["--messages", "nosuch.json"]);
    assert!(stderr(&missing).contains("nosuch.json") && missing.status.code() != Some(0), "{}", stderr(&missing));
}

#[test]
fn the_report_has_the_last_answer_s_figures() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    let report = path.to_str().expect("UTF-8");
    let output = talk("What did he say?\nAnd then?\n", &[&ANSWER[..], &["--report", report]].concat());
    stdout(&output);
    let text = std::fs::read_to_string(&path).expect("the report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let n_read = report["text"]["prefill"]["n_tokens"].as_u64().expect("a number");
    assert!(stderr(&output).contains(&format!("\n[{n_read} tokens read")), "{}", stderr(&output));
    assert!(!text.contains("he say"), "{text}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_answer_and_not_the_conversation() {
    let mut child = program(&["-cnv", "--reasoning=none"]);
    let mut stdin = child.stdin.take().expect("its stdin");
    let mut out = BufReader::new(child.stdout.take().expect("its stdout"));
    stdin.write_all(b"Why?\n").expect("a turn");
    out.read_exact(&mut [0]).expect("the answer begins");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill starts");
    assert!(killed.success());
    out.read_line(&mut String::new()).expect("it ends");
    stdin.write_all(b"/clear\n").expect("a turn");
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    let err = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(err.contains("stopped") && err.contains("forgotten"), "{err}");
}

#[cfg(unix)]
#[test]
fn term_ends_the_answer_and_the_conversation() {
    let mut child = program(&["-cnv", "--reasoning=none"]);
    let mut stdin = child.stdin.take().expect("its stdin");
    let mut out = BufReader::new(child.stdout.take().expect("its stdout"));
    stdin.write_all(b"Why?\n/clear\n").expect("two turns");
    out.read_exact(&mut [0]).expect("the answer begins");
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill starts");
    assert!(killed.success());
    // It ends though its stdin is still open.
    let output = child.wait_with_output().expect("the program ends");
    let err = stderr(&output);
    assert_eq!(output.status.code(), Some(143), "{err}");
    assert!(err.contains("stopped") && !err.contains("forgotten"), "{err}");
    drop(stdin);
}

/// What was done until then is kept, although the next line never comes.
#[test]
fn a_wish_to_end_is_heard_while_a_line_is_waited_for() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = tempfile::tempdir().expect("a folder");
        let [report, cache] = ["report.json", "cache.bin"].map(|name| folder.path().join(name));
        let [to_report, to_cache] = [&report, &cache].map(|path| path.to_str().expect("UTF-8"));
        let options = ["-cnv", "--reasoning=none", "-n", "4", "--report", to_report, "--prompt-cache", to_cache];
        let mut child = program(&options);
        let mut stdin = child.stdin.take().expect("its stdin");
        let mut err = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        stdin.write_all(b"Why?\n").expect("a turn");
        let said: Vec<String> =
            err.by_ref().map(|line| line.expect("UTF-8")).take_while(|line| !line.contains("tokens read")).collect();
        let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill starts");
        assert!(killed.success());
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!(output.status.code(), Some(code), "{said:?}");
        assert!(report.exists() && cache.exists(), "{signal}: not kept");
        drop(stdin);
    }
}

#[test]
fn a_mistyped_command_is_no_question() {
    let answers = talk("/help\n/exti\nWhat did he say?\n", &ANSWER);
    assert_eq!(stdout(&answers), stdout(&talk("What did he say?\n", &ANSWER)));
    let err = stderr(&answers);
    assert!(err.contains("no command /exti") && err.matches("/regen").count() == 2, "{err}");
    assert_eq!(stdout(&talk("", &[&ANSWER[..], &["-p", ""]].concat())), "", "nothing is asked");
    let once = talk("What did he say?\nAnd then?\n", &[&ANSWER[..], &["-st"]].concat());
    assert_eq!(stdout(&once), stdout(&talk("What did he say?\n", &ANSWER)));
}
