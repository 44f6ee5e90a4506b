//! `headstart test`: the standard test of a card, the same that the page runs, in a sentence and a table.

use super::lanes::{Bench, Model};
use super::options::{Format, Options};
use super::{finish, output};
use crate::error::Result;
use crate::host::native::new_file::NewFile;
use crate::host::native::tune::Tune;
use crate::host::native::{Ending, choice, model_files, write_out};
use crate::measure::headline::headline;
use crate::measure::{Report, panel, standard};
use clap::Parser;
use std::fmt::Write as _;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
What a card would do with DeepSeek V4-Flash and with a Llama 8B in Q4_0: as much of each as there is memory for runs with
random weights, made on the card, and the whole is predicted; results drawn at random are checked. Nothing is downloaded.
The embedded model is measured too, in short. By its limits under a minute on a GPU, and three on a processor.

Examples:
  headstart test
  headstart test --adapter all --report cards.json
  headstart compare cards.json";

/// The standard test: how fast real models would be here, and whether the numbers are right.
#[derive(Debug, Parser)]
#[command(max_term_width = 100, after_help = AFTER_HELP)]
pub(in crate::host::native) struct Test {
    /// Adapters by their numbers or parts of their names (see `headstart adapters`), with commas between, or `all`
    /// [default: the best]
    #[arg(short, long, value_name = "LIST|all")]
    adapter: Option<String>,
    /// Keep the bounds checks of every access in the shaders, as browsers do
    #[arg(long)]
    shader_checks: bool,
    /// How kernels are chosen: as guessed, by what was found before, or by a search now, which is kept
    #[arg(long, value_name = "HOW", default_value = "quick")]
    tune: Tune,
    /// Write all figures to a file as JSON: a list of one report for each adapter
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The smallest cuts, one run and no check: to try the test itself
    #[arg(long, hide = true)]
    short: bool,
}

/// Carries out the command.
pub(in crate::host::native) fn test(asked: &Test) -> Result<Ending> {
    let file = asked.report.as_deref().map(NewFile::create).transpose()?;
    let choices = choice::list(asked.adapter.as_deref())?;
    let named = model_files::open(None)?;
    let sha256 = if file.is_some() { model_files::hash(&named)? } else { None };
    let models = [Model { named, sha256 }];
    let options = Options::of_test(asked.shader_checks, asked.short, asked.tune);
    let mut plan = standard::plan_of_loaded();
    if asked.short {
        plan.repeats = 1;
    }
    let mut bench = Bench::new(&options, &plan, &models, &choices);
    bench.run()?;
    let Bench { reports, failures, .. } = bench;
    write_out(shown(&reports).as_bytes())?;
    write_out(output::write(Format::Md, &reports)?.as_bytes())?;
    finish(file, &reports, failures)
}

/// The sentences that stand above the tables.
fn shown(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        let others: Vec<&Report> = reports.iter().filter(|other| !std::ptr::eq(*other, report)).collect();
        let Some(told) = headline(report, &others) else { continue };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", told.claim);
        told.remarks.iter().for_each(|remark| text.push_str(&format!("- {remark}\n")));
        text.push('\n');
        text.push_str(&panel::text(&panel::standard_rows(report)));
        text.push('\n');
    }
    text
}
