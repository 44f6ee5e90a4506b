//! Charts of what was measured, as SVG: each is one self-contained text that stands in a page, in a file, on paper. What
//! may not be compared never stands in one chart, and what is not right never looks so.

mod bars;
mod canvas;
mod roofline;
mod scale;
mod stages;

use super::compare::{Cell, Group, Mark, Row, Section, compare};
use super::panel;
use super::report::{Entry, ProbeKind};
use bars::{Bar, Bars, Panel};
use canvas::{WIDTH, Words};

/// Adapters of one chart at most.
const MAX_ADAPTERS: usize = 40;
/// Nothing can be read in a chart that is narrower, in pixels.
const MIN_WIDTH: f64 = 280.0;
/// Panels of one chart at most.
const MAX_PANELS: usize = 12;

/// One chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// Which it is, one of [`NAMES`].
    pub name: &'static str,
    /// Index of its group in what [`compare`] makes of the same entries.
    pub group: usize,
    /// What it shows, in a line.
    pub title: String,
    /// A whole SVG document, without an XML declaration: it may be put into a page as it is.
    pub svg: String,
    /// Its width and height, in pixels at its natural size.
    pub size: (u32, u32),
}

/// What charts are called, in reading order.
pub const NAMES: [&str; 5] = ["tokens", "share", "stages", "memory", ROOFLINE];

/// The one that there may be many of: each shows one adapter.
pub const ROOFLINE: &str = "roofline";

/// All charts that can be drawn of the entries, in reading order. What was not measured leaves its chart out.
#[must_use]
pub fn charts(entries: &[Entry]) -> Vec<Chart> {
    charts_within(entries, WIDTH)
}

/// The same for a place of so many pixels: where it is narrow, names stand above their bars. Rooflines need their width.
#[must_use]
pub fn charts_within(entries: &[Entry], width: f64) -> Vec<Chart> {
    let width = width.clamp(MIN_WIDTH, WIDTH);
    let comparison = compare(entries, None);
    let mut charts = Vec::new();
    for (index, group) in comparison.groups.iter().enumerate() {
        let n_before = charts.len();
        let of_group = if comparison.groups.len() > 1 { format!(": {}", group.title) } else { String::new() };
        let mut add = |bars: Bars<'_>| charts.extend(bars.draw(charts.len(), width));
        add(tokens(group, &of_group));
        add(shares(group, &of_group));
        add(stages::stages(entries, group, &of_group));
        add(memory(entries, group, &of_group));
        roofline::rooflines(entries, group, &mut charts);
        charts[n_before..].iter_mut().for_each(|chart: &mut Chart| chart.group = index);
    }
    charts
}

/// Several charts below each other, as one SVG document.
#[must_use]
pub fn sheet(charts: &[Chart]) -> String {
    use svg::node::Blob;
    use svg::node::element::{Group as Layer, SVG};
    const GAP: u32 = 16;
    let height: u32 = charts.iter().map(|chart| chart.size.1 + GAP).sum::<u32>().saturating_sub(GAP);
    let mut top = 0;
    let mut sheet =
        SVG::new().set("viewBox", format!("0 0 {WIDTH} {height}")).set("width", WIDTH).set("height", height);
    for chart in charts {
        sheet =
            sheet.add(Layer::new().set("transform", format!("translate(0 {top})")).add(Blob::new(chart.svg.as_str())));
        top += chart.size.1 + GAP;
    }
    format!("{sheet}\n")
}

/// Rows of measured or published tests, as many as there is room for.
fn tests(group: &Group) -> impl Iterator<Item = &Row> {
    group
        .rows
        .iter()
        .filter(|row| matches!(row.section, Section::Standard | Section::Tests) && row.unit == "tokens/s")
        .take(MAX_PANELS)
}

fn tokens<'a>(group: &'a Group, of_group: &str) -> Bars<'a> {
    let panel = |row: &Row| Panel {
        heading: row.figure.clone(),
        unit: row.unit.clone(),
        at_least: 0.0,
        bars: row.cells.iter().map(|cell| cell.as_ref().and_then(token_bar)).collect(),
    };
    let mut words = Words { title: format!("Tokens per second by adapter{of_group}"), ..Words::default() };
    words.subtitle =
        "Medians; the whisker is a standard deviation to both sides. Every panel has its own scale.".into();
    Bars {
        name: "tokens",
        words,
        columns: &group.columns,
        panels: tests(group).map(panel).collect(),
        series: Vec::new(),
        n_beside: 3,
    }
}

fn token_bar(cell: &Cell) -> Option<Bar> {
    let value = cell.value.filter(|value| *value > 0.0)?;
    let spread = cell.spread.filter(|spread| spread.n > 1).map_or(0.0, |spread| spread.sd);
    let label = match cell.mark {
        // The figure itself counts for nothing.
        Mark::Wrong => Mark::Wrong.label().to_owned(),
        _ => panel::figures(value),
    };
    Some(Bar {
        parts: vec![(value, 0, String::new())],
        spread: spread.max(0.0).min(value.max(0.0)),
        label,
        mark: cell.mark,
    })
}

fn shares<'a>(group: &'a Group, of_group: &str) -> Bars<'a> {
    let limits = [ProbeKind::Read, ProbeKind::FmaF32];
    let series = |of: ProbeKind| limits.iter().position(|limit| *limit == of).map_or(8, |index| index + 1);
    let bar = |cell: &Cell| {
        let share = cell.share.filter(|share| share.share > 0.0)?;
        let percent = share.share * 100.0;
        let label = if cell.mark == Mark::Wrong { Mark::Wrong.label().to_owned() } else { panel::percent(share.share) };
        Some(Bar { parts: vec![(percent, series(share.of), String::new())], spread: 0.0, label, mark: cell.mark })
    };
    let panel = |row: &Row| Panel {
        heading: row.figure.clone(),
        unit: "% of its own limit".into(),
        at_least: 100.0,
        bars: row.cells.iter().map(|cell| cell.as_ref().and_then(bar)).collect(),
    };
    let has = |of: ProbeKind| {
        tests(group).flat_map(|row| &row.cells).flatten().any(|cell| cell.share.is_some_and(|s| s.of == of))
    };
    let names = [(limits[0], "of the bandwidth of reads"), (limits[1], "of the rate of f32 multiply-adds")];
    let series = names.into_iter().filter(|(of, _)| has(*of)).map(|(of, name)| (series(of), name.to_owned())).collect();
    let mut words =
        Words { title: format!("Share of each adapter's own measured limit{of_group}"), ..Words::default() };
    words.subtitle = "The limit is what a probe reached on the same adapter; of two, the one that is nearer.".into();
    Bars {
        name: "share",
        words,
        columns: &group.columns,
        panels: tests(group).map(panel).collect(),
        series,
        n_beside: 3,
    }
}

fn memory<'a>(entries: &[Entry], group: &'a Group, of_group: &str) -> Bars<'a> {
    let bytes = |column: &super::compare::Column| match &entries[column.entry] {
        Entry::Measured(report) => report.memory.map(|memory| [memory.weights, memory.cache, memory.scratch]),
        Entry::Published(_) => None,
    };
    let most = group.columns.iter().filter_map(bytes).map(|parts| parts.into_iter().fold(0, u64::saturating_add)).max();
    let (unit, size) = match most.unwrap_or(0) {
        most if most >= 1 << 30 => ("GiB", f64::from(1 << 30)),
        most if most >= 1 << 20 => ("MiB", f64::from(1 << 20)),
        _ => ("KiB", 1024.0),
    };
    let names = ["weights", "text so far (cache)", "values of one step (scratch)"];
    let bar = |column: &super::compare::Column| {
        let parts = bytes(column)?;
        let all = parts.into_iter().fold(0, u64::saturating_add);
        let part =
            |(index, n): (usize, u64)| (n as f64 / size, index + 1, format!("{}: {}", names[index], panel::bytes(n)));
        let parts: Vec<_> = parts.into_iter().enumerate().filter(|(_, n)| *n > 0).map(part).collect();
        // Memory is what it is, whether or not the numbers are right.
        (!parts.is_empty()).then(|| Bar { parts, spread: 0.0, label: panel::bytes(all), mark: Mark::Right })
    };
    let bars = group.columns.iter().map(bar).collect();
    let panel = Panel { heading: "Memory on the adapter".into(), unit: unit.into(), at_least: 0.0, bars };
    let series = names.iter().enumerate().map(|(index, name)| (index + 1, (*name).to_owned())).collect();
    let subtitle = "What the loaded model holds on the adapter.".into();
    let words = Words { title: format!("Memory by purpose{of_group}"), subtitle, ..Words::default() };
    Bars { name: "memory", words, columns: &group.columns, panels: vec![panel], series, n_beside: 1 }
}
