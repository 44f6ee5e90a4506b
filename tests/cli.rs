//! The command line as people and scripts meet it: what goes to stdout, what to stderr, exit codes, messages, files.
//! Every test runs the program itself, on the CPU executor unless it says otherwise, so that it holds on any machine.

use headstart::format::Memory;
use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_headstart"))
}

fn headstart(arguments: &[&str]) -> Output {
    program().args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

/// Runs it with `input` on stdin.
fn headstart_reading(input: &[u8], arguments: &[&str]) -> Output {
    let mut child = program()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It may end without reading to the end.
    let _ = child.stdin.take().expect("its stdin").write_all(input);
    child.wait_with_output().expect("the program ends")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Fails unless it ended with `code`, wrote nothing to stdout, and named every one of `words` on stderr.
fn refused(output: &Output, code: i32, words: &[&str]) {
    let (out, err) = (stdout(output), stderr(output));
    assert_eq!(output.status.code(), Some(code), "{err}");
    assert!(out.is_empty(), "stdout: {out}");
    assert!(!err.contains("panicked"), "{err}");
    for word in words {
        assert!(err.contains(word), "`{word}` is not in: {err}");
    }
}

fn done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

fn golden(name: &str) -> String {
    format!("{}/tests/fixtures/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn embedded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("www/models/headstart-v4-11m.gguf")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A file in `folder`, as an argument.
fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).expect("the folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

const CPU: [&str; 6] = ["run", "--adapter", "cpu", "--temp", "0", "-n"];

fn run_on_cpu(n: &str, more: &[&str]) -> Output {
    headstart(&[&CPU[..], &[n], more].concat())
}

#[test]
fn help_is_worth_reading() {
    let help = stdout(&headstart(&["--help"]));
    for word in ["run", "adapters", "eval", "verify", "completions", "Examples:", "Exit codes:", "130"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    for command in ["run", "adapters", "eval", "verify", "completions"] {
        let output = headstart(&[command, "--help"]);
        done(&output);
        assert!(stdout(&output).contains("Examples:"), "{command}");
    }
    assert_eq!(stdout(&headstart(&["--version"])), format!("headstart {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn shells_get_their_completions() {
    let output = headstart(&["completions", "bash"]);
    done(&output);
    assert!(stdout(&output).contains("--repeat-penalty") && stderr(&output).is_empty());
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    refused(&headstart(&["run", "-p", "a", "-f", "b"]), 2, &["--prompt", "--file"]);
    refused(&headstart(&["run", "-p", "a", "-"]), 2, &["--prompt"]);
    refused(&headstart(&["run", "--temp", "nan"]), 2, &["--temp", "nan"]);
    refused(&headstart(&["run", "--top-p", "2"]), 2, &["from 0 to 1"]);
    refused(&headstart(&["run", "-n", "0"]), 2, &["-n"]);
    refused(&headstart(&["eval"]), 2, &["--ids"]);
    refused(&headstart(&["eval", "--ids", "1,x"]), 2, &["token ids", "\"x\""]);
    refused(&headstart(&["eval", "--ids", "1", "--adapter", "all"]), 2, &["--adapter", "one adapter"]);
    refused(&headstart(&["verify", "--adapter", "cpu"]), 4, &["no adapter"]);
    refused(&headstart(&["dance"]), 2, &["dance"]);
}

#[test]
fn an_adapter_that_is_not_there_is_refused_with_those_that_are() {
    for wanted in ["no such adapter", "999"] {
        refused(&headstart(&["run", "--adapter", wanted]), 4, &[wanted, "expected", "cpu"]);
    }
}

#[test]
fn files_that_are_no_models_are_refused_by_name() {
    let folder = folder();
    let model = std::fs::read(embedded()).expect("the embedded model");
    let run = |path: &str| headstart(&["run", "-m", path, "--adapter", "cpu"]);
    refused(&run("no/such/file.gguf"), 5, &["no/such/file.gguf", "path"]);
    refused(&run("owner/name:Q4_K_M"), 5, &["-hf owner/name:Q4_K_M"]);
    refused(&run(&file(&folder, "empty.gguf", b"")), 3, &["empty.gguf"]);
    refused(&run(&file(&folder, "text.gguf", b"Once upon a time")), 3, &["text.gguf"]);
    for n_bytes in [10, 1000, 100_000, model.len() - 1] {
        let name = format!("cut{n_bytes}.gguf");
        refused(&run(&file(&folder, &name, &model[..n_bytes])), 3, &[&name]);
    }
    refused(&run(folder.path().to_str().expect("UTF-8")), 2, &["safetensors"]);
    let alone = file(&folder, "model.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    refused(&run(&alone), 3, &["config.json"]);
}

#[test]
fn the_text_and_nothing_else_goes_to_stdout() {
    let output = run_on_cpu("8", &["-p", "The prince"]);
    done(&output);
    let (text, panel) = (stdout(&output), stderr(&output));
    assert!(!text.is_empty() && !text.contains("tokens/s") && !text.contains("The prince"), "{text}");
    for label in ["adapter", "backend", "load", "shader compile", "prefill", "first token", "decode", "memory"] {
        assert!(panel.contains(label), "{label}: {panel}");
    }
    assert!(!panel.contains(&text), "{panel}");
}

#[test]
fn a_prompt_comes_from_the_arguments_a_file_or_stdin_alike() {
    let folder = folder();
    let text = "It was late, said the count — très tard —";
    let from_arguments = run_on_cpu("6", &["-p", text]);
    done(&from_arguments);
    let from_file = run_on_cpu("6", &["-f", &file(&folder, "prompt.txt", text.as_bytes())]);
    let from_stdin = headstart_reading(text.as_bytes(), &[&CPU[..], &["6", "-"]].concat());
    assert_eq!(from_file.stdout, from_arguments.stdout);
    assert_eq!(from_stdin.stdout, from_arguments.stdout);
}

#[test]
fn the_same_seed_writes_the_same_text() {
    let run = |seed| headstart(&["run", "--adapter", "cpu", "-n", "12", "--temp", "2", "--seed", seed, "-p", "- No,"]);
    let (first, second, other) = (run("7"), run("7"), run("8"));
    done(&first);
    assert_eq!(first.stdout, second.stdout);
    assert_ne!(first.stdout, other.stdout);
}

#[test]
fn prompts_that_cannot_be_read_are_refused() {
    let run = [&CPU[..], &["2", "-"]].concat();
    refused(&headstart_reading(b"ab\xff\xfe", &run), 2, &["stdin", "UTF-8"]);
    refused(&run_on_cpu("2", &["-f", "no/such/prompt.txt"]), 5, &["no/such/prompt.txt"]);
    refused(&run_on_cpu("2", &["-c", "4", "-p", "one two three four five six"]), 2, &["at most 3", "-c"]);
    refused(&run_on_cpu("1", &["-c", "1", "-p", "hi"]), 2, &["prompt", "-c"]);
    let longest = run_on_cpu("2", &["-c", "99999999", "-p", "a"]);
    done(&longest);
    assert!(stderr(&longest).contains("8192 tokens, the most"), "{}", stderr(&longest));
    refused(&run_on_cpu("2", &["-m", &golden("gguf/v4_random_f32.gguf")]), 2, &["no vocabulary", "--ids"]);
}

#[test]
fn a_context_that_is_nearly_full_shortens_the_text_and_says_so() {
    let output = run_on_cpu("50", &["-c", "6", "-p", "one two"]);
    done(&output);
    assert!(stderr(&output).contains("the context has room for"), "{}", stderr(&output));
}

#[test]
fn the_report_is_whole_and_holds_nothing_of_the_person() {
    let folder = folder();
    let path = folder.path().join("report.json");
    let path = path.to_str().expect("UTF-8");
    let model = embedded();
    let model = model.to_str().expect("UTF-8");
    let output = run_on_cpu("5", &["-m", model, "-p", "A secret", "--profile", "--report", path]);
    done(&output);
    assert!(stderr(&output).contains("GB/s"), "{}", stderr(&output));
    let text = std::fs::read_to_string(path).expect("the report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["schema"], headstart::measure::report::SCHEMA);
    assert_eq!(report["adapter"]["backend"], "cpu");
    assert_eq!(report["model"]["name"], "headstart-v4-11m.gguf");
    assert_eq!(report["text"]["sampling"]["n_predict"], 5);
    assert_eq!(report["text"]["decode"]["n_tokens"], 4);
    assert!(report["text"]["prefill"]["tokens_per_s"].as_f64().is_some_and(|rate| rate > 0.0));
    assert!(report["memory"]["weights"].as_u64().is_some_and(|bytes| bytes > 1 << 20));
    let stages = report["profiles"][0]["stages"].as_array().expect("stages");
    let rated = |name: &str| stages.iter().find(|stage| stage["name"] == name).map(|stage| stage["gb_per_s"].is_f64());
    assert_eq!((rated("head"), rated("attend")), (Some(true), Some(true)), "{stages:?}");
    let read: headstart::measure::Report = serde_json::from_str(&text).expect("a report");
    let again = serde_json::from_str(&serde_json::to_string(&read).expect("JSON")).expect("a report");
    assert_eq!(read, again);
    assert!(!text.contains("secret") && !text.contains(env!("CARGO_MANIFEST_DIR")), "{text}");
    assert_eq!(names(&folder), ["report.json"]);
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_work() {
    let folder = folder();
    let within = folder.path().join("no/such/report.json");
    refused(&run_on_cpu("2", &["--report", within.to_str().expect("UTF-8")]), 5, &["report.json", "folder"]);
    refused(&run_on_cpu("2", &["--report", folder.path().to_str().expect("UTF-8")]), 2, &["plain file"]);
    // What is read is not written over.
    let text = file(&folder, "text.txt", b"a");
    refused(&run_on_cpu("2", &["-f", &text, "--report", &text]), 2, &["text.txt", "is read"]);
    refused(&headstart(&["eval", "-a", "cpu", "-f", &text, "--logits", &text]), 2, &["text.txt", "is read"]);
    refused(&headstart(&["compare", &text, "--out", &text]), 2, &["text.txt", "is read"]);
    assert_eq!(std::fs::read(&text).expect("the file"), b"a");
}

/// Tokens of `golden/gguf`: a prompt, and the greedy ones that follow.
fn golden_tokens() -> (Vec<String>, Vec<u64>) {
    let text = std::fs::read_to_string(golden("gguf/v4_random_f32.golden.json")).expect("the fixture");
    let golden: Value = serde_json::from_str(&text).expect("JSON");
    let tokens: Vec<u64> = golden["tokens"].as_array().expect("tokens").iter().filter_map(Value::as_u64).collect();
    let (prompt, continuation) = tokens.split_at(tokens.len() - 20);
    (prompt.iter().map(u64::to_string).collect(), continuation.to_vec())
}

#[test]
fn eval_continues_given_ids_as_other_engines_do() {
    let folder = folder();
    let (prompt, continuation) = golden_tokens();
    let ids = file(&folder, "ids.txt", prompt.join("\n").as_bytes());
    let model = golden("gguf/v4_random_f32.gguf");
    let common = ["eval", "-m", &model, "--adapter", "cpu", "--greedy", "4", "--json"];
    let from_file = headstart(&[&common[..], &["--ids-file", &ids]].concat());
    done(&from_file);
    let evaluation: Value = serde_json::from_slice(&from_file.stdout).expect("JSON");
    assert_eq!(evaluation["greedy"], Value::from(continuation[..4].to_vec()));
    assert_eq!(evaluation["n_scored"], prompt.len() - 1);
    assert!(evaluation["perplexity"].as_f64().is_some_and(|perplexity| perplexity > 1.0));
    assert_eq!(evaluation["bits_per_byte"], Value::Null);
}

#[test]
fn eval_scores_a_text_by_its_bytes() {
    let folder = folder();
    let text = "The prince looked at her and said nothing. She went to the window.";
    let path = file(&folder, "text.txt", text.as_bytes());
    let eval = |more: &[&str]| {
        let output = headstart(&[&["eval", "--adapter", "cpu", "--json", "-f", &path], more].concat());
        done(&output);
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let whole = eval(&[]);
    let bits = whole["bits_per_byte"].as_f64().expect("bits per byte");
    assert!(bits > 0.5 && bits < 4.0, "{whole}");
    assert_eq!(whole["n_bytes"], text.len(), "the BOS token is not scored, and the text is, whole");
    assert_eq!(whole["n_windows"], 1);
    let in_windows = eval(&["-c", "8"]);
    let n_tokens = whole["n_tokens"].as_u64().expect("tokens");
    // Each window has room for the BOS token, and for seven others, which are all scored.
    assert_eq!(in_windows["n_windows"], (n_tokens - 1).div_ceil(7));
    assert_eq!((&in_windows["n_tokens"], &in_windows["bos"]), (&whole["n_tokens"], &Value::from(0)));
    assert_eq!((&in_windows["n_scored"], &in_windows["n_bytes"]), (&whole["n_scored"], &whole["n_bytes"]));
    assert!(in_windows["bits_per_byte"].as_f64().is_some_and(|less_context| less_context > bits), "{in_windows}");
}

#[test]
fn eval_writes_logits_that_numpy_reads() {
    let folder = folder();
    let path = folder.path().join("logits.npy");
    let logits = path.to_str().expect("UTF-8");
    let output = headstart(&["eval", "--adapter", "cpu", "--ids", "0,5,9,300,2047", "--logits", logits]);
    done(&output);
    assert!(stdout(&output).contains("perplexity"));
    let bytes = std::fs::read(&path).expect("the logits");
    let header_len = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..header_len]);
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00") && header_len.is_multiple_of(64));
    assert!(header.contains("'<f4'") && header.contains("(5, 2048)"), "{header}");
    assert_eq!(bytes.len() - header_len, 5 * 2048 * 4);
    assert_eq!(names(&folder), ["logits.npy"]);
}

#[test]
fn eval_refuses_ids_that_name_no_token() {
    let eval = |ids: &str| headstart(&["eval", "--adapter", "cpu", "--ids", ids]);
    refused(&eval("5,2048"), 2, &["id 2048 at place 1", "below 2048"]);
    refused(&eval("4294967295"), 2, &["4294967295"]);
    refused(&eval("99999999999"), 2, &["99999999999"]);
    let ids_file = ["eval", "--adapter", "cpu", "--ids-file", "-"];
    refused(&headstart_reading(b" \n", &ids_file), 2, &["none"]);
    refused(&headstart_reading(b"1 two 3", &ids_file), 2, &["two"]);
    refused(&headstart(&["eval", "--adapter", "cpu", "--ids", "1,2", "-c", "4", "--greedy", "3"]), 2, &["at most 4"]);
}

#[test]
fn a_machine_without_a_gpu_runs_on_its_cpu_and_says_so_once() {
    // A backend of another system leaves none here.
    let backend = if cfg!(target_os = "windows") { "metal" } else { "dx12" };
    let output = program()
        .env("WGPU_BACKEND", backend)
        .args(["run", "-n", "3"])
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    done(&output);
    let notice = stderr(&output);
    assert_eq!(notice.matches("no usable GPU").count(), 1, "{notice}");
    assert!(notice.contains("mesa-vulkan-drivers") && !stdout(&output).is_empty(), "{notice}");
    let list = program().env("WGPU_BACKEND", backend).args(["adapters", "--json"]).output().expect("it starts");
    done(&list);
    assert_eq!(stdout(&list), "[]\n");
}

#[test]
fn every_adapter_in_turn_ends_in_one_table() {
    let folder = folder();
    let path = folder.path().join("all.json");
    let output =
        headstart(&["run", "--adapter", "all", "-n", "4", "--temp", "0", "--report", path.to_str().expect("UTF-8")]);
    done(&output);
    let listed: Value = serde_json::from_slice(&headstart(&["adapters", "--json"]).stdout).expect("JSON");
    let n_adapters = listed.as_array().expect("a list").len().max(1);
    let reports: Vec<headstart::measure::Report> =
        serde_json::from_slice(&std::fs::read(&path).expect("the reports")).expect("a list of reports");
    assert_eq!(reports.len(), n_adapters);
    assert!(stderr(&output).contains("(the text)"), "{}", stderr(&output));
    assert_eq!(stdout(&output), stdout(&run_on_cpu("4", &[])));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_text_and_shows_the_panel() {
    let mut child = program()
        .args(["run", "--adapter", "cpu", "-n", "4000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdout.as_mut().expect("its stdout").read_exact(&mut [0]).expect("the text begins");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill starts");
    assert!(killed.success());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("tokens/s"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn a_reader_that_had_enough_is_no_error() {
    let mut child = program()
        .args(["run", "--adapter", "cpu", "-n", "4000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdout.take().expect("its stdout").read_exact(&mut [0]).expect("the text begins");
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

fn vocabulary(name: &str) -> String {
    format!("{}/tests/fixtures/tokenizers/{name}.gguf", env!("CARGO_MANIFEST_DIR"))
}

/// A file of a vocabulary alone will do: no weights are read.
#[test]
fn texts_become_ids_and_ids_texts() {
    for name in ["bpe", "spm"] {
        let (model, text) = (vocabulary(name), "  12 naïve 😀 lines\n\n");
        // As a prompt is read: without the line end that editors and echo put behind it.
        let tokenized = headstart_reading(format!("{text}\n").as_bytes(), &["tokenize", "-m", &model]);
        done(&tokenized);
        let ids = stdout(&tokenized);
        assert!(ids.ends_with('\n') && ids.split(',').count() > 5, "{ids}");
        let given = headstart(&["tokenize", "-m", &model, "-p", text]);
        assert_eq!(stdout(&given), ids);
        let back = headstart_reading(ids.as_bytes(), &["detokenize", "-m", &model, "--no-special"]);
        done(&back);
        assert_eq!(stdout(&back), text);
        let json = headstart(&["tokenize", "-m", &model, "-p", text, "--json"]);
        let json: Value = serde_json::from_str(&stdout(&json)).expect("JSON");
        let listed: Vec<String> = json["ids"].as_array().expect("ids").iter().map(Value::to_string).collect();
        assert_eq!(listed.join(",") + "\n", ids);
        assert_eq!(json["pieces"].as_array().map(Vec::len), Some(listed.len()));
        let lines = headstart(&["tokenize", "-m", &model, "-p", text, "--pieces"]);
        assert_eq!(stdout(&lines).lines().count(), listed.len());
    }
    let [read, typed] = [vec!["-p", r"a\nb"], vec!["-p", r"a\nb", "--no-escape"]]
        .map(|given| stdout(&headstart(&[vec!["tokenize", "--no-bos"], given].concat())));
    assert_ne!(read, typed);
    assert_eq!(stdout(&headstart_reading(b"a\nb", &["tokenize", "--no-bos"])), read);
    let begun = headstart(&["tokenize", "-p", "It was"]);
    let bare = headstart(&["tokenize", "-p", "It was", "--no-bos"]);
    assert_eq!(stdout(&begun), format!("0,{}", stdout(&bare)));
    let shown = headstart(&["detokenize", "--json", stdout(&begun).trim()]);
    assert_eq!(stdout(&shown), "{\n  \"text\": \"<｜begin▁of▁sentence｜>It was\"\n}\n");
}

#[test]
fn ids_and_models_without_meaning_are_refused() {
    refused(&headstart(&["detokenize", "1,2,99999999"]), 2, &["99999999", "vocabulary"]);
    refused(&headstart(&["detokenize", "1,two"]), 2, &["two"]);
    refused(&headstart(&["run", "hf.co/o/n:Q8_0"]), 2, &["the name of a model", "-hf hf.co/o/n:Q8_0"]);
    for name in ["owner/name", "qwen3:8b"] {
        refused(&headstart(&["run", name]), 2, &["no model is named", "-m FILE", &format!("-p {name}")]);
    }
    refused(&headstart(&["tokenize", "-m", &golden("gguf/v4_random_f32.gguf"), "-p", "x"]), 2, &["no vocabulary"]);
    refused(&headstart(&["tokenize", "-m", "nosuchfile.gguf", "-p", "x"]), 5, &["nosuchfile.gguf"]);
    refused(&headstart_reading(b"\xff", &["tokenize"]), 2, &["UTF-8"]);
}

/// Whatever it comes from, the prompt is the same text, so the same tokens follow.
#[test]
fn a_prompt_is_the_same_however_it_is_typed() {
    let folder = folder();
    let text = run_on_cpu("6", &["-p", "A man\nand"]);
    done(&text);
    let same = |output: &Output| {
        done(output);
        assert_eq!(output.stdout, text.stdout, "{}", stderr(output));
    };
    for bytes in [&b"A man\nand\n"[..], b"\xef\xbb\xbfA man\r\nand\r\n", b"A man\nand"] {
        same(&run_on_cpu("6", &["-f", &file(&folder, "prompt.txt", bytes)]));
        same(&headstart_reading(bytes, &[&CPU[..], &["6"]].concat()));
    }
    same(&run_on_cpu("6", &["A man\\nand"]));
    same(&run_on_cpu("6", &["-p", "A man\\x0aand"]));
    same(&headstart(&[&CPU[1..], &["6", "-p", "A man\nand"]].concat()));
    same(&run_on_cpu("6", &["-ngl", "99", "-fa", "-t", "8", "--no-escape", "-p", "A man\nand"]));
    let literal = run_on_cpu("6", &["--no-escape", "-p", "A man\\nand"]);
    done(&literal);
    assert_ne!(literal.stdout, text.stdout);
}

#[test]
fn options_of_llama_cpp_work_or_are_named() {
    let idle = run_on_cpu("2", &["-ngl", "99", "-p", "a"]);
    done(&idle);
    assert!(stderr(&idle).contains("-ngl means nothing here"), "{}", stderr(&idle));
    refused(&headstart(&["run", "-hx", "-p", "a"]), 2, &["option -hx"]);
    refused(&headstart(&["run", "-tx", "1"]), 2, &["option -tx"]);
    done(&run_on_cpu("2", &["--top_k", "-1", "--cpu-moe", "-p", "a", "-n", "1"]));
    let whole = headstart(&["run", "-a", "cpu", "--temp", "0", "-c", "24", "-n", "-1", "-p", "A man"]);
    done(&whole);
    assert!(stdout(&whole).len() > stdout(&run_on_cpu("3", &["-p", "A man"])).len());
    // What the model was trained for, where half of that is usual.
    for (options, n_context) in [(&["-c", "0", "--seed", "-1"][..], "8192"), (&[], "4096")] {
        let output = run_on_cpu("2", &[options, &["-p", "a"]].concat());
        done(&output);
        assert!(stderr(&output).contains(&format!("context {n_context}\n")), "{}", stderr(&output));
    }
}

#[test]
fn what_a_model_recommends_counts_where_no_option_says_otherwise() {
    let file = Memory::new("embedded", std::fs::read(embedded()).unwrap());
    let model = crate::gguf_writer::GgufModel::read(&file);
    let keys = [
        ("general.sampling.temp", 0.0f32.into()),
        ("general.sampling.top_k", 3u32.into()),
        ("general.sampling.penalty_repeat", f32::NAN.into()),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, model.bytes_with(&keys)).unwrap();
    let write = |options: &[&str]| {
        let words = ["run", "-a", "cpu", "-n", "12", "-p", "It was", "-m", path.to_str().unwrap(), "--seed", "5"];
        let output = headstart(&[&words, options].concat());
        done(&output);
        (stdout(&output), stderr(&output))
    };
    let greedy = stdout(&run_on_cpu("12", &["-p", "It was"]));
    let (text, said) = write(&[]);
    assert!(text == greedy && said.contains("recommend: --temp 0 --top-k 3\n"), "{said}");
    let (text, said) = write(&["--temp", "1.5"]);
    assert!(text != greedy && said.contains("recommend: --top-k 3\n"), "{said}");
    assert!(!write(&["--temp", "1.5", "--top-k", "0"]).1.contains("recommend"));
}

#[test]
fn a_drawn_seed_is_told_and_writes_the_text_again() {
    let drawn = headstart(&["run", "-a", "cpu", "-n", "8", "--temp", "2", "-p", "a"]);
    done(&drawn);
    let err = stderr(&drawn);
    let seed = err.lines().find_map(|line| line.strip_prefix("headstart: --seed ")).expect("a seed");
    let again = headstart(&["run", "-a", "cpu", "-n", "8", "--temp", "2", "-p", "a", "-s", seed]);
    assert_eq!(again.stdout, drawn.stdout);
    assert!(!stderr(&again).contains("--seed"));
}

#[test]
fn schemas_and_grammars_of_thousands_of_rules_are_followed() {
    let folder = folder();
    let rule = |i: u32| format!("\"a{i}\": {{\"properties\": {{\"x\": {{\"$ref\": \"#/$defs/a{}\"}}}}}}, ", i + 1);
    let rules: String = (0..2000).map(rule).collect();
    let schema = format!("{{\"$ref\": \"#/$defs/a0\", \"$defs\": {{{rules}\"a2000\": {{\"type\": \"null\"}}}}}}");
    let schema = file(&folder, "schema.json", schema.as_bytes());
    let output = run_on_cpu("1", &["--json-schema-file", &schema]);
    done(&output);
    assert!(stdout(&output).starts_with('{'), "{}", stdout(&output));
    let rules: String = (0..5000).map(|i| format!("r{i} ::= r{}\n", i + 1)).collect();
    let grammar = file(&folder, "grammar.gbnf", format!("root ::= r0\n{rules}r5000 ::= \"a\"\n").as_bytes());
    let output = run_on_cpu("1", &["--grammar-file", &grammar]);
    done(&output);
    assert_eq!(stdout(&output), "a");
}

#[test]
fn a_closed_stderr_is_no_fault() {
    let mut child = program()
        .args([&CPU[..], &["2", "-p", "a"]].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("the program ends").code(), Some(0));
}

#[test]
fn a_file_that_is_no_model_is_named_for_what_it_is() {
    let folder = folder();
    for (bytes, words) in [(&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "picture"), (b"# A text of some length\n", "a text")]
    {
        let path = file(&folder, "other", bytes);
        refused(&headstart(&["run", "-m", &path, "-a", "cpu"]), 3, &[words, ".gguf"]);
    }
}

#[test]
fn reports_in_utf_16_are_compared_and_lists_of_them_left_out() {
    let folder = folder();
    let path = folder.path().join("r.json");
    let path = path.to_str().expect("UTF-8");
    done(&run_on_cpu("2", &["-p", "a", "--report", path]));
    let text = std::fs::read_to_string(path).expect("a report");
    let wide: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let wide = file(&folder, "wide.json", &wide);
    let marked = file(&folder, "marked.json", format!("\u{feff}{text}").as_bytes());
    let index = file(&folder, "index.json", b"{\"reports\": [\"r.json\"]}");
    let compared = headstart(&["compare", path, &wide, &marked, &index]);
    done(&compared);
    assert!(stderr(&compared).contains("index.json"), "{}", stderr(&compared));
}

#[test]
fn quantize_lists_its_formats_and_takes_names_of_mixtures() {
    let help = stdout(&headstart(&["quantize", "--help"]));
    assert!(help.contains("Q8_0") && help.contains("Q6_K"), "{help}");
    let folder = folder();
    let to = folder.path().join("q.gguf");
    let (from, to) = (embedded(), to.to_str().expect("UTF-8"));
    let mixture = headstart(&["quantize", from.to_str().expect("UTF-8"), to, "q8_0_M"]);
    done(&mixture);
    assert!(stderr(&mixture).contains("nearest, Q8_0"), "{}", stderr(&mixture));
    refused(&headstart(&["quantize", "a", "b", "Q9"]), 2, &["Q8_0"]);
    refused(&headstart(&["quantize", "a", "b"]), 2, &["FORMAT"]);
}
