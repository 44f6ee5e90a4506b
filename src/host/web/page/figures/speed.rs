//! Repeated tests of speed, in llama-bench's words, each with its share of the adapter's own limit.

use crate::measure::panel::{figures, millis, share};
use crate::measure::report::Test;
use leptos::prelude::*;

#[component]
pub(crate) fn Speed(tests: Vec<Test>) -> impl IntoView {
    let row = |test: Test| {
        let rate = format!("{} ± {}", figures(test.tokens_per_s.median), figures(test.tokens_per_s.sd));
        let first = test.first_token_ms.map_or_else(|| "–".to_owned(), millis);
        let of_limit = test.share.as_ref().map_or_else(|| "no probe".to_owned(), share);
        view! {
            <tr>
                <th scope="row">{test.name()}</th>
                <td>{rate}</td>
                <td>{millis(test.ms_per_token)}</td>
                <td>{first}</td>
                <td>{figures(test.gb_per_s)}</td>
                <td>{of_limit}</td>
            </tr>
        }
    };
    view! {
        <h3>"Speed"</h3>
        <div class="scroll">
            <table>
                <caption class="unseen">"Tests of speed"</caption>
                <thead>
                    <tr>
                        <th scope="col">"test"</th>
                        <th scope="col">"tokens/s"</th>
                        <th scope="col">"per token"</th>
                        <th scope="col">"first token"</th>
                        <th scope="col">"GB/s"</th>
                        <th scope="col">"of its limit"</th>
                    </tr>
                </thead>
                <tbody>{tests.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
    }
}
