//! The numeric check: a badge that says whether the numbers are right, WRONG or not checked, and opens what was compared.

use crate::measure::panel;
use crate::measure::report::{Check, Verdict as Found};
use crate::measure::verify;
use leptos::prelude::*;

/// The verdict in a word.
#[component]
pub(crate) fn Verdict(verdict: Signal<Found>) -> impl IntoView {
    view! { <span class="verdict" data-verdict=move || key(verdict.get())>{move || verdict.get().label()}</span> }
}

fn key(verdict: Found) -> &'static str {
    match verdict {
        Found::Right => "right",
        Found::Wrong => "wrong",
        Found::Unknown => "unknown",
    }
}

fn of_numbers(verdict: Found) -> String {
    format!("Numbers {}", verdict.label())
}

/// The verdict, which opens the details where there are some.
#[component]
pub(crate) fn CheckBadge(check: Option<Check>) -> impl IntoView {
    let Some(check) = check else {
        let unknown = Found::default();
        return view! { <p class="check"><span class="verdict" data-verdict=key(unknown)>{of_numbers(unknown)}</span></p> }.into_any();
    };
    let (verdict, rows) = (check.verdict, verify::rows(&check));
    let row = |(what, how): panel::Row| view! { <tr><th scope="row">{what}</th><td>{how}</td></tr> };
    view! {
        <details class="check">
            <summary>
                <span class="verdict" data-verdict=key(verdict)>{of_numbers(verdict)}</span>
                <span class="hint">{check.summary}</span>
            </summary>
            <table>
                <caption class="unseen">"Numeric check"</caption>
                {rows.into_iter().map(row).collect_view()}
            </table>
        </details>
    }
    .into_any()
}
