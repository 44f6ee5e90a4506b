//! The figures of one run: limits, speed, time by stage, check, and what ran. Everything that a report says is put on
//! the page as text, never as markup: it may come from anybody.

pub(crate) mod badge;
mod probes;
mod speed;
mod stages;
mod tuning;

use crate::measure::Report;
use crate::measure::panel;
use crate::measure::report::{Entry, Published};
use badge::CheckBadge;
use leptos::prelude::*;
use std::sync::Arc;

/// Whatever an entry holds.
#[component]
pub(crate) fn EntryFigures(entry: Arc<Entry>) -> impl IntoView {
    match Arc::unwrap_or_clone(entry) {
        Entry::Measured(report) => view! { <Figures report=*report /> }.into_any(),
        Entry::Published(published) => view! { <PublishedFigures published /> }.into_any(),
    }
}

/// A report's figures, the ones that people ask for first.
#[component]
pub(crate) fn Figures(report: Report) -> impl IntoView {
    let Report { check, tests, probes, profiles, adapter, tuning, .. } = report.clone();
    let has_clock = adapter.features.iter().any(|feature| feature == "timestamp-query");
    let has_tests = !tests.is_empty();
    let standard = panel::standard_rows(&report);
    view! {
        <div class="figures">
            {(!standard.is_empty()).then(|| view! { <Standard rows=standard /> })}
            {has_tests.then(|| view! { <speed::Speed tests /> })}
            <CheckBadge check />
            {has_tests.then(|| view! { <stages::Stages profiles has_clock /> })}
            {tuning.as_ref().map(|facts| tuning::tuned(facts, &probes))}
            {(!probes.0.is_empty()).then(|| view! { <probes::Limits probes /> })}
            <What report />
        </div>
    }
}

/// What the adapter would do with the models of the standard test, and what that was measured on.
#[component]
fn Standard(rows: Vec<(String, String)>) -> impl IntoView {
    let row = |(what, how): (String, String)| view! { <tr><th scope="row">{what}</th><td>{how}</td></tr> };
    view! {
        <h3>"The standard test"</h3>
        <table>{rows.into_iter().map(row).collect_view()}</table>
    }
}

/// What ran, on what, and how: the rows that the terminal shows too.
#[component]
fn What(report: Report) -> impl IntoView {
    let platform = &report.platform;
    let mut rows = panel::rows(&report);
    if report.text.is_none() {
        rows.retain(|(what, _)| !TEXT_ROWS.contains(what));
    }
    if let Some(tuning) = &report.tuning {
        rows.push(("choice of kernels", panel::tuning(tuning)));
    }
    rows.push(("system", platform.os.clone()));
    rows.push((
        "program",
        format!("headstart {}, {}", report.program, platform.browser.as_deref().unwrap_or("native")),
    ));
    rows.push(("clock", format!("steps of {} µs", panel::figures(platform.clock_us))));
    let row = |(what, how): panel::Row| view! { <tr><th scope="row">{what}</th><td>{how}</td></tr> };
    view! {
        <details>
            <summary>"What ran"</summary>
            <table>{rows.into_iter().map(row).collect_view()}</table>
        </details>
    }
}

/// Rows that say nothing where no text was written.
const TEXT_ROWS: [&str; 5] = ["prefill", "first token", "decode", "per token", "CPU encode share"];

/// What somebody says of a machine. The address is shown as text, to be judged before it is followed.
#[component]
fn PublishedFigures(published: Published) -> impl IntoView {
    let figure = |figure: crate::measure::report::PublishedFigure| {
        view! { <tr><th scope="row">{figure.name}</th><td>{format!("{} {}", panel::figures(figure.value), figure.unit)}</td></tr> }
    };
    view! {
        <div class="figures">
            <p class="hint">{format!("Published on {} at {}", published.date, published.source)}</p>
            <p class="hint">{published.note}</p>
            <table>{published.figures.into_iter().map(figure).collect_view()}</table>
        </div>
    }
}
