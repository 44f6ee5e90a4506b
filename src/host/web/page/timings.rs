//! Where the time went: a lane per step, each beginning where the one above ends; and the rows of the report, the same
//! as in the terminal.

use super::state::Page;
use crate::host::web::protocol::LoadTimes;
use crate::measure::{Report, panel};
use leptos::prelude::*;

#[component]
pub(crate) fn Timings(page: Page) -> impl IntoView {
    let lanes =
        move || page.times.get().map(|times| view! { <Lanes steps=page.report.with(|report| steps(times, report)) /> });
    let rows = move || page.report.get().map(|report| view! { <Rows report /> });
    view! {
        <section id="timings" class="card" aria-labelledby="timings-title">
            <h2 id="timings-title">"Where the time went"</h2>
            {move || page.times.with(Option::is_none).then(|| view! { <p class="hint">"Shown once a model is loaded."</p> })}
            {lanes}
            {rows}
        </section>
    }
}

/// The steps so far with their milliseconds: loading, and then the last text's.
fn steps(times: LoadTimes, report: &Option<Report>) -> Vec<(&'static str, f64)> {
    let mut steps = vec![("Load", times.load_ms), ("Compile", times.compile_ms)];
    if let Some(text) = report.as_ref().and_then(|report| report.text.as_ref()) {
        steps.push(("Prefill", text.prefill.ms));
        let per_token =
            |decode: &crate::measure::report::Decode| f64::from(decode.n_tokens) * 1000.0 / decode.tokens_per_s;
        steps.push(("Decode", text.decode.as_ref().map_or(0.0, per_token)));
    }
    steps
}

#[component]
fn Lanes(steps: Vec<(&'static str, f64)>) -> impl IntoView {
    let whole: f64 = steps.iter().map(|(_, ms)| ms).sum::<f64>().max(1.0);
    let mut from = 0.0;
    let lane = |(what, ms): (&'static str, f64)| {
        let style = format!("--from: {:.2}%; --for: {:.2}%", from / whole * 100.0, ms / whole * 100.0);
        from += ms;
        view! {
            <li>
                <span>{what}</span>
                <div class="lane" aria-hidden="true"><i style=style></i></div>
                <span>{panel::millis(ms)}</span>
            </li>
        }
    };
    view! { <ul class="lanes">{steps.into_iter().map(lane).collect_view()}</ul> }
}

/// The report in the terminal's rows; the runs below have the whole of it.
#[component]
fn Rows(report: Report) -> impl IntoView {
    let row = |(what, how): panel::Row| view! { <tr><th scope="row">{what}</th><td>{how}</td></tr> };
    let rows = panel::rows(&report);
    view! {
        <details>
            <summary>"Report of the last text"</summary>
            <table>{rows.into_iter().map(row).collect_view()}</table>
        </details>
    }
}
