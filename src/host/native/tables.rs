//! Tables for the terminal: the stages of a token, and several adapters side by side. They are Markdown, to be pasted
//! into a report as they are.

use crate::kernels;
use crate::measure::Report;
use crate::measure::panel::{self, Row};
use crate::measure::report::{Probes, TuningFacts};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// The stages of a decoded token, the longest first.
pub(super) fn stages(report: &Report) -> Option<Table> {
    let stages = &report.profiles.first()?.stages;
    let mut table = new_table();
    table.set_header(panel::STAGE_COLUMNS);
    table.add_rows(stages.iter().map(panel::stage_cells));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    Some(table)
}

/// One column for each adapter, one row for each label; where an adapter failed, its name and what it said.
pub(super) fn side_by_side(columns: &[Vec<Row>]) -> Table {
    let mut labels: Vec<&str> = Vec::new();
    for (label, _) in columns.iter().flatten() {
        if !labels.contains(label) {
            labels.push(label);
        }
    }
    let value = |column: &Vec<Row>, label| {
        column.iter().find(|row| row.0 == label).map(|row| row.1.clone()).unwrap_or_default()
    };
    let mut rows = labels
        .into_iter()
        .map(|label| [label.to_owned()].into_iter().chain(columns.iter().map(move |column| value(column, label))));
    let mut table = new_table();
    table.set_header(rows.next().into_iter().flatten());
    table.add_rows(rows);
    table
}

/// What the tuner found: the problems that it tried, those that take the most time first. A choice is told by what is other than
/// guessed. Beside them stands the share of what the probes say that the adapter reads, or multiplies, at best.
pub(super) fn tuning(facts: &TuningFacts, probes: &Probes) -> Table {
    let mut table = new_table();
    table.set_header([
        "stage", "count", "results", "format", "guess", "ms", "chosen", "ms", "gain", "GB/s", "of limit", "tried",
    ]);
    let tried = facts.problems.iter().filter(|problem| problem.n_tried > 0);
    table.add_rows(tried.map(|problem| {
        let is_same = problem.choice == problem.guess;
        let chosen = if is_same { "the same".to_owned() } else { problem.choice.beside(&problem.guess.config) };
        let step = if problem.n_tokens == 1 { String::new() } else { format!(" of {}", problem.n_tokens) };
        [
            format!("{}{step}", problem.stage),
            problem.n_stages.to_string(),
            problem.problem.n_results.to_string(),
            kernels::format_of_facts(&problem.problem.facts).map_or_else(String::new, |format| format.to_string()),
            problem.guess.variant.clone(),
            format!("{:.3}", problem.guess_ms),
            chosen,
            format!("{:.3}", problem.choice_ms),
            format!("{:.2}", problem.gain()),
            format!("{:.1}", problem.gb_per_s()),
            problem.share(probes).map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share.share)),
            problem.n_tried.to_string(),
        ]
    }));
    table
}

/// An empty table that is never narrowed to the terminal: for results that are kept.
pub(super) fn wide_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// One column for each name, and rows that begin with theirs.
pub(super) fn square(corner: &str, names: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    let mut table = new_table();
    table.set_header([corner].into_iter().chain(names.iter().copied()));
    table.add_rows(rows);
    table
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Dynamic);
    table
}
