//! Command lines as people type them, before they are parsed: options of llama.cpp that have one dash and several letters,
//! which no parser of long and short options takes, get their long names; those that mean nothing here are taken out, with
//! a notice; options without a command before them are `run`'s, or those of the command behind them.

use super::arguments::Arguments;
use crate::error::{Error, Result};
use clap::CommandFactory;
use std::ffi::OsString;

/// As people type them, and as they are parsed.
const LONG: [(&str, &str); 23] = [
    ("-pg", "--pg"),
    ("-ctk", "--cache-type-k"),
    ("-ctv", "--cache-type-v"),
    ("-cnv", "--conversation"),
    ("-no-cnv", "--no-conversation"),
    ("-st", "--single-turn"),
    ("-sys", "--system"),
    ("-hf", "--hf-repo"),
    ("-hfr", "--hf-repo"),
    ("-hff", "--hf-file"),
    // An address of a model is one way to name it.
    ("-mu", "--hf-repo"),
    ("--model-url", "--hf-repo"),
    ("-jf", "--json-schema-file"),
    ("-dev", "--adapter"),
    ("--device", "--adapter"),
    ("--system-prompt", "--system"),
    ("--temperature", "--temp"),
    ("--predict", "--n-predict"),
    ("--max-tokens", "--n-predict"),
    ("--repetition-penalty", "--repeat-penalty"),
    // As in Ollama and in services.
    ("--num-predict", "--n-predict"),
    ("--stop", "--reverse-prompt"),
    ("--system-message", "--system"),
];

/// Options of llama.cpp that mean nothing here: whether a value follows, and why they mean nothing.
const IDLE: [(&[&str], Value, &str); 25] = [
    (&["-ngl", "--n-gpu-layers", "--gpu-layers"], Value::Always, "all layers are computed on the adapter"),
    (&["-fa", "--flash-attn"], Value::IfSwitch, "there is one kind of attention"),
    (
        &["-t", "-tb", "--threads", "--threads-batch"],
        Value::Always,
        "the adapter computes, and the CPU takes what it needs",
    ),
    (&["-b", "-ub", "--batch-size", "--ubatch-size"], Value::Always, "batches are as large as the kernels want"),
    (&["-kvu", "--kv-unified", "-np", "--parallel"], Value::IfNumber, "one text is written at a time"),
    (&["--jinja"], Value::Never, "templates are always rendered as Jinja"),
    (&["--mlock"], Value::Never, "weights are kept on the adapter"),
    (
        &["--no-mmap", "--mmap", "-mmp", "-dio", "--direct-io", "-ndio", "--no-direct-io"],
        Value::IfSwitch,
        "files are read and not mapped",
    ),
    (&["-cb", "-nocb", "--cont-batching", "--no-cont-batching"], Value::Never, "one text is written at a time"),
    (
        &["--numa", "-sm", "--split-mode", "-mg", "--main-gpu", "-ts", "--tensor-split", "-ot", "--override-tensor"],
        Value::Always,
        "one adapter computes all",
    ),
    (&["-ncmoe", "--n-cpu-moe"], Value::Always, "one adapter computes all"),
    (
        &["-cmoe", "--cpu-moe", "-nr", "--no-repack", "--repack", "-nopo", "--op-offload", "--no-op-offload"],
        Value::IfSwitch,
        "one adapter computes all",
    ),
    (
        &[
            "--poll",
            "--prio",
            "-fit",
            "--fit",
            "-dt",
            "--defrag-thold",
            "-lv",
            "--verbosity",
            "--log-verbosity",
            "--keep",
            "--delay",
            "-C",
            "--cpu-mask",
            "-Cr",
            "--cpu-range",
            "--cpu-strict",
        ],
        Value::Always,
        "that is taken care of",
    ),
    (
        &["-nkvo", "--no-kv-offload", "-kvo", "--kv-offload", "--swa-full"],
        Value::IfSwitch,
        "the KV cache is kept on the adapter, and as small as may be",
    ),
    (
        &["-v", "--verbose", "--verbose-prompt", "--log-disable", "--no-perf", "--no-display-prompt", "--simple-io"],
        Value::Never,
        "stdout has the text alone, and stderr the figures",
    ),
    (&["--check-tensors"], Value::Never, "weights that are no numbers are always refused"),
    (&["--context-shift", "--no-context-shift"], Value::Never, "a conversation drops its oldest turns, a text ends"),
    (&["--color", "-co"], Value::IfSwitch, "a terminal is seen as one"),
    (&["-i", "--interactive"], Value::Never, "a terminal is seen as one"),
    (&["--warmup", "--no-warmup", "--progress"], Value::Never, "that is taken care of"),
    (&["--perf", "--display-prompt"], Value::Never, "stdout has the text alone, and stderr the figures"),
    (&["--log-file"], Value::Always, "stderr has what there is to say"),
    (&["--log-colors"], Value::IfSwitch, "stderr has what there is to say"),
    (
        &["--log-prefix", "--no-log-prefix", "--log-timestamps", "--no-log-timestamps"],
        Value::Never,
        "stderr has what there is to say",
    ),
    (&["--prompt-cache-all"], Value::Never, "what is written is always kept with the prompt"),
];

/// Options of llama.cpp that would change the text, and are not there: the value by which they change nothing, and what there
/// is in their place.
const ABSENT: [(&[&str], &str, &str); 20] = [
    (
        &["--sampler-seq", "--sampling-seq"],
        "edskypmxt",
        "Samplers have llama.cpp's usual order; each is left out by its own option.",
    ),
    (
        &["--samplers"],
        "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature",
        "Samplers have llama.cpp's usual order; each is left out by its own option.",
    ),
    (&["--mirostat"], "0", "Use --temp with --top-p or --min-p."),
    (&["--mirostat-lr", "--mirostat-ent"], "", "Use --temp with --top-p or --min-p."),
    (&["--dynatemp-range"], "0", "Use --temp."),
    (&["--dynatemp-exp"], "1", "Use --temp."),
    (&["--reasoning-format"], "auto", "Use --reasoning show, hide or none."),
    (&["--reasoning-budget"], "-1", "Use --reasoning none, or -n for all that is written."),
    (&["--no-jinja"], "", "Templates are always rendered as Jinja."),
    (&["--override-kv"], "", "Change the key in the model's file."),
    (
        &["-md", "--model-draft", "--draft", "--draft-max", "--draft-min", "--draft-p-min", "-ngld", "-devd"],
        "",
        "There is no speculative decoding.",
    ),
    (
        &["--in-prefix", "--in-suffix", "--in-prefix-bos", "-sysf", "--system-prompt-file", "-bf", "--binary-file"],
        "",
        "Write it into the prompt, or into the file of --messages.",
    ),
    (&["--host", "--port", "--api-key"], "", "There is no server."),
    (&["--chat-template", "--chat-template-file", "--chat-template-kwargs"], "", "The model's own template is used."),
    (
        &[
            "--rope-scaling",
            "--rope-scale",
            "--rope-freq-base",
            "--rope-freq-scale",
            "--yarn-orig-ctx",
            "--yarn-ext-factor",
            "--yarn-attn-factor",
            "--yarn-beta-slow",
            "--yarn-beta-fast",
        ],
        "",
        "The model's file says how positions are turned; change it there.",
    ),
    (&["--lora", "--lora-scaled", "--control-vector"], "", "Merge it into the model first, as llama-export-lora does."),
    (&["--mmproj", "--mmproj-url", "--image", "--audio"], "", "Models read and write text only."),
    (&["-hft", "--hf-token"], "", "Set HF_TOKEN."),
    (&["--offline"], "", "Set HF_HUB_OFFLINE=1."),
    (&["--prompt-cache-ro"], "", "The file of --prompt-cache is always written; give a copy of it."),
];

/// Whether a value belongs to an option.
#[derive(Clone, Copy)]
enum Value {
    Never,
    Always,
    IfNumber,
    /// If it is one of `on`, `off`, `auto`, 0 and 1, another word for these, or several with commas between.
    IfSwitch,
}

const SWITCHES: [&str; 10] = ["on", "off", "auto", "0", "1", "-1", "true", "false", "enabled", "disabled"];

/// Options whose next word is a text of the user's own, also where it looks like an option.
const TEXTS: [&str; 11] = [
    "-p",
    "--prompt",
    "--system",
    "--system-prompt",
    "-sys",
    "-r",
    "--reverse-prompt",
    "--stop",
    "--system-message",
    "--dry-sequence-breaker",
    "--grammar",
];

/// Commands that llama.cpp's options are for.
const RUNS: [&str; 4] = ["run", "bench", "eval", "verify"];

/// The words of a command line, with what is meant in place of those, and notices of what was taken out. What follows
/// `--` stays as it is. Fails at an option of one dash and several letters that nobody knows: its letters could be taken
/// for other options.
pub(super) fn with_long_options(words: impl IntoIterator<Item = OsString>) -> Result<(Vec<OsString>, Vec<String>)> {
    let mut words = words.into_iter().peekable();
    let mut parsed: Vec<OsString> = words.next().into_iter().collect();
    let mut notices = Vec::new();
    let first = words.peek().and_then(|word| word.to_str()).unwrap_or_default().to_owned();
    let is_own = matches!(first.as_str(), "-h" | "--help" | "-V" | "--version");
    if first == "help" {
        // Asked in this way, clap has no tip for a command that is misspelt.
        words.next();
        let asked_of = words.peek().is_some();
        parsed.extend(words);
        parsed.push(if asked_of { "--help" } else { "help" }.into());
        return Ok((parsed, notices));
    }
    if first == "--list-devices" {
        words.next();
        parsed.push("adapters".into());
    }
    let begins_with_option = first.starts_with('-') && first != "--" && !is_own && parsed.len() < 2;
    if begins_with_option {
        parsed.push("run".into());
    }
    let command = parsed.get(1).and_then(|word| word.to_str()).unwrap_or(&first).to_owned();
    let runs = RUNS.contains(&command.as_str());
    let mut is_text = false;
    while let Some(word) = words.next() {
        let Some(typed) = word.to_str().filter(|typed| !is_text && typed.starts_with('-')) else {
            is_text = false;
            parsed.push(word);
            continue;
        };
        if typed == "--" {
            parsed.push(word);
            parsed.extend(words);
            break;
        }
        is_text = TEXTS.contains(&typed);
        let (name, value) = typed.split_once('=').map_or((typed, None), |(name, value)| (name, Some(value)));
        // llama.cpp takes `--top_k`, too.
        let spelled = if name.starts_with("--") { name.replace('_', "-") } else { name.to_owned() };
        let (is_respelled, name) = (spelled != name, spelled.as_str());
        if runs && name == "--list-devices" {
            return Ok((vec![parsed.swap_remove(0), "adapters".into()], notices));
        }
        if let Some((_, takes, why)) = IDLE.iter().find(|(names, ..)| runs && names.contains(&name)) {
            if value.is_none() {
                words.next_if(|next| takes.takes(&next.to_string_lossy()));
            }
            notices.push(format!("{name} means nothing here: {why}"));
        } else if let Some((_, nothing, instead)) = ABSENT.iter().find(|(names, ..)| runs && names.contains(&name)) {
            let number = |text: &str| text.parse::<f32>().ok();
            let changes =
                |given: &str| given != *nothing && (number(given).is_none() || number(given) != number(nothing));
            let next = value.is_none().then(|| words.next_if(|next| !changes(&next.to_string_lossy()))).flatten();
            if next.is_none() && value.is_none_or(changes) {
                return Err(Error::usage(format!("option {name}"), "an option of llama.cpp that is not supported")
                    .advice(*instead));
            }
            notices.push(format!("{name} {nothing} is how it is"));
        } else if let Some(long) = long(name) {
            if name == "-no-cnv" {
                notices.push("-no-cnv is how it is without -cnv: the text is continued".to_owned());
            }
            parsed.push(value.map_or_else(|| long.into(), |value| format!("{long}={value}").into()));
        } else if is_unknown(name) {
            return Err(Error::usage(format!("option {name}"), "unknown")
                .expected(format!("an option of `headstart {command} --help`"))
                .advice("Letters behind one dash are not taken apart; put a space between an option and its value."));
        } else if is_respelled {
            parsed.push(value.map_or_else(|| name.into(), |value| format!("{name}={value}").into()));
        } else {
            parsed.push(word);
        }
    }
    if begins_with_option && let Some(at) = command_behind(&parsed[2..]) {
        parsed[1] = parsed.remove(2 + at);
    }
    Ok((parsed, notices))
}

/// Where a command stands behind options, if the first word that belongs to none of them is one.
fn command_behind(words: &[OsString]) -> Option<usize> {
    let mut program = Arguments::command();
    program.build();
    let takes_value = |typed: &str| {
        let mut options = program.get_subcommands().flat_map(clap::Command::get_arguments);
        options.any(|option| {
            let is_long = |name: &str| {
                option.get_long() == Some(name) || option.get_all_aliases().is_some_and(|all| all.contains(&name))
            };
            let is_short = |name: &str| option.get_short().is_some_and(|short| name.chars().eq([short]));
            let is_it = match typed.strip_prefix("--") {
                Some(name) => is_long(name),
                None => typed.strip_prefix('-').is_some_and(is_short),
            };
            is_it && option.get_num_args().is_some_and(|n| n.min_values() > 0)
        })
    };
    let mut at = 0;
    loop {
        let word = words.get(at)?.to_str()?;
        if !word.starts_with('-') {
            let is_command = word != "help" && program.find_subcommand(word).is_some();
            return is_command.then_some(at);
        }
        if word == "--" {
            return None;
        }
        at += if takes_value(word) { 2 } else { 1 };
    }
}

impl Value {
    fn takes(self, next: &str) -> bool {
        match self {
            Self::Never => false,
            Self::Always => !next.starts_with('-') || next.parse::<i64>().is_ok(),
            Self::IfNumber => next.parse::<i64>().is_ok(),
            Self::IfSwitch => next.split(',').all(|word| SWITCHES.contains(&word)),
        }
    }
}

fn long(name: &str) -> Option<&'static str> {
    LONG.iter().find(|(typed, _)| *typed == name).map(|(_, long)| *long)
}

/// One dash and several letters; with a digit or a sign among them it may be an option and its value.
fn is_unknown(name: &str) -> bool {
    let letters = name.strip_prefix('-').unwrap_or_default();
    letters.len() > 1
        && letters.starts_with(|c: char| c.is_ascii_alphabetic())
        && letters.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(typed: &str) -> (String, usize) {
        let (words, notices) = with_long_options(typed.split(' ').map(OsString::from)).expect(typed);
        let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        (words.join(" "), notices.len())
    }

    #[test]
    fn words_become_long_where_they_are_options() {
        for (typed, parsed) in [
            ("headstart bench -pg 1,2 -ctk=f16", "headstart bench --pg 1,2 --cache-type-k=f16"),
            ("headstart run -p -ctv -ctv f16", "headstart run -p -ctv --cache-type-v f16"),
            ("headstart run -cnv -sys -sys -p -cnv", "headstart run --conversation --system -sys -p -cnv"),
            ("headstart run -hfr o/n -hff a.gguf", "headstart run --hf-repo o/n --hf-file a.gguf"),
            ("headstart run -n5 -n -1 -- -pg -xyz", "headstart run -n5 -n -1 -- -pg -xyz"),
            ("headstart -p hi", "headstart run -p hi"),
            ("headstart --top_k 5 --n_predict=4 -p a_b", "headstart run --top-k 5 --n-predict=4 -p a_b"),
            ("headstart run --temperature 0", "headstart run --temp 0"),
            ("headstart run --num-predict 4 --stop x", "headstart run --n-predict 4 --reverse-prompt x"),
            ("headstart --help", "headstart --help"),
            ("headstart help", "headstart help"),
            ("headstart help models list", "headstart models list --help"),
            ("headstart -mu https://a.org/m.gguf", "headstart run --hf-repo https://a.org/m.gguf"),
            ("headstart run -m x --list-devices", "headstart adapters"),
            ("headstart --list-devices", "headstart adapters"),
            ("headstart -m a.gguf bench -p 5", "headstart bench -m a.gguf -p 5"),
            ("headstart -hf o/n --top-k 5 --profile run x", "headstart run --hf-repo o/n --top-k 5 --profile x"),
            ("headstart -p bench -n 5 verify", "headstart verify -p bench -n 5"),
            ("headstart -m a.gguf hello bench", "headstart run -m a.gguf hello bench"),
            ("headstart -m a.gguf -- bench", "headstart run -m a.gguf -- bench"),
            ("headstart -m a.gguf help", "headstart run -m a.gguf help"),
            ("headstart --list-devices bench", "headstart adapters bench"),
        ] {
            assert_eq!(understood(typed), (parsed.to_owned(), 0));
        }
        assert!(with_long_options([]).is_ok_and(|(words, _)| words.is_empty()));
    }

    #[test]
    fn what_means_nothing_here_is_left_out_with_its_value() {
        for (typed, parsed, n) in [
            ("headstart run -ngl 99 -fa -p a", "headstart run -p a", 2),
            ("headstart run -no-cnv x", "headstart run --no-conversation x", 1),
            ("headstart run -fa on -t 8 --jinja -ub=64 x", "headstart run x", 4),
            ("headstart bench -ngl -1 --no-mmap", "headstart bench", 2),
            ("headstart run -fa true -p a", "headstart run -p a", 1),
            ("headstart bench -fa 0,1", "headstart bench", 1),
            ("headstart run --color auto -co on --color x", "headstart run x", 3),
            ("headstart bench -cb -sm none -v --no-perf -nkvo", "headstart bench", 5),
            ("headstart run --n_gpu_layers 9 -ot x=CPU --cpu-moe --keep -1 a", "headstart run a", 4),
            ("headstart bench -mmp 0 --mmap 1 -nkvo 0 --op-offload -p 5", "headstart bench -p 5", 4),
            ("headstart run --log-file a.log --warmup --perf --prompt-cache-all -p a", "headstart run -p a", 4),
            ("headstart run --mirostat 0 --dynatemp-range=0.0 -p a", "headstart run -p a", 2),
            ("headstart tokenize -t", "headstart tokenize -t", 0),
        ] {
            assert_eq!(understood(typed), (parsed.to_owned(), n));
        }
    }

    #[test]
    fn a_prompt_is_no_value() {
        let words = ["headstart", "run", "--log-colors", "Tell me"].map(OsString::from);
        assert_eq!(with_long_options(words).expect("options").0, ["headstart", "run", "Tell me"]);
    }

    #[test]
    fn what_would_change_the_text_and_is_not_there_is_refused_by_its_name() {
        for (typed, told) in [
            ("--mirostat 2", "--temp"),
            ("--mirostat", "--temp"),
            ("--samplers top_k", "llama.cpp's usual order"),
            ("--chat_template chatml", "own template"),
            ("-hft x", "HF_TOKEN"),
            ("--offline", "HF_HUB_OFFLINE"),
            ("--reasoning-budget 0", "--reasoning none"),
            ("-md draft.gguf", "speculative"),
            ("-sysf a.txt", "--messages"),
        ] {
            let words = ["headstart", "run"].into_iter().chain(typed.split(' ')).map(OsString::from);
            let error = with_long_options(words).expect_err(typed).to_string();
            assert!(error.contains("not supported") && error.contains(told), "{error}");
        }
    }

    #[test]
    fn letters_are_not_taken_apart() {
        for typed in ["run -hx", "run -nx", "run -fab", "bench -tx 1", "-xyz"] {
            let words = ["headstart"].into_iter().chain(typed.split(' ')).map(OsString::from);
            let error = with_long_options(words).expect_err(typed).to_string();
            let name = typed.split(' ').find(|word| word.starts_with('-')).expect("an option");
            assert!(error.contains(&format!("option {name}")), "{error}");
        }
    }
}
