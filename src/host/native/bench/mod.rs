//! `headstart bench`: repeated tests of models on adapters. The results go to stdout in the format that is asked for,
//! progress and failures to stderr.

mod host;
mod lanes;
mod numbers;
mod options;
mod output;
mod row;
mod test;

pub(super) use options::Options;
pub(super) use test::{Test, test};

use super::new_file::NewFile;
use super::{Ending, choice, ending, json, model_files, write_out};
use crate::error::{Error, Result};
use crate::measure::Report;
use lanes::{Bench, Model};
use options::Format;

/// Carries out the command.
pub(super) fn bench(options: &Options) -> Result<Ending> {
    let mut plan = options.plan();
    plan.check()?;
    // Begun now, so that a place that cannot be written to is found before the work and not after.
    let file = options.report.as_deref().map(NewFile::create).transpose()?;
    let choices = choice::list(options.adapter.as_deref())?;
    let from_hub = options.hub.or(None)?;
    let paths: Vec<_> = options
        .model
        .iter()
        .filter(|path| !path.as_os_str().is_empty())
        .chain(&from_hub)
        .map(|path| Some(path.as_path()))
        .collect();
    let paths = if paths.is_empty() { vec![None] } else { paths };
    // Only what is kept needs to say which file it was; the table for the eye does not.
    let keeps = options.report.is_some() || options.output != Format::Md;
    let open = |path: &Option<_>| {
        let named = model_files::open(*path)?;
        let sha256 = if keeps { model_files::hash(&named)? } else { None };
        Ok(Model { named, sha256 })
    };
    let models: Vec<Model> = paths.iter().map(open).collect::<Result<_>>()?;
    // Random weights have no text to be true to, and zeros before a test are read as fast as anything.
    plan.fill = models.iter().any(|model| model.named.files.synthetic.is_none());
    let mut bench = Bench::new(options, &plan, &models, &choices);
    bench.run()?;
    let Bench { reports, failures, .. } = bench;
    write_out(output::write(options.output, &reports)?.as_bytes())?;
    finish(file, &reports, failures)
}

/// Writes the reports to the file that was asked for, and tells what failed.
fn finish(file: Option<NewFile>, reports: &[Report], mut failures: Vec<Error>) -> Result<Ending> {
    // Written also where an adapter failed: what the others did is worth keeping.
    if let Some(mut file) = file {
        file.write(json(&reports)?.as_bytes())?;
        file.finish()?;
    }
    if failures.is_empty() {
        return Ok(ending());
    }
    // The first one is the command's own error, told where those are told.
    let first = failures.remove(0);
    for failure in failures {
        eprintln!("headstart: {failure}");
    }
    Err(first)
}
