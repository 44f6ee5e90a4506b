//! One table: the columns of a set, a row for every figure that one of them has, and the ratios to the baseline.

use super::figures::{self, Figure};
use super::group::Set;
use super::{Cell, Column, Group, Mark, Row, Section, pairs};
use crate::format::sorted::sort;
use crate::measure::Report;
use crate::measure::headline::card_name;
use crate::measure::report::read::printable;
use crate::measure::report::{Check, Entry, Host, Published, Verdict};

/// Figures of one table at most; nobody measures as many, but anybody can write them.
const MAX_ROWS: usize = 512;

/// The table of a set; `baseline` is an index of an entry.
pub(super) fn table(entries: &[Entry], set: &Set, baseline: Option<usize>) -> Group {
    let mut columns: Vec<Column> =
        set.members.iter().map(|&index| column(index, &entries[index], set.is_standard)).collect();
    number_twins(&mut columns);
    let mut notes = Vec::new();
    let baseline = baseline_of(&columns, entries, baseline, &mut notes);
    let mut rows = rows(entries, &columns, set);
    if let Some(baseline) = baseline {
        rows.iter_mut().for_each(|row| set_ratios(row, baseline));
    }
    notes.extend(remarks(&columns));
    notes.extend(otherwise(&columns, set));
    let pairs = pairs::pairs(entries, &columns, &rows);
    Group { title: set.title.clone(), facts: set.facts.clone(), notes, columns, baseline, rows, pairs }
}

/// Who an entry is and how far it may be trusted; with the standard test by the checks of that.
pub(super) fn column(entry: usize, of: &Entry, is_standard: bool) -> Column {
    match of {
        Entry::Measured(report) => {
            let check = if is_standard { report.standard_check() } else { report.check.as_ref() };
            of_report(entry, report, check)
        }
        Entry::Published(published) => of_published(entry, published),
    }
}

fn of_report(entry: usize, report: &Report, check: Option<&Check>) -> Column {
    let identity = &report.adapter.identity;
    let platform = &report.platform;
    let host = match (platform.host, &platform.browser) {
        (Host::Native, _) => "native",
        (Host::Browser, Some(browser)) => browser,
        (Host::Browser, None) => "browser",
    };
    let parts = [identity.backend.as_str(), host, platform.os.as_str()];
    let detail = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" · ");
    let (mark, remark) = match check {
        None => (Mark::NotChecked, "its numbers were not checked".to_owned()),
        Some(check) => match (&check.fault, check.verdict) {
            (Some(fault), _) => (Mark::Wrong, format!("its stage {fault} was broken on purpose")),
            (None, Verdict::Right) => (Mark::Right, check.summary.clone()),
            (None, Verdict::Wrong) => (Mark::Wrong, format!("its numbers are wrong: {}", check.summary)),
            (None, Verdict::Unknown) => (Mark::NotChecked, format!("its numbers were not checked: {}", check.summary)),
        },
    };
    let name = if identity.name.is_empty() { "adapter without a name".to_owned() } else { card_name(&identity.name) };
    Column {
        entry,
        name: printable(&name),
        detail: printable(&detail),
        mark,
        remark: printable(remark.trim_end_matches(['.', ' ', ':'])),
        source: None,
    }
}

fn of_published(entry: usize, published: &Published) -> Column {
    Column {
        entry,
        name: printable(&published.machine),
        detail: format!("published {}, not measured", printable(&published.date)),
        mark: Mark::Published,
        remark: published.note.as_deref().map(printable).unwrap_or_default(),
        source: Some(printable(&published.source)),
    }
}

/// Columns of the same name and detail are numbered, so that no two read alike.
fn number_twins(columns: &mut [Column]) {
    for index in 1..columns.len() {
        let (before, rest) = columns.split_at_mut(index);
        let column = &mut rest[0];
        let is_twin = |other: &&Column| other.name == column.name && stem(&other.detail) == column.detail;
        let n = before.iter().filter(is_twin).count();
        if n > 0 {
            column.detail = format!("{}{TWIN}{}", column.detail, n + 1);
        }
    }
}

const TWIN: &str = " · no. ";

fn stem(detail: &str) -> &str {
    detail.split_once(TWIN).map_or(detail, |(stem, _)| stem)
}

/// The column of the baseline: that of the entry asked for, or of the same adapter here; the first that may be trusted
/// where none was asked for.
fn baseline_of(columns: &[Column], entries: &[Entry], wanted: Option<usize>, notes: &mut Vec<String>) -> Option<usize> {
    let found = match wanted {
        Some(wanted) => {
            let twin = entries.get(wanted).map(|entry| column(wanted, entry, false));
            let is_twin = |other: &Column| {
                twin.as_ref().is_some_and(|twin| twin.name == other.name && twin.detail == stem(&other.detail))
            };
            let found = columns.iter().position(|column| column.entry == wanted);
            let found = found.or_else(|| columns.iter().position(is_twin));
            if let (None, Some(twin)) = (found, twin) {
                notes.push(format!("The baseline, {} ({}), has no figures here: no ratios.", twin.name, twin.detail));
            }
            found
        }
        None if columns.len() < 2 => None,
        None => {
            let first = |mark: Mark| columns.iter().position(|column| column.mark == mark);
            first(Mark::Right).or_else(|| first(Mark::NotChecked)).or_else(|| first(Mark::Published))
        }
    };
    let column = &columns[found?];
    if column.mark == Mark::Wrong {
        notes.push(format!("The baseline, {}, computes wrongly: its timings give no ratios.", column.name));
    }
    found
}

/// What was measured otherwise than in the first column; a footnote, since it changes figures by little.
fn otherwise(columns: &[Column], set: &Set) -> Vec<String> {
    let measured = columns.iter().zip(&set.otherwise).filter(|(_, what)| !what.is_empty());
    let note = |(column, what): (&Column, &Vec<String>)| {
        format!("Measured otherwise: {} ({}): {}.", column.name, column.detail, what.join("; "))
    };
    measured.map(note).collect()
}

/// What must be known before a figure is believed.
fn remarks(columns: &[Column]) -> Vec<String> {
    let remark = |column: &Column| {
        let who = format!("{} ({})", column.name, column.detail);
        match column.mark {
            Mark::Right => None,
            Mark::Wrong => Some(format!("WRONG: {who}: {}. Its timings count for nothing.", column.remark)),
            Mark::NotChecked => Some(format!("Not checked: {who}: {}.", column.remark)),
            Mark::Published => Some(format!(
                "Published, not measured: {who}: {}{}",
                column.source.as_deref().unwrap_or_default(),
                if column.remark.is_empty() { String::new() } else { format!(" ({})", column.remark) }
            )),
        }
    };
    columns.iter().filter_map(remark).collect()
}

fn rows(entries: &[Entry], columns: &[Column], set: &Set) -> Vec<Row> {
    let of_column = |column: &Column| {
        let mut all = match &entries[column.entry] {
            Entry::Measured(report) => figures::of_report(report),
            Entry::Published(published) => figures::of_published(published),
        };
        all.retain(|figure| set.holds(figure.section));
        all
    };
    let all: Vec<Vec<Figure>> = columns.iter().map(of_column).collect();
    let mut heads: Vec<&Figure> = all.iter().flatten().collect();
    heads.sort_unstable_by(|a, b| (a.section, a.order, &a.name, a.unit).cmp(&(b.section, b.order, &b.name, b.unit)));
    heads.dedup_by(|a, b| is_same(a, b));
    let figure_row = |head: &Figure| Row {
        section: head.section,
        figure: head.name.clone(),
        unit: head.unit.to_owned(),
        better: head.better,
        cells: all
            .iter()
            .zip(columns)
            .map(|(figures, column)| figures.iter().find(|figure| is_same(figure, head)).map(|f| cell(f, column)))
            .collect(),
    };
    heads.truncate(MAX_ROWS);
    let mut rows = vec![platform_row(columns), check_row(columns)];
    rows.extend(heads.into_iter().map(figure_row));
    sort(&mut rows, |row| row.section as u64);
    rows
}

fn is_same(a: &Figure, b: &Figure) -> bool {
    a.section == b.section && a.name == b.name && a.unit == b.unit
}

fn platform_row(columns: &[Column]) -> Row {
    let cell = |column: &Column| Some(Cell { text: column.detail.clone(), mark: Mark::Right, ..Cell::default() });
    Row { figure: "runs on".into(), cells: columns.iter().map(cell).collect(), ..Row::default() }
}

fn check_row(columns: &[Column]) -> Row {
    let text = |mark: Mark| match mark {
        Mark::Right => "right",
        Mark::Published => "not measured",
        other => other.label(),
    };
    let cell =
        |column: &Column| Some(Cell { text: text(column.mark).to_owned(), mark: column.mark, ..Cell::default() });
    let cells = columns.iter().map(cell).collect();
    Row { section: Section::Check, figure: "numbers".into(), cells, ..Row::default() }
}

fn cell(figure: &Figure, column: &Column) -> Cell {
    let mark = match column.mark {
        Mark::Published => Mark::Published,
        mark => figure.mark.unwrap_or(if figure.section.needs_check() { mark } else { Mark::Right }),
    };
    Cell {
        value: figure.value,
        spread: figure.spread,
        share: figure.share,
        ratio: None,
        text: figure.text.clone(),
        mark,
    }
}

/// Divides a row by its baseline. What is wrong is neither divided nor divided by.
fn set_ratios(row: &mut Row, baseline: usize) {
    if !row.section.has_ratio() {
        return;
    }
    let usable = |cell: &Cell| if cell.mark == Mark::Wrong { None } else { cell.value };
    let Some(base) = row.cells[baseline].as_ref().and_then(usable).filter(|base| *base > 0.0) else { return };
    for cell in row.cells.iter_mut().flatten() {
        cell.ratio = usable(cell).map(|value| value / base).filter(|ratio| ratio.is_finite());
    }
}
