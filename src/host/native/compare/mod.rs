//! `headstart compare`: reports from anywhere beside each other, as tables, charts, one self-contained page, or JSON.

mod html;

use super::model_files::read_text;
use super::new_file::{NewFile, refuse_to_replace};
use super::{Ending, write_out};
use crate::error::{Error, ErrorKind, Result};
use crate::measure::chart::{self, Chart, charts};
use crate::measure::compare::compare;
use crate::measure::report::read::{MAX_BYTES, read};
use crate::measure::report::{Entry, schema};
use clap::{Args, ValueEnum};
use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
A report is what `headstart run --report` and the page write: one, or a list. Reports of other models, settings or
versions stand in tables of their own. A timing whose numbers are wrong or were not checked says so. Figures of a
machine that headstart cannot run on may be typed in by hand (docs/reports.md shows how); they are always marked.
A file that cannot be read is named on stderr, the others are compared all the same, and the exit code is 3.

Examples:
  headstart compare www/timings/*.json
  headstart compare mine.json theirs.json --baseline llvmpipe -o html --out compare.html
  headstart compare mine.json -o svg --chart roofline > roofline.svg";

/// Put reports beside each other.
#[derive(Debug, Args)]
#[command(max_term_width = 100, after_help = EXAMPLES)]
pub(super) struct Compare {
    /// Files with reports, or with published figures; `-` for stdin
    #[arg(required = true, value_name = "REPORT")]
    reports: Vec<PathBuf>,
    /// Tables as markdown, a page with tables and charts, charts, or everything as JSON
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Md)]
    output: Format,
    /// Whose figures the others are multiples of: an adapter's number, counted from 0 in the order of the reports, or
    /// a part of its name, its backend or its browser [default: the first that is right]
    #[arg(long, value_name = "NAME|INDEX")]
    baseline: Option<String>,
    /// With -o svg: only this chart
    #[arg(long, value_name = "NAME", value_parser = chart::NAMES)]
    chart: Option<String>,
    /// Write to a file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Md,
    Html,
    Svg,
    Json,
}

/// Print the JSON Schema of reports.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  headstart schema > www/report.schema.json")]
pub(super) struct Schema {}

/// Carries out `compare`.
pub(super) fn run(arguments: &Compare) -> Result<Ending> {
    if arguments.chart.is_some() && arguments.output != Format::Svg {
        return Err(Error::usage("--chart", "given without -o svg").advice("Add -o svg."));
    }
    // Begun now, so that a place that cannot be written to is found before the work and not after.
    let out = arguments.out.clone().or_else(|| page_beside_terminal(arguments.output));
    refuse_to_replace(&arguments.reports, out.as_deref())?;
    let file = out.as_deref().map(NewFile::create).transpose()?;
    let (mut entries, mut failures) = (Vec::new(), Vec::new());
    for path in &arguments.reports {
        match read_file(path) {
            Ok(mut read) => entries.append(&mut read),
            Err(_) if is_index(path) => eprintln!("headstart: {} is a list of reports, and left out", path.display()),
            Err(error) => failures.push(error),
        }
    }
    let last = failures.pop();
    failures.iter().for_each(|error| eprintln!("headstart: {error}"));
    if entries.is_empty() {
        return last.map_or_else(|| Err(Error::file("reports", "the files hold none")), Err);
    }
    let output = render(arguments, &entries)?;
    match file {
        Some(mut file) => {
            file.write(output.as_bytes())?;
            file.finish()?;
            if arguments.out.is_none() {
                out.iter().for_each(|path| eprintln!("headstart: the page is in {}", path.display()));
            }
        }
        None => write_out(output.as_bytes())?,
    }
    last.map_or(Ok(Ending::Done), Err)
}

/// Carries out `schema`.
pub(super) fn print_schema() -> Result<Ending> {
    write_out(schema::text().as_bytes())?;
    Ok(Ending::Done)
}

fn render(arguments: &Compare, entries: &[Entry]) -> Result<String> {
    let baseline = arguments.baseline.as_deref().map(|wanted| find(entries, wanted)).transpose()?;
    Ok(match arguments.output {
        Format::Md => compare(entries, baseline).markdown(),
        Format::Json => compare(entries, baseline).json(),
        Format::Html => html::page(&compare(entries, baseline), &charts(entries)),
        Format::Svg => svg(entries, arguments.chart.as_deref())?,
    })
}

/// One chart as it is, several below each other.
fn svg(entries: &[Entry], wanted: Option<&str>) -> Result<String> {
    let charts: Vec<Chart> =
        charts(entries).into_iter().filter(|chart| wanted.is_none_or(|wanted| wanted == chart.name)).collect();
    match &charts[..] {
        [] => {
            let error =
                Error::usage(format!("chart {:?}", wanted.unwrap_or("any")), "the reports have no figures of it");
            Err(error.advice("Rooflines and time by stage need a profile, and rooflines and shares need probes."))
        }
        [one] => Ok(one.svg.clone()),
        several => Ok(chart::sheet(several)),
    }
}

/// Where a page goes that would else fill a terminal: a file here, of a name that is free.
fn page_beside_terminal(format: Format) -> Option<PathBuf> {
    if format != Format::Html || !std::io::stdout().is_terminal() {
        return None;
    }
    let names = (2..1000).map(|number| PathBuf::from(format!("compare-{number}.html")));
    std::iter::once(PathBuf::from("compare.html")).chain(names).find(|path| !path.exists())
}

/// Whether a file that holds no reports is the list of them that lies in a folder beside them.
fn is_index(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "index.json")
}

/// Reads one file; no more of it than a report may have.
fn read_file(path: &Path) -> Result<Vec<Entry>> {
    let shown = path.display().to_string();
    // Twice as much in UTF-16; what is too long as text is refused where it is read.
    let most = MAX_BYTES as u64 * 2 + 4;
    let text = if path == Path::new("-") {
        read_text(std::io::stdin().lock(), &shown, most)
    } else {
        let file = File::open(path).map_err(|error| Error::io(&shown, error))?;
        read_text(file, &shown, most)
    };
    let text = text.map_err(|error| match error.kind {
        ErrorKind::Usage => Error { kind: ErrorKind::File, ..error },
        _ => error,
    })?;
    read(&text).map_err(|error| Error { thing: format!("{shown}: {}", error.thing), ..error })
}

/// The index of the entry that `wanted` means: its number, else its whole name, else a part of it or of what it runs on
/// (a backend, a browser), in any case of letters; the first where several fit.
fn find(entries: &[Entry], wanted: &str) -> Result<usize> {
    let labels: Vec<(String, String)> = entries.iter().map(label).collect();
    let lower = wanted.to_lowercase();
    let by_number = wanted.parse().ok().filter(|&index: &usize| index < labels.len());
    let position = |fits: &dyn Fn(&str, &str) -> bool| {
        labels.iter().position(|(name, place)| fits(&name.to_lowercase(), &place.to_lowercase()))
    };
    let found = by_number
        .or_else(|| position(&|name, _| name == lower))
        .or_else(|| position(&|name, _| name.contains(&lower)))
        .or_else(|| position(&|_, place| place.contains(&lower)));
    found.filter(|_| !wanted.is_empty()).ok_or_else(|| {
        let listed: Vec<String> =
            labels.iter().enumerate().map(|(index, (name, place))| format!("{index} ({name}, {place})")).collect();
        let error = Error::usage(format!("baseline {wanted:?}"), "no adapter of this number, name, backend or browser");
        Error { kind: ErrorKind::Usage, ..error.expected(listed.join(", ")) }
    })
}

/// The name of an entry's adapter, and what it ran on there.
fn label(entry: &Entry) -> (String, String) {
    match entry {
        Entry::Measured(report) => {
            let (identity, browser) = (&report.adapter.identity, report.platform.browser.as_deref());
            (identity.name.clone(), format!("{} {}", identity.backend, browser.unwrap_or("native")))
        }
        Entry::Published(published) => (published.machine.clone(), "published".to_owned()),
    }
}
