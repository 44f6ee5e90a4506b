//! The runs that were picked, beside each other: one table for those that may be compared, and the charts.

use super::history::record::{Record, RecordId};
use super::history::share::copy;
use super::state::Page;
use crate::measure::chart::{Chart, ROOFLINE, charts_within};
use crate::measure::compare::{Cell, Column, Comparison, Group, Mark, Pair, PairRatio, Row, Section, compare, times};
use crate::measure::panel;
use crate::measure::report::Entry;
use leptos::ev::resize;
use leptos::prelude::*;

#[component]
pub(crate) fn ComparisonPanel(page: Page) -> impl IntoView {
    let history = page.history;
    let baseline = RwSignal::new(None::<RecordId>);
    let is_compared = |record: &&Record| record.compared;
    let compared =
        Memo::new(move |_| history.records.with(|all| all.iter().filter(is_compared).cloned().collect::<Vec<_>>()));
    let is_live =
        Memo::new(move |_| page.partial.with(|report| report.as_ref().is_some_and(|report| !report.tests.is_empty())));
    // What is being measured stands last, so that the places of the others stay.
    let entries = move || {
        let live = is_live.get().then(|| page.partial.get()).flatten().map(|report| Entry::Measured(Box::new(report)));
        let kept = compared.with(|all| all.iter().map(|record| (*record.entry).clone()).collect::<Vec<_>>());
        kept.into_iter().chain(live).collect::<Vec<Entry>>()
    };
    let comparison = Memo::new(move |_| {
        let place = baseline.get().and_then(|id| compared.with(|all| all.iter().position(|record| record.id == id)));
        compare(&entries(), place)
    });
    // Charts and tables are long, and cost time to draw: they wait until somebody asks.
    let is_open = RwSignal::new(false);
    let width = RwSignal::new(room());
    // A phone is turned, a window drawn wider: a chart of the old width would be stretched, and its type with it.
    window_event_listener(resize, move |_| {
        if width.get_untracked() != room() {
            width.set(room());
        }
    });
    let drawn = Memo::new(move |_| if is_open.get() { charts_within(&entries(), width.get()) } else { Vec::new() });
    // One or two for each adapter: together they are longer than the rest of the page.
    let rooflines =
        Memo::new(move |_| drawn.get().into_iter().filter(|chart| chart.name == ROOFLINE).collect::<Vec<_>>());
    let beside_each_other = move || drawn.get().into_iter().filter(|chart| chart.name != ROOFLINE);
    let is_empty = Memo::new(move |_| compared.with(Vec::is_empty) && !is_live.get());
    let markdown =
        move |_| copy(history, comparison.with_untracked(Comparison::markdown), "Copied as markdown.".into());
    view! {
        <section id="comparison" class="card" aria-labelledby="comparison-title" hidden=move || is_empty.get()>
            <h2 id="comparison-title">"Everything measured"</h2>
            <details id="tables" on:toggle=move |_| is_open.set(true)>
            <summary>"Charts and tables "<span class="hint">"each figure of each run"</span></summary>
            <div class="buttons">
                <label for="baseline">"Compared with"</label>
                <select id="baseline" on:change=move |event| baseline.set(event_target_value(&event).parse().ok())>
                    <option value="">"the first column"</option>
                    {move || compared.get().into_iter().map(|record| view! { <Choice record baseline /> }).collect_view()}
                </select>
                <button type="button" class="small" on:click=markdown>"Copy as markdown"</button>
            </div>
            <p class="hint">
                "pp512: reading a prompt of 512 tokens. tg128: writing 128 tokens. @ d512: with 512 tokens before."
            </p>
            <div class="charts">{move || beside_each_other().map(|chart| view! { <Drawn chart /> }).collect_view()}</div>
            {move || if is_open.get() { comparison.get() } else { Comparison::default() }.groups.into_iter().map(|group| view! { <Table group /> }).collect_view()}
            <details hidden=move || rooflines.with(Vec::is_empty)>
                <summary>"Rooflines "<span class="hint">{move || rooflines.with(Vec::len)}</span></summary>
                <div class="charts">{move || rooflines.get().into_iter().map(|chart| view! { <Drawn chart /> }).collect_view()}</div>
            </details>
            </details>
        </section>
    }
}

/// The pixels that a chart is drawn in: the style sheet shows it by a twelfth larger, so that no type is under 12 px.
fn room() -> f64 {
    const MARGINS: f64 = 48.0;
    let window = window().inner_width().ok().and_then(|width| width.as_f64()).unwrap_or(f64::MAX);
    (window - MARGINS) * 11.0 / 12.0
}

#[component]
fn Choice(record: Record, baseline: RwSignal<Option<RecordId>>) -> impl IntoView {
    let label = format!("{}, {}, {}", record.name, record.adapter(), record.when());
    view! {
        <option value=record.id.to_string() selected=move || baseline.get() == Some(record.id)>{label}</option>
    }
}

/// Adapters that may be compared, figure by figure.
#[component]
fn Table(group: Group) -> impl IntoView {
    let Group { title, facts, notes, columns, rows, pairs, .. } = group;
    let facts = facts.into_iter().map(|fact| format!("{} {}", fact.label, fact.value)).collect::<Vec<_>>().join(" · ");
    let pairs: Vec<_> = pairs.into_iter().filter_map(|pair| told(&pair, &columns, &rows)).collect();
    let n_columns = columns.len() + 1;
    let sections = rows.chunk_by(|a, b| a.section == b.section).map(|rows| (rows[0].section, rows.to_vec()));
    let sections: Vec<_> = sections.collect();
    view! {
        <h3>{title.clone()}</h3>
        <details>
            <summary class="hint">"What these runs have in common"</summary>
            <p class="hint">{facts}</p>
        </details>
        {notes.into_iter().map(|note| view! { <p class="note">{note}</p> }).collect_view()}
        <div class="scroll" tabindex="0" role="group" aria-label=format!("Table: {title}")>
            <table class="compared">
                <thead><tr><th scope="col"><span class="unseen">"Figure"</span></th>{columns.into_iter().map(head).collect_view()}</tr></thead>
                {sections.into_iter().map(|(section, rows)| view! {
                    <tbody>
                        <tr class="section"><th scope="rowgroup" colspan=n_columns>{section.label()}</th></tr>
                        {rows.into_iter().map(|row| view! { <Figure row /> }).collect_view()}
                    </tbody>
                }).collect_view()}
            </table>
        </div>
        {pairs.into_iter().map(|pair| view! { <p class="hint">{pair}</p> }).collect_view()}
    }
}

fn head(column: Column) -> impl IntoView {
    // Where nothing need be said in a cell, the head of the column says it once.
    let label = if column.mark == Mark::Right { "right" } else { column.mark.label() };
    view! {
        <th scope="col">
            <span class="run-name">{column.name}</span>
            <span class="hint">{column.detail}</span>
            <span class="verdict" data-verdict=key(column.mark)>{label}</span>
            <span class="hint">{column.remark}</span>
        </th>
    }
}

fn key(mark: Mark) -> &'static str {
    match mark {
        Mark::Right => "right",
        Mark::Wrong => "wrong",
        Mark::NotChecked | Mark::Published => "unknown",
    }
}

#[component]
fn Figure(row: Row) -> impl IntoView {
    let cell = |cell: Option<Cell>| match cell {
        None => view! { <td>"–"</td> }.into_any(),
        Some(cell) => {
            let share = cell.share.as_ref().map(|share| view! { <small>{panel::share(share)}</small> });
            let ratio = cell.ratio.map(|ratio| view! { <small>{times(ratio)}</small> });
            view! { <td data-verdict=key(cell.mark)>{cell.text}{share}{ratio}</td> }.into_any()
        }
    };
    let unit = row.unit_told();
    let figure = if unit.is_empty() { row.figure } else { format!("{}, {unit}", row.figure) };
    view! { <tr><th scope="row">{figure}</th>{row.cells.into_iter().map(cell).collect_view()}</tr> }
}

/// The same adapter twice, in a sentence.
fn told(pair: &Pair, columns: &[Column], rows: &[Row]) -> Option<String> {
    let (native, browser) = (columns.get(pair.native)?, columns.get(pair.browser)?);
    // Speed is what people look for; the other figures stand in the table.
    let is_speed = |row: &&Row| matches!(row.section, Section::Standard | Section::Tests) && row.unit == "tokens/s";
    let ratio = |at: &PairRatio| Some(format!("{} {}", rows.get(at.row).filter(is_speed)?.figure, times(at.ratio)));
    let ratios: Vec<String> = pair.ratios.iter().filter_map(ratio).collect();
    if ratios.is_empty() {
        return None;
    }
    Some(format!("{} in the browser ({}), against native: {}", native.name, browser.detail, ratios.join(", ")))
}

/// A chart. Its SVG is this program's own: `measure::chart` escapes every word that comes from a report.
#[component]
fn Drawn(chart: Chart) -> impl IntoView {
    view! {
        <figure>
            <figcaption class="unseen">{chart.title}</figcaption>
            <div class="scroll" tabindex="0" inner_html=chart.svg></div>
        </figure>
    }
}
