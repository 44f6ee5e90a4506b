//! The adapter twice: as the browser tells it and as wgpu sees it. Where they differ, the difference is the news.

use super::LinkHandle;
use super::figures::badge::CheckBadge;
use super::state::{Page, Status};
use crate::host::web::protocol::{AdapterCard, Power, Row};
use crate::measure::headline::card_name;
use leptos::prelude::*;

#[component]
pub(crate) fn AdapterPanel(page: Page, link: LinkHandle) -> impl IntoView {
    view! {
        <section id="adapter" class="card" aria-labelledby="adapter-title">
            <h2 id="adapter-title" class="unseen">"Your GPU"</h2>
            {move || match page.adapter.get() {
                Some(card) => view! { <Card page link card /> }.into_any(),
                None => {
                    let found = move || if page.status.get() == Status::NoWebgpu { "No GPU found" } else { "Looking for the GPU…" };
                    view! { <p class="name">{found}</p> }.into_any()
                }
            }}
        </section>
    }
}

#[component]
fn Card(page: Page, link: LinkHandle, card: AdapterCard) -> impl IntoView {
    view! {
        <p class="name">{card_name(&card.name)}</p>
        <p class="hint">{card.remark}</p>
        {card.other.clone().map(|other| view! { <Choice page link power=card.power name=card.name.clone() other /> })}
        {move || view! { <CheckBadge check=page.check.get() /> }}
        {(!card.identity.is_empty()).then(|| view! {
            <details>
                <summary>"What the browser says about it"</summary>
                <Rows caption="Identity and features" rows=card.identity />
                <Rows caption="Limits" rows=card.limits />
            </details>
        })}
    }
}

/// The browser's two adapters, where it has two. The model is loaded again on the one that is chosen.
#[component]
fn Choice(page: Page, link: LinkHandle, power: Power, name: String, other: String) -> impl IntoView {
    let (fast, frugal) = match power {
        Power::HighPerformance => (name, other),
        Power::LowPower => (other, name),
    };
    let option = move |of: Power, label: &'static str, name: String| {
        let change = move |_| {
            if of != power {
                link.with_value(|link| drop(link.change_adapter()));
            }
        };
        let id = match of {
            Power::HighPerformance => "high-performance",
            Power::LowPower => "low-power",
        };
        view! {
            <label>
                <input
                    type="radio"
                    name="power"
                    id=id
                    prop:checked=of == power
                    disabled=move || page.status.get() != Status::Ready
                    on:change=change
                />
                {label}<span class="hint">{name}</span>
            </label>
        }
    };
    view! {
        <fieldset class="choice">
            <legend class="hint">"This browser has two"</legend>
            {option(Power::HighPerformance, "High performance", fast)}
            {option(Power::LowPower, "Low power", frugal)}
        </fieldset>
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
