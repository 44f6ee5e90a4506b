//! Tables for the terminal: the stages of a token, and several adapters side by side. They are Markdown, to be pasted
//! into a report as they are.

use crate::measure::Report;
use crate::measure::panel::{self, Row};
use crate::measure::report::{Probes, TuningFacts};
use crate::measure::tune::words;
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

/// What the tuner found.
pub(super) fn tuning(facts: &TuningFacts, probes: &Probes) -> Table {
    let mut table = new_table();
    table.set_header(words::COLUMNS);
    table.add_rows(words::tried(facts).map(|problem| words::cells(problem, probes)));
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
