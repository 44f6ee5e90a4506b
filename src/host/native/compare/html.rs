//! A comparison as one page that needs nothing else: no network, no script, no font. Every text goes through maud, which
//! escapes it; the charts are SVG that escaped theirs when they were drawn.

use crate::measure::chart::{Chart, ROOFLINE};
use crate::measure::compare::{Cell, Column, Comparison, Group, Mark, Pair, Row, times};
use crate::measure::panel::share;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page.css");

/// The whole document.
pub(super) fn page(comparison: &Comparison, charts: &[Chart]) -> String {
    let n_adapters: usize = comparison.groups.iter().map(|group| group.columns.len()).sum();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Nothing in the page may be fetched or run, for a report may hold anything.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "headstart: adapters compared" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Adapters compared" }
                    p {
                        (n_adapters) @if n_adapters == 1 { " column" } @else { " columns" } " by headstart "
                        (env!("CARGO_PKG_VERSION")) ". A figure is a median with its standard deviation; below it stand "
                        "its share of what the same adapter's probes reached, and the multiple of the baseline. A timing "
                        "counts only where the adapter's numbers were checked and are right."
                    }
                }
                @if comparison.groups.len() > 1 {
                    nav aria-label="Models and settings" { ul {
                        @for (index, group) in comparison.groups.iter().enumerate() {
                            li { a href=(format!("#group-{index}")) { (group.title) } }
                        }
                    } }
                }
                @for (index, group) in comparison.groups.iter().enumerate() {
                    (section(index, group, charts.iter().filter(|chart| chart.group == index).collect()))
                }
            }
        }
    }
    .into_string()
}

/// Rooflines beyond this many are folded away: there is one for each adapter and kind of step.
const MAX_OPEN: usize = 4;

fn section(index: usize, group: &Group, charts: Vec<&Chart>) -> Markup {
    let (rooflines, bars): (Vec<&Chart>, Vec<&Chart>) = charts.into_iter().partition(|chart| chart.name == ROOFLINE);
    html! {
        section id=(format!("group-{index}")) {
            h2 { (group.title) }
            dl { @for fact in &group.facts { div { dt { (fact.label) } dd { (fact.value) } } } }
            @if !group.notes.is_empty() { ul.notes { @for note in &group.notes { li { (note) } } } }
            (figures(&bars))
            (table(group))
            @if let Some(column) = group.baseline.map(|baseline| &group.columns[baseline]) {
                p.hint { "× are multiples of " (column.name) " (" (column.detail) "); ↑ more is better, ↓ less." }
            }
            @for one in &group.pairs { (pair(group, one)) }
            @if !rooflines.is_empty() {
                details open[rooflines.len() <= MAX_OPEN] {
                    summary { h3 { "Rooflines (" (rooflines.len()) ")" } }
                    (figures(&rooflines))
                }
            }
        }
    }
}

/// The charts are documents of this program's own making, whose texts it has escaped.
fn figures(charts: &[&Chart]) -> Markup {
    html! {
        @if !charts.is_empty() {
            div.charts { @for chart in charts { figure { (PreEscaped(chart.svg.trim_end())) } } }
        }
    }
}

fn table(group: &Group) -> Markup {
    let is_first = |index: usize| index == 0 || group.rows[index - 1].section != group.rows[index].section;
    html! {
        div.wide tabindex="0" role="region" aria-label=(format!("Table of {}", group.title)) {
            table {
                thead { tr { th scope="col" { "Figure" } @for column in &group.columns { (head(column)) } } }
                @for (index, row) in group.rows.iter().enumerate() {
                    @if is_first(index) {
                        tr.part { th colspan=(group.columns.len() + 1) scope="colgroup" { span { (row.section.label()) } } }
                    }
                    tr {
                        (row_head(row))
                        @for cell in &row.cells { (data(cell.as_ref())) }
                    }
                }
            }
        }
    }
}

fn head(column: &Column) -> Markup {
    html! {
        th scope="col" {
            (column.name)
            @if let Some(source) = &column.source { small { a href=(source) rel="noopener noreferrer" { "source" } } }
        }
    }
}

fn row_head(row: &Row) -> Markup {
    html! { th scope="row" { (row.figure) @if !row.unit_told().is_empty() { small { " " (row.unit_told()) } } } }
}

fn data(cell: Option<&Cell>) -> Markup {
    let Some(cell) = cell else { return html! { td.none { "–" } } };
    let is_word = cell.value.is_none();
    let label = Some(cell.mark.label()).filter(|label| !label.is_empty() && cell.value.is_some());
    html! {
        td.(class(cell.mark)).word[is_word] {
            @if cell.mark == Mark::Wrong && !is_word { s { (cell.text) } } @else { span { (cell.text) } }
            @if cell.mark != Mark::Wrong || is_word {
                @if let Some(of) = &cell.share { small { (share(of)) } }
                @if let Some(ratio) = cell.ratio { small { (times(ratio)) } }
            }
            @if let Some(label) = label { small.mark { (label) } }
        }
    }
}

fn class(mark: Mark) -> &'static str {
    match mark {
        Mark::Right => "right",
        Mark::Wrong => "wrong",
        Mark::NotChecked => "unchecked",
        Mark::Published => "published",
    }
}

/// The same adapter twice, figure by figure.
fn pair(group: &Group, pair: &Pair) -> Markup {
    let (native, browser) = (&group.columns[pair.native], &group.columns[pair.browser]);
    let plain = |row: &Row, column: usize| {
        data(row.cells[column].as_ref().map(|cell| Cell { share: None, ratio: None, ..cell.clone() }).as_ref())
    };
    html! {
        h3 { (native.name) ": native against browser" }
        div.wide tabindex="0" role="region" aria-label=(format!("{}: native against browser", native.name)) {
            table.pair {
                thead { tr {
                    th scope="col" { "Figure" }
                    th scope="col" { (native.detail) }
                    th scope="col" { (browser.detail) }
                    th scope="col" { "browser / native" }
                } }
                @for ratio in &pair.ratios {
                    @let row = &group.rows[ratio.row];
                    tr {
                        th scope="row" { (row.section.label()) ": " (row.figure) small { " " (row.unit_told()) } }
                        (plain(row, pair.native))
                        (plain(row, pair.browser))
                        td { (times(ratio.ratio)) }
                    }
                }
            }
        }
    }
}
