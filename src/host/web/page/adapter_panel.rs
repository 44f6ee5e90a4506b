//! The adapter twice: as the browser tells it and as wgpu sees it. Where they differ, the difference is the news.

use super::state::Page;
use crate::host::web::protocol::{AdapterCard, Row};
use leptos::prelude::*;

#[component]
pub(crate) fn AdapterPanel(page: Page) -> impl IntoView {
    view! {
        <section id="adapter" class="card" aria-labelledby="adapter-title">
            <h2 id="adapter-title">"Adapter"</h2>
            {move || match page.adapter.get() {
                Some(card) => view! { <Card card /> }.into_any(),
                None => view! { <p class="hint">"Not known yet."</p> }.into_any(),
            }}
        </section>
    }
}

#[component]
fn Card(card: AdapterCard) -> impl IntoView {
    view! {
        <p class="name">{card.name}</p>
        <p class="hint">{card.remark}</p>
        {(!card.identity.is_empty()).then(|| view! {
            <Rows caption="Identity and features" rows=card.identity />
            <details>
                <summary>"Limits"</summary>
                <Rows caption="Limits" rows=card.limits />
            </details>
        })}
    }
}

#[component]
fn Rows(caption: &'static str, rows: Vec<Row>) -> impl IntoView {
    let said = |word: String| if word.is_empty() { "–".to_owned() } else { word };
    let told = |row: &Row| !(row.browser.is_empty() && row.wgpu.is_empty());
    let row = |row: Row| {
        view! { <tr><th scope="row">{row.what}</th><td>{said(row.browser)}</td><td>{said(row.wgpu)}</td></tr> }
    };
    view! {
        <table>
            <caption class="unseen">{caption}</caption>
            <thead><tr><th scope="col"><span class="unseen">"What"</span></th><th scope="col">"browser"</th><th scope="col">"wgpu"</th></tr></thead>
            <tbody>{rows.into_iter().filter(told).map(row).collect_view()}</tbody>
        </table>
    }
}
