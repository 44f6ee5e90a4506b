//! Repeated tests of speed, in llama-bench's words, each with its share of the adapter's own limit: the columns of the list of
//! figures.

use crate::measure::figures::{Shown, cells, columns};
use crate::measure::report::Test;
use leptos::prelude::*;

#[component]
pub(crate) fn Speed(tests: Vec<Test>) -> impl IntoView {
    let headings = columns().filter_map(|(_, place)| match place {
        Shown::Table { heading, .. } => Some(heading),
        _ => None,
    });
    let headings: Vec<_> = std::iter::once("test").chain(headings).collect();
    let row = |test: Test| {
        let cells = cells(&test).map(|cell| view! { <td>{cell}</td> }).collect_view();
        view! { <tr><th scope="row">{test.name()}</th>{cells}</tr> }
    };
    view! {
        <h3>"Speed"</h3>
        <div class="scroll">
            <table>
                <caption class="unseen">"Tests of speed"</caption>
                <thead><tr>{headings.into_iter().map(|heading| view! { <th scope="col">{heading}</th> }).collect_view()}</tr></thead>
                <tbody>{tests.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
    }
}
