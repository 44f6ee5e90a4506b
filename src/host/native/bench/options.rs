//! The words of `headstart bench`; options are named as llama-bench's are.

use super::numbers::{Numbers, Pair};
use crate::host::native::arguments::Cache;
use crate::host::native::hub::HubModel;
use crate::host::native::rounds::Rounds;
use crate::host::native::tune::Tune;
use crate::measure::bench::{Plan, TestPlan};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Numbers may be lists and ranges: 512,1024 or 128-512+128 or 128-1024*2.
Each test is run once to warm up and then -r times, in rounds: every test on every adapter, again
and again, so that what else the machine does falls on all alike. The table shows medians, and
the standard deviation after ±. Nothing is tokenized; time to first token counts from the begin of
a run. `share` is of the adapter's own measured limit, and `check` says whether its numbers are
right. Ctrl-C ends the tests and still shows what was measured; a second one ends at once.

Examples:
  headstart bench
  headstart bench --adapter all -p 128-512*2 -n 32 -d 0,1024
  headstart bench -m a.gguf,b.gguf --adapter 0,cpu -r 3 -o csv > speeds.csv
  headstart bench -p 0 -n 0 -pg 256,64 --report report.json";

/// Measure speed: repeated tests on one adapter or all, in one table.
#[derive(Debug, Parser)]
#[command(max_term_width = 100, after_help = AFTER_HELP)]
pub(in crate::host::native) struct Options {
    /// GGUF files, or safetensors files (or their folders) with config.json beside them, or synthetic:… (see `headstart
    /// run --help`), with commas between [default: the embedded model]
    #[arg(short, long, value_name = "FILE,…", value_delimiter = ',', value_parser = path)]
    pub(super) model: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) hub: HubModel,
    /// Adapters by their numbers or parts of their names (see `headstart adapters`), with commas between; `cpu` runs
    /// without a GPU, `all` is every adapter [default: the best]
    #[arg(short, long, value_name = "LIST|all")]
    pub(super) adapter: Option<String>,
    /// Tokens of a prompt that are computed together: test pp; 0 for none
    #[arg(short = 'p', long, value_name = "N,…", default_value = "512")]
    n_prompt: Vec<Numbers>,
    /// Tokens that are written one after the other: test tg; 0 for none
    #[arg(short = 'n', long, value_name = "N,…", default_value = "128")]
    n_gen: Vec<Numbers>,
    /// A prompt of P tokens and N tokens written after it, timed as one: test pp+tg; also as -pg, also several times
    #[arg(long = "pg", value_name = "P,N")]
    prompt_and_gen: Vec<Pair>,
    /// Tokens that stand before each test
    #[arg(short = 'd', long, value_name = "N,…", default_value = "0")]
    n_depth: Vec<Numbers>,
    /// How often each test counts
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    repetitions: u32,
    /// Tokens of text to make room for [default: 4096, as the model was trained, or as the longest test needs]
    #[arg(short, long = "ctx-size", value_name = "N", value_parser = clap::value_parser!(u32).range(0..))]
    ctx_size: Option<u32>,
    /// Let each test's first run count
    #[arg(long)]
    no_warmup: bool,
    /// Keep the bounds checks of every access in the shaders: slower; for drivers that are not trusted
    #[arg(long)]
    pub(super) shader_checks: bool,
    #[command(flatten)]
    pub(super) cache: Cache,
    /// How kernels are chosen: as guessed, by what `headstart tune` found before, or by a search now, which is kept
    #[arg(long, value_name = "HOW", default_value = "quick")]
    pub(super) tune: Tune,
    #[command(flatten)]
    pub(super) rounds: Rounds,
    /// Time each stage of a step, by the adapter's own clock, for the whole model and for each kind of layer
    #[arg(long)]
    profile: bool,
    /// Do not measure first what each adapter can do at best: no shares of a limit
    #[arg(long)]
    pub(super) no_probe: bool,
    /// Do not check each adapter's numbers against the CPU executor
    #[arg(long)]
    pub(super) no_check: bool,
    /// How the results go to stdout
    #[arg(short, long, value_name = "FORMAT", default_value = "md")]
    pub(super) output: Format,
    /// Write all figures to a file as JSON: a list of one report for each adapter and model
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// The standard test after the others
    #[arg(skip)]
    pub(super) standard: Option<StandardTest>,
}

/// How the standard test runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StandardTest {
    /// The smallest cuts, one run and no check.
    pub(super) is_short: bool,
    /// Whether kernels are searched for its models.
    pub(super) tunes: bool,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Tables in Markdown
    Md,
    /// Comma-separated values, the first line their names
    Csv,
    /// A JSON list of objects
    Json,
    /// A JSON object on each line
    Jsonl,
    /// Statements that make a table and fill it
    Sql,
}

impl Options {
    /// For the standard test: nothing is searched for the file that runs beside it.
    pub(super) fn of_test(shader_checks: bool, is_short: bool, tune: Tune) -> Self {
        let standard = Some(StandardTest { is_short, tunes: tune == Tune::Quick });
        let tune = if tune == Tune::Off { Tune::Off } else { Tune::Kept };
        Self { shader_checks, no_check: is_short, tune, standard, ..Self::parse_from(["headstart bench"]) }
    }

    /// The tests by depth, each named once, in llama-bench's order.
    pub(super) fn plan(&self) -> Plan {
        let numbers = |lists: &[Numbers]| lists.iter().flat_map(|list| list.0.clone()).collect::<Vec<u32>>();
        let (prompts, gens) = (numbers(&self.n_prompt), numbers(&self.n_gen));
        let mut tests: Vec<TestPlan> = Vec::new();
        for depth in numbers(&self.n_depth) {
            let test = |(n_prompt, n_gen)| TestPlan { n_prompt, n_gen, depth };
            let prompts = prompts.iter().map(|n| test((*n, 0)));
            let gens = gens.iter().map(|n| test((0, *n)));
            let both = self.prompt_and_gen.iter().map(|pair| test((pair.n_prompt, pair.n_gen)));
            for test in prompts.chain(gens).chain(both) {
                if test.n_prompt + test.n_gen > 0 && !tests.contains(&test) {
                    tests.push(test);
                }
            }
        }
        Plan { tests, repeats: self.repetitions, warm_up: !self.no_warmup, fill: true, profile: self.profile }
    }

    /// The room to ask for; `None` for what a model gets by itself.
    pub(super) fn n_context(&self, plan: &Plan) -> Option<u32> {
        self.ctx_size.filter(|&n| n > 0).or_else(|| Some(plan.n_context()).filter(|needed| *needed > DEFAULT_CONTEXT))
    }
}

/// A path of a list, which may have blanks around it; empty behind the last comma.
fn path(text: &str) -> Result<PathBuf, String> {
    let is_there = PathBuf::from(text).exists();
    Ok(if is_there { text } else { text.trim() }.into())
}

/// Positions that a model gets if nobody asks, where it was trained for that many.
const DEFAULT_CONTEXT: u32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::native::dashes::with_long_options;
    use std::ffi::OsString;

    fn parse(words: &str) -> Result<Options, clap::Error> {
        let words = ["headstart", "bench"].into_iter().chain(words.split_whitespace()).map(OsString::from);
        Options::try_parse_from(with_long_options(words).expect("known options").0.into_iter().skip(1))
    }

    fn tests(words: &str) -> Vec<(u32, u32, u32)> {
        let plan = parse(words).expect(words).plan();
        plan.tests.iter().map(|test| (test.n_prompt, test.n_gen, test.depth)).collect()
    }

    #[test]
    fn tests_are_those_of_llama_bench() {
        assert_eq!(tests(""), [(512, 0, 0), (0, 128, 0)]);
        assert_eq!(tests("-p 16,32 -n 0"), [(16, 0, 0), (32, 0, 0)]);
        assert_eq!(
            tests("-p 0 -n 8 -n 4 -d 0-64+32"),
            [8, 4, 8, 4, 8, 4].iter().zip([0, 0, 32, 32, 64, 64]).map(|(n, depth)| (0, *n, depth)).collect::<Vec<_>>()
        );
        assert_eq!(tests("-p 16 -n 8 -pg 16,8 -pg=4,2"), [(16, 0, 0), (0, 8, 0), (16, 8, 0), (4, 2, 0)]);
        assert_eq!(tests("-p 16,16 -n 0 -d 1,1"), [(16, 0, 1)]);
        assert_eq!(tests("-p 0 -n 0"), []);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in ["-p x", "-p 5-1", "-n 1-9*1", "-d -1", "-pg 512", "-pg 0,0", "-r 0", "-o xml", "-p 1-4000000000"]
        {
            assert!(parse(words).is_err(), "{words}");
        }
    }

    #[test]
    fn room_is_asked_for_where_the_tests_need_more_than_a_model_gets() {
        let room = |words| parse(words).map(|options| options.n_context(&options.plan())).expect(words);
        assert_eq!(room(""), None);
        assert_eq!(room("-c 700"), Some(700));
        assert_eq!(room("-d 8192"), Some(8192 + 512));
    }
}
