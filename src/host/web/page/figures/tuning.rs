//! What a search for the fastest kernels found.

use crate::measure::report::{Probes, TuningFacts};
use crate::measure::tune::words;
use leptos::prelude::*;

/// The problems that were tried, and what there is to say beside them; nothing where none was.
pub(crate) fn tuned(facts: &TuningFacts, probes: &Probes) -> impl IntoView + use<> {
    let row = |[name, cells @ ..]: [String; 12]| {
        let cells = cells.into_iter().map(|cell| view! { <td>{cell}</td> }).collect_view();
        view! { <tr><th scope="row">{name}</th>{cells}</tr> }
    };
    let rows: Vec<_> = words::tried(facts).map(|problem| row(words::cells(problem, probes))).collect();
    let notes = words::notes(facts).into_iter().map(|note| view! { <p class="hint">{note}</p> }).collect_view();
    (!rows.is_empty()).then(|| {
        view! {
            <details class="stages tuning">
                <summary>"What tuning found"</summary>
                <div class="scroll">
                    <table>
                        <thead><tr>{words::COLUMNS.map(|column| view! { <th scope="col">{column}</th> }).collect_view()}</tr></thead>
                        <tbody>{rows}</tbody>
                    </table>
                </div>
                {notes}
            </details>
        }
    })
}
