//! The command line's words, as clap reads them; options are named as llama.cpp's are.

use super::bench::Options as Bench;
use super::quantize::Quantize;
use super::rounds::Rounds;
use super::tune::{Options as TuneOptions, Tune};
use super::verify::Options as Verify;
use crate::engine::{ExecutorChoice, Session};
use crate::kernels::cache::{CacheType, CacheTypes};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    a fault of the program itself
  2    the request: arguments, prompt, settings
  3    a file of a model or a report: damaged, or of a kind that is not supported
  4    the adapter: missing, lost, too small, failing
  5    reading or writing failed
  6    wrong numbers: `verify` found an adapter that computes something else than the CPU does
  130  ended by Ctrl-C; what was done until then is reported (143: by SIGTERM, likewise)

Results go to stdout, everything else to stderr.";

const EXAMPLES: &str = "\
Examples:
  headstart                                   write with the embedded model
  headstart run 'The prince' -n 200           continue a text
  headstart run -m model.gguf -cnv            talk with a model
  headstart run -m model.gguf --adapter all   the same on every adapter, then a table
  headstart bench --adapter all               how fast every adapter is
  headstart adapters                          which adapters there are
  headstart compare a.json b.json -o html     reports beside each other, as a page
  headstart tune -m model.gguf                find the fastest kernels here
  headstart verify                            whether every adapter computes right
  headstart eval -f text.txt                  how well a model predicts a text
  headstart quantize a.gguf b.gguf --to q4_k  the same model, smaller
  headstart models list --known               models that can be had
";

/// Runs DeepSeek V4, Llama and Qwen on any GPU through WGSL compute shaders; says how fast, and whether it is right.
///
/// Without a command: `headstart run`, which lets the embedded model (a toy of 11 million parameters) continue a
/// built-in text on the best adapter.
#[derive(Debug, Parser)]
#[command(name = "headstart", version, propagate_version = true, max_term_width = 100, after_help = format!("{EXAMPLES}\n{EXIT_CODES}"))]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Continue a text, and report how fast
    Run(Box<Run>),
    /// List every adapter on every backend
    Adapters(Adapters),
    /// Measure speed: repeated tests on one adapter or all, in one table
    Bench(Box<Bench>),
    /// The standard test: how fast real models would be here, and whether the numbers are right
    Test(super::bench::Test),
    /// Measure how well a model predicts a text; write its logits or its greedy continuation
    Eval(Box<Eval>),
    /// Put reports beside each other: tables, charts, a page
    Compare(super::compare::Compare),
    /// Print the JSON Schema of reports
    Schema(super::compare::Schema),
    /// Turn a text into token ids
    Tokenize(super::tokenize::Tokenize),
    /// Turn token ids into text
    Detokenize(super::tokenize::Detokenize),
    /// Write a model again with its matrices in another weight format
    Quantize(Quantize),
    /// Find the fastest kernels for a model on an adapter, and keep them
    Tune(Box<TuneOptions>),
    /// Write a model of random weights, for programs to be timed with
    Synthesize(super::synthesize::Synthesize),
    /// Find out whether adapters compute right, against the CPU and against each other
    Verify(Box<Verify>),
    /// List, download and delete models of huggingface.co
    Models(super::hub::Models),
    /// Print a completion script for a shell
    Completions(Completions),
}

impl Default for Command {
    fn default() -> Self {
        Self::Run(Box::new(Run::parse_from(["headstart run"])))
    }
}

const RUN_EXAMPLES: &str = "\
The text is written to stdout, alone. A panel of timings follows on stderr. Where no option says how
tokens are chosen, what the model's files recommend counts. Ctrl-C ends the text and still shows the panel; a second one ends at once.

With --conversation the answers go to stdout, alone; thoughts, notices and a line of timings after
each turn go to stderr. -p or -f is the first turn, the lines of stdin are the next ones (a \\ at
the end of a line goes on with the next one). --messages answers a conversation from a file first. /help lists commands, /regen answers again, /clear forgets all turns, /exit
or the end of stdin ends it. Ctrl-C ends an answer, a second one the program. Only what is new is
computed; where the context is full, the oldest turns are dropped, and it says which.

Examples:
  headstart run -p 'It was in the evening that' -n 100 --temp 0
  headstart run -m DeepSeek-V4-Flash.gguf -f chapter.txt --adapter 0 --profile
  echo 'To be, or' | headstart run - --seed 7 > continuation.txt
  headstart run --adapter all --report timings.json
  headstart run -m R1-Distill-Qwen-1.5B.gguf -cnv -sys 'Answer in one line.'
  headstart run -m model.gguf -p 'A city as JSON: ' --json-schema '{\"type\": \"string\"}'
  headstart run -m model.gguf -f report.txt --prompt-cache report.cache
  echo 'Why is the sky blue?' | headstart run -m model.gguf -cnv --reasoning none";

/// Continue a text, and report how fast.
#[derive(Debug, Parser)]
#[command(max_term_width = 100, after_help = RUN_EXAMPLES)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) model: Model,
    /// Adapter by its number or a part of its name (see `headstart adapters`); `cpu` runs without a GPU, `all` runs on
    /// every adapter in turn [default: the best]
    #[arg(short, long, value_name = "INDEX|NAME|cpu|all")]
    pub(super) adapter: Option<String>,
    #[command(flatten)]
    pub(super) prompt: Prompt,
    #[command(flatten)]
    pub(super) escapes: Escapes,
    /// Tokens to write at most; -1 for as many as there is room for [default: 128; of an answer: -1]
    #[arg(short = 'n', long = "n-predict", value_name = "N", value_parser = n_predict, allow_negative_numbers = true)]
    pub(super) n_predict: Option<u32>,
    /// Time each stage of a token, by the adapter's own clock
    #[arg(long)]
    pub(super) profile: bool,
    /// Write all figures to a file as JSON (with --adapter all: a list)
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Keep what was read and written in this file, and go on from what it holds: only what is new is read. A file of
    /// another model or of other settings, or a damaged one, is told of and written again
    #[arg(long, value_name = "FILE")]
    pub(super) prompt_cache: Option<PathBuf>,
    #[command(flatten)]
    pub(super) talk: Talk,
    #[command(flatten)]
    pub(super) sampling: SamplingOptions,
    #[command(flatten)]
    pub(super) ending: EndOptions,
    #[command(flatten)]
    pub(super) grammar: super::grammar::GrammarOptions,
}

/// Whether a conversation is held, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Conversation")]
#[command(group = ArgGroup::new("talks").args(["conversation", "messages"]).multiple(true))]
pub(super) struct Talk {
    /// Answer instead of continuing: each line of stdin is a turn; also as -cnv
    #[arg(long, conflicts_with = "profile", overrides_with = "no_conversation")]
    pub(super) conversation: bool,
    /// Continue the text, as without --conversation; also as -no-cnv
    #[arg(long, overrides_with = "conversation", hide = true)]
    no_conversation: bool,
    /// A conversation to go on with: a JSON file with a list of messages (`role` and `content`, as most programs exchange
    /// them), or with `messages` and `tools`; `-` reads it from stdin
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["profile", "system"])]
    pub(super) messages: Option<PathBuf>,
    /// End after the first answer; also as -st
    #[arg(long, requires = "talks")]
    pub(super) single_turn: bool,
    /// Instructions that the conversation begins with; also as -sys
    #[arg(long, value_name = "TEXT", requires = "conversation", allow_hyphen_values = true)]
    pub(super) system: Option<String>,
    /// What becomes of the model's thoughts, where it has any [default: show]
    #[arg(long, value_name = "HOW", requires = "talks")]
    pub(super) reasoning: Option<Reasoning>,
}

/// What becomes of the model's thoughts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Reasoning {
    /// It is told not to think, where its template knows how
    None,
    /// They are written to stderr, dimmed on a terminal
    #[default]
    Show,
    /// It thinks unseen
    Hide,
}

/// Which model, and how much room.
#[derive(Default, Debug, Args)]
pub(super) struct Model {
    /// A GGUF file (of a split one any part), or safetensors with config.json beside them: the file, the index or the
    /// folder [default: the embedded model]; or synthetic:MODEL[:layers=A..B][:format=F][:seed=N] for random weights of
    /// a real shape, where MODEL is deepseek-v4-flash, deepseek-v4-pro or the path of a config.json
    #[arg(short, long, value_name = "FILE")]
    pub(super) model: Option<PathBuf>,
    #[command(flatten)]
    pub(super) hub: super::hub::HubModel,
    /// Tokens of text to make room for; 0 for as many as the model was trained for, and as fit [default: 4096, or as 0]
    #[arg(short, long = "ctx-size", value_name = "N", value_parser = clap::value_parser!(u32).range(0..),
          allow_negative_numbers = true)]
    pub(super) ctx_size: Option<u32>,
    /// Keep the bounds checks of every access in the shaders: slower, for drivers that are not trusted
    #[arg(long)]
    pub(super) shader_checks: bool,
    #[command(flatten)]
    pub(super) cache: Cache,
    /// How kernels are chosen: as guessed, by what `headstart tune` found before, or by a search now
    #[arg(long, value_name = "HOW", default_value = "kept")]
    pub(super) tune: Tune,
    #[command(flatten)]
    pub(super) rounds: Rounds,
}

impl Model {
    /// The tokens to make room for; `None` for as many as are usual, or as the model was trained for.
    pub(super) fn n_context(&self) -> Option<u32> {
        self.ctx_size.filter(|&n| n > 0)
    }

    /// The path of the model, downloaded if it is a hub's and not there yet; `None` for the embedded one.
    pub(super) fn path(&self) -> crate::Result<Option<PathBuf>> {
        self.hub.or(self.model.as_deref())
    }
}

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Cache {
    /// How keys are kept (also as -ctk): f16, as usual on a GPU, or f32, as usual on a CPU. DeepSeek V4 keeps f32 in any case
    #[arg(long = "cache-type-k", value_name = "f16|f32", value_parser = cache_type)]
    pub(super) keys: Option<CacheType>,
    /// How values are kept (also as -ctv)
    #[arg(long = "cache-type-v", value_name = "f16|f32", value_parser = cache_type)]
    pub(super) values: Option<CacheType>,
}

impl Cache {
    /// As was asked for, and else as is usual where the model runs.
    pub(super) fn types(self, choice: &ExecutorChoice) -> CacheTypes {
        let usual = CacheTypes::usual(choice.is_gpu());
        CacheTypes { keys: self.keys.unwrap_or(usual.keys), values: self.values.unwrap_or(usual.values), ..usual }
    }

    /// What a model does not keep as was asked for, which V4 and latent attention may not.
    pub(super) fn notice(self, session: &Session) -> Option<String> {
        let found = session.cache_types();
        let is_other = |asked: Option<CacheType>, found| asked.is_some_and(|asked| asked != found);
        let (keys, values) = (found.keys.name(), found.values.name());
        (is_other(self.keys, found.keys) || is_other(self.values, found.values)).then(|| {
            format!(
                "{} keeps keys in {keys} and values in {values}, whatever is asked for",
                session.outline().architecture
            )
        })
    }
}

/// Where the prompt comes from.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct Prompt {
    /// The text to continue; \\n, \\t, \\\\ and the like in it are read as in C, unless --no-escape is given
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) prompt: Option<String>,
    /// A file with the text to continue; CRLF is read as LF, and one line end at its end is left out
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// The text to continue; `-` reads it from stdin, which is also read where it is a pipe and no text is given
    #[arg(value_name = "TEXT")]
    pub(super) text: Option<String>,
}

/// How the text of the arguments is read.
#[derive(Debug, Args)]
pub(super) struct Escapes {
    /// Read \\n and the like in the text of the arguments (the default; also as -e)
    #[arg(short = 'e', long, overrides_with = "no_escape", hide = true)]
    escape: bool,
    /// Take the text of the arguments as it is, \\n and the like included
    #[arg(long, overrides_with = "escape")]
    pub(super) no_escape: bool,
}

/// What ends a text beside the model itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "End of the text")]
pub(super) struct EndOptions {
    /// End the text, or the answer, where this comes up, which is left out; may be given several times
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) reverse_prompt: Vec<String>,
    /// Never choose a token that ends the text: go on until -n tokens are written
    #[arg(long, conflicts_with_all = ["grammar", "grammar_file", "json_schema", "json_schema_file"])]
    pub(super) ignore_eos: bool,
}

impl EndOptions {
    /// The texts of --reverse-prompt, with \\n and the like read.
    pub(super) fn stop_strings(&self) -> Vec<String> {
        self.reverse_prompt.iter().map(|text| super::prompt::unescaped(text)).collect()
    }
}

/// How a token is chosen. The defaults are llama.cpp's, and so is the order: bias, penalties, DRY, top-n-sigma, top-k,
/// typical, top-p, min-p, XTC, temperature.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub(super) struct SamplingOptions {
    /// Temperature; 0 takes the likeliest token every time
    #[arg(long, value_name = "T", default_value_t = 0.8, value_parser = temperature, allow_negative_numbers = true)]
    pub(super) temp: f32,
    /// Choose among the K likeliest tokens; 0 for all
    #[arg(long, value_name = "K", default_value_t = 40, value_parser = top_k, allow_negative_numbers = true)]
    pub(super) top_k: u32,
    /// Choose among the tokens that are about as surprising as the text is on average, which have the probability P
    /// together; 1 for all
    #[arg(long = "typical", visible_aliases = ["typ", "typical-p"], value_name = "P", default_value_t = 1.0,
          value_parser = share, allow_negative_numbers = true)]
    pub(super) typical: f32,
    /// Choose among the likeliest tokens that have the probability P together; 1 for all
    #[arg(long, value_name = "P", default_value_t = 0.95, value_parser = share, allow_negative_numbers = true)]
    pub(super) top_p: f32,
    /// Choose among the tokens with at least P times the likeliest one's probability; 0 for all
    #[arg(long, value_name = "P", default_value_t = 0.05, value_parser = share, allow_negative_numbers = true)]
    pub(super) min_p: f32,
    /// Choose among the tokens whose logit is less than N standard deviations below the greatest; -1 for all
    #[arg(long, visible_alias = "top-nsigma", value_name = "N", default_value_t = -1.0, value_parser = sigmas,
          allow_negative_numbers = true)]
    pub(super) top_n_sigma: f32,
    /// How often the likeliest tokens are left out so that a less likely one is written: a share of the tokens; 0 never
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, allow_negative_numbers = true)]
    pub(super) xtc_probability: f32,
    /// From which probability on a token is left out then, if there is another such that stays; over 0.5 does nothing
    #[arg(long, value_name = "P", default_value_t = 0.1, value_parser = share, allow_negative_numbers = true)]
    pub(super) xtc_threshold: f32,
    /// Make tokens written before less likely; 1 does nothing, and less than 1 makes them likelier
    #[arg(long, value_name = "R", default_value_t = 1.0, value_parser = repeat_penalty, allow_negative_numbers = true)]
    pub(super) repeat_penalty: f32,
    /// Take P from the logit of each token written before; 0 does nothing
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = penalty, allow_negative_numbers = true)]
    pub(super) presence_penalty: f32,
    /// Take P from the logit of each token written before, once for each time that it was; 0 does nothing
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = penalty, allow_negative_numbers = true)]
    pub(super) frequency_penalty: f32,
    /// Among how many of the last tokens these three look; -1 for all
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = window, allow_negative_numbers = true)]
    pub(super) repeat_last_n: i64,
    /// Make it less likely that a repetition goes on (DRY): what M is taken from the logit for a repetition of the allowed
    /// length; 0 does nothing, 0.8 is usual
    #[arg(long, value_name = "M", default_value_t = 0.0, value_parser = dry_multiplier, allow_negative_numbers = true)]
    pub(super) dry_multiplier: f32,
    /// By how much that grows with each token more that is repeated
    #[arg(long, value_name = "B", default_value_t = 1.75, value_parser = dry_base, allow_negative_numbers = true)]
    pub(super) dry_base: f32,
    /// How many tokens may be repeated without it
    #[arg(long, value_name = "N", default_value_t = 2, allow_negative_numbers = true)]
    pub(super) dry_allowed_length: u32,
    /// Among how many of the last tokens it looks for repetitions; -1 for all
    #[arg(long, value_name = "N", default_value_t = -1, value_parser = window, allow_negative_numbers = true)]
    pub(super) dry_penalty_last_n: i64,
    /// A text that a repetition does not reach across; may be given several times, and `none` for none [default: a line
    /// end, and : " *]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) dry_sequence_breaker: Vec<String>,
    /// Add V to the logit of a token, as in 15043+1.5 or 15043-inf, which forbids it; several with commas between, or given
    /// several times
    #[arg(short, long, value_name = "ID±V,…", value_parser = biases, allow_hyphen_values = true)]
    pub(super) logit_bias: Vec<Biases>,
    /// The begin of the random numbers: the same seed writes the same text; -1 for another one every time, which is
    /// told on stderr (also as -s) [default: -1]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i64).range(-1..=i64::from(u32::MAX)),
          allow_negative_numbers = true)]
    pub(super) seed: Option<i64>,
    /// The names of the options that were typed: of the others a model's files may know better.
    #[arg(skip)]
    pub(super) given: Vec<String>,
}

/// List every adapter on every backend, with what it offers, how the kernels are set for it, and how fast it is at best.
#[derive(Debug, Args)]
#[command(after_help = "\
The number or a part of the name chooses an adapter for --adapter. The best comes first.
WGPU_BACKEND=vulkan,metal,dx12,gl limits the backends; dx12 is there where dxcompiler.dll is.

Examples:
  headstart adapters
  headstart adapters --json | jq '.[].name'
  headstart adapters --probe --report limits.json")]
pub(super) struct Adapters {
    /// Measure what each adapter can do at best: bandwidth, arithmetic, latencies. It takes a few seconds for each
    #[arg(long)]
    pub(super) probe: bool,
    /// Probe only this one, by its number or a part of its name; `cpu` for plain loops on one thread [default: all]
    #[arg(short, long, value_name = "INDEX|NAME|cpu|all", requires = "probe")]
    pub(super) adapter: Option<String>,
    /// Everything, as JSON; with --probe: a report of each adapter
    #[arg(long)]
    pub(super) json: bool,
    /// Write the reports of --probe to a file as JSON
    #[arg(long, value_name = "FILE", requires = "probe")]
    pub(super) report: Option<PathBuf>,
}

const EVAL_EXAMPLES: &str = "\
Perplexity and nats are per scored token. The first token has none before it and is not scored;
a text is begun with the model's BOS token, if it has one. Bits per byte count the bytes of the
scored tokens' text, so they compare models of different vocabularies. A text longer than the
room (-c) is cut into windows, each of which begins from nothing; where the text begins with the
BOS token every window does, and every token of the text is scored.

Examples:
  headstart eval -f held-out.txt
  headstart eval -m model.gguf --ids 1,5,9 --greedy 20 --json
  headstart eval -m model.gguf --ids-file ids.txt --logits logits.npy";

/// Measure how well a model predicts a text; write its logits or its greedy continuation.
#[derive(Debug, Args)]
#[command(max_term_width = 100, after_help = EVAL_EXAMPLES)]
pub(super) struct Eval {
    #[command(flatten)]
    pub(super) model: Model,
    /// Adapter by its number or a part of its name (see `headstart adapters`); `cpu` runs without a GPU
    /// [default: the best]
    #[arg(short, long, value_name = "INDEX|NAME|cpu")]
    pub(super) adapter: Option<String>,
    #[command(flatten)]
    pub(super) tokens: Tokens,
    /// Then write the N likeliest tokens in a row, as ids
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) greedy: u32,
    /// Write the logits after every token to a NumPy file: [n_tokens, n_vocab] f32
    #[arg(long, value_name = "FILE.npy")]
    pub(super) logits: Option<PathBuf>,
    /// The results as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The tokens to hold the model against.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Tokens {
    /// A file of text; `-` for stdin
    #[arg(short, long, value_name = "TEXT")]
    pub(super) file: Option<PathBuf>,
    /// Token ids, with commas or spaces between, in brackets or not
    #[arg(long, value_name = "1,2,3", allow_hyphen_values = true)]
    pub(super) ids: Option<String>,
    /// A file of token ids, with commas, spaces or lines between; `-` for stdin
    #[arg(long, value_name = "FILE")]
    pub(super) ids_file: Option<PathBuf>,
}

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headstart completions bash > ~/.local/share/bash-completion/completions/headstart
  headstart completions zsh > ~/.zfunc/_headstart")]
pub(super) struct Completions {
    /// Which shell
    pub(super) shell: clap_complete::Shell,
}

/// As many tokens as there is room for.
pub(super) const UNLIMITED: u32 = u32::MAX;

fn n_predict(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "-2" => Ok(UNLIMITED),
        _ => text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "expected a number from 1 up, or -1".to_owned()),
    }
}

fn cache_type(text: &str) -> Result<CacheType, String> {
    match text.to_ascii_lowercase().as_str() {
        "f16" => Ok(CacheType::F16),
        "f32" => Ok(CacheType::F32),
        _ => Err("expected f16 or f32".to_owned()),
    }
}

/// Below 0 as at 0, as with llama.cpp.
fn temperature(text: &str) -> Result<f32, String> {
    number(text, f32::MIN..=f32::MAX)
        .map(|temperature| temperature.max(0.0))
        .map_err(|_| "expected a number".to_owned())
}

fn repeat_penalty(text: &str) -> Result<f32, String> {
    number(text, 0.01..=100.0)
}

fn sigmas(text: &str) -> Result<f32, String> {
    number(text, -1.0..=1000.0)
}

fn penalty(text: &str) -> Result<f32, String> {
    number(text, -100.0..=100.0)
}

fn dry_multiplier(text: &str) -> Result<f32, String> {
    number(text, 0.0..=100.0)
}

fn dry_base(text: &str) -> Result<f32, String> {
    number(text, 1.0..=100.0)
}

fn window(text: &str) -> Result<i64, String> {
    let fine = |n: &i64| (-1..=i64::from(u32::MAX)).contains(n);
    text.parse().ok().filter(fine).ok_or_else(|| "expected a number from 0 up, or -1".to_owned())
}

/// Tokens with what is added to their logits.
#[derive(Clone, Debug)]
pub(super) struct Biases(pub(super) Vec<(u32, f32)>);

fn biases(text: &str) -> Result<Biases, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let biases = parts.map(logit_bias).collect::<Result<Vec<_>, String>>()?;
    if biases.is_empty() { logit_bias(text).map(|bias| Biases(vec![bias])) } else { Ok(Biases(biases)) }
}

fn logit_bias(text: &str) -> Result<(u32, f32), String> {
    let parts = text.find(['+', '-']).map(|sign| text.split_at(sign));
    let bias = parts.and_then(|(id, bias)| Some((id.trim().parse().ok()?, bias.parse::<f32>().ok()?)));
    bias.filter(|(_, bias)| !bias.is_nan())
        .ok_or_else(|| "expected a token's id and a signed number, as in 15043+1.5".to_owned())
}

/// None below 0 is all, as with other programs, and so is more than there are.
fn top_k(text: &str) -> Result<u32, String> {
    let all_below_0 = |k: i64| u32::try_from(k.max(0)).unwrap_or(0);
    text.parse().ok().map(all_below_0).ok_or_else(|| "expected how many tokens, or 0 for all".to_owned())
}

fn share(text: &str) -> Result<f32, String> {
    number(text, 0.0..=1.0)
}

fn number(text: &str, range: std::ops::RangeInclusive<f32>) -> Result<f32, String> {
    let expected = if *range.end() == f32::MAX {
        format!("expected a number of at least {}", range.start())
    } else {
        format!("expected a number from {} to {}", range.start(), range.end())
    };
    text.parse().ok().filter(|number| range.contains(number)).ok_or(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_agree_with_themselves() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (options, fine) in [
            (["--temp", "0"], true),
            (["--temp", "-1"], true),
            (["--temp", "inf"], false),
            (["--temp", "NaN"], false),
            (["--top-p", "1.5"], false),
            (["--top-k", "-1"], true),
            (["--top-k", "99999999999"], true),
            (["--top-k", "1.5"], false),
            (["--repeat-penalty", "0.5"], true),
            (["--repeat-penalty", "0"], false),
            (["-n", "0"], false),
            (["-n", "-1"], true),
            (["-n", "-3"], false),
            (["-c", "0"], true),
            (["--seed", "-1"], true),
            (["-s", "4294967295"], true),
            (["-s", "4294967296"], false),
            (["--typ", "0.9"], true),
            (["--top-nsigma", "-1"], true),
            (["--repeat-last-n", "-1"], true),
            (["--repeat-last-n", "-2"], false),
            (["--logit-bias", "12-inf"], true),
            (["-l", "12+0.5"], true),
            (["-l", "12"], false),
            (["-l", "-1+2"], false),
            (["-l", "12+0.5, 13-inf,"], true),
            (["-l", "12+0.5,x"], false),
            (["-l", ","], false),
            (["-l", "12+nan"], false),
            (["--dry-base", "0.5"], false),
            (["--cache-type-k", "f16"], true),
            (["--cache-type-v", "q8_0"], false),
        ] {
            let parsed = Arguments::try_parse_from(["headstart", "run"].into_iter().chain(options));
            assert_eq!(parsed.is_ok(), fine, "{options:?}");
        }
    }
}
