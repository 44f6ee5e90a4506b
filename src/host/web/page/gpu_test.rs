//! The first view: which GPU this is, how fast it writes, and one button that measures and checks it.

use super::LinkHandle;
use super::card;
use super::figures::EntryFigures;
use super::history::record::Record;
use super::history::share::{clear_address, copy_link};
use super::models::kept::duration;
use super::route::View;
use super::state::{Page, Status};
use crate::host::web::protocol::{AdapterCard, BenchPlan, Measurement, Standard};
use crate::host::web::store::Origin;
use crate::measure::Report;
use crate::measure::headline::{Headline, card_name, headline, writing};
use crate::measure::panel::figures;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

/// Tests, where nothing else is being done. What somebody sent gives way to it.
fn begin(page: Page, link: LinkHandle) {
    if page.status.get_untracked() == Status::Ready {
        page.history.received.set(None);
        link.with_value(|link| drop(link.measure(Measurement::Test(BenchPlan::of_test(), Standard::Full))));
    }
}

/// The part of the view that stands first.
#[component]
pub(crate) fn GpuTest(page: Page, link: LinkHandle) -> impl IntoView {
    let is_testing = Memo::new(move |_| page.measuring.with(|m| m.as_ref().is_some_and(|m| m.label == "Test")));
    let press = move |_| {
        if is_testing.get_untracked() {
            link.with_value(|link| link.stop());
        } else {
            begin(page, link);
        }
    };
    let is_busy = move || !is_testing.get() && page.status.get() != Status::Ready;
    let is = move |of: fn(&AdapterCard) -> bool| page.adapter.with(|card| card.as_ref().is_some_and(of));
    let label = move || match is_testing.get() {
        true => "Cancel",
        false if is(AdapterCard::is_cpu) => "Test this CPU",
        false => "Test this GPU",
    };
    let hint = move || match is(|card| card.takes_host_memory) {
        true if is(AdapterCard::is_cpu) => "How fast the small test model is without a GPU: a minute or two.",
        true => {
            "What real models would do here, measured on some of their layers and checked: up to three minutes on a CPU."
        }
        false => {
            "What DeepSeek V4-Flash and an 8B would do here, measured on some of their layers, tuned and checked: under a minute. Nothing is sent."
        }
    };
    view! {
        <section id="gpu-test" class="hero" aria-label="Test" aria-busy=move || is_testing.get().to_string()>
            <Rate page />
            <div class="act">
                <button id="test-gpu" type="button" class="primary large" disabled=is_busy on:click=press>{label}</button>
                <p class="hint" hidden=move || is_testing.get()>{hint}</p>
                <Progress page />
            </div>
        </section>
        <Result page />
    }
}

/// The large figure: of the test under way, else of what is being written, else of the last result.
#[component]
fn Rate(page: Page) -> impl IntoView {
    let tested = move || {
        page.partial.with(|report| report.as_ref().and_then(|report| Some(writing(report)?.tokens_per_s.median)))
    };
    let written = move || page.run.with(|run| run.as_ref().map(|run| run.tokens_per_s)).filter(|rate| *rate > 0.0);
    let last = move || result(page).and_then(|record| Some(writing(record.report()?)?.tokens_per_s.median));
    let rate = move || match page.status.get() {
        Status::Generating => written(),
        _ => tested().or_else(last).or_else(written),
    };
    let shown = move || rate().map_or_else(|| "–".to_owned(), figures);
    let is_speed = move || page.measuring.with(|m| m.as_ref().is_some_and(|m| matches!(m.label, "Test" | "Bench")));
    let what = move || match (page.status.get(), page.is_introducing.get()) {
        (Status::Loading, _) => "The test model is being loaded.",
        (Status::Generating, true) => "A small test model is writing here, on your GPU.",
        (Status::Measuring, _) if is_speed() => "Being measured.",
        _ if rate().is_none() => "No speed is known yet.",
        _ => "Text written by a small test model. It is a toy: judge the speed by it, not the words.",
    };
    let text =
        move || page.run.with(|run| run.as_ref().map(|run| format!("{}{}", run.prompt, run.text))).unwrap_or_default();
    view! {
        <div class="rate">
            <p class="figure"><strong class:none=move || rate().is_none()>{shown}</strong>" tokens/s"</p>
            <p class="hint">{what}</p>
            <p class="sample" aria-hidden="true"><span>{text}</span></p>
        </div>
    }
}

/// One bar for the whole test, with the time that is left.
#[component]
fn Progress(page: Page) -> impl IntoView {
    let bar = move || {
        let measuring = page.measuring.get().filter(|measuring| measuring.label == "Test")?;
        let share = measuring.share();
        let left =
            measuring.seconds_left().map_or_else(|| "…".to_owned(), |left| format!("about {} left", duration(left)));
        Some(view! {
            <div class="progress">
                <p><span>{measuring.step}</span><span>{left}</span></p>
                <progress max="1" value=share.map(|share| share.to_string()) aria-label="Test"></progress>
            </div>
        })
    };
    view! { {bar} }
}

/// The newest result that was measured here and says how fast.
fn result(page: Page) -> Option<Record> {
    let is_result = |record: &&Record| record.origin == Origin::Measured && record.report().and_then(writing).is_some();
    page.history.records.with(|all| all.iter().find(is_result).cloned())
}

/// What a record says, beside the cards that come with the page. Software is not what a GPU is held against, unless the
/// record is of that kind.
fn told(page: Page, record: &Record) -> Option<Headline> {
    page.history.records.with(|all| {
        let is_other =
            |other: &&Record| other.origin == Origin::Published && (record.is_software() || !other.is_software());
        let others: Vec<&Report> = all.iter().filter(is_other).filter_map(Record::report).collect();
        headline(record.report()?, &others)
    })
}

#[component]
fn Result(page: Page) -> impl IntoView {
    let record = Memo::new(move |_| result(page));
    let said = move || {
        let record = record.get()?;
        let told = told(page, &record)?;
        let Headline { claim, remarks, .. } = told.clone();
        let id = record.id;
        let pictured = record.clone();
        let entry = record.entry.clone();
        let is_open = RwSignal::new(false);
        Some(view! {
            <p class="claim">{claim}</p>
            <ul class="remarks">{remarks.into_iter().map(|remark| view! { <li>{remark}</li> }).collect_view()}</ul>
            <div class="buttons">
                <button id="share" type="button" class="small primary" on:click=move |_| copy_link(page.history, id)>"Share"</button>
                <button id="save-card" type="button" class="small" on:click=move |_| card::save(&pictured, &told)>"Save as picture"</button>
                <a class="button small" href="#compare">"Compare with other cards"</a>
                <span class="hint">{format!("Measured {}", record.when())}</span>
            </div>
            <details on:toggle=move |_| is_open.set(true)>
                <summary>"All figures"</summary>
                {move || is_open.get().then(|| view! { <EntryFigures entry=entry.clone() /> })}
            </details>
        })
    };
    view! {
        <section id="result" class="result" aria-label="Result" aria-live="polite" hidden=move || record.with(Option::is_none)>
            {said}
        </section>
    }
}

/// A result that somebody sent: theirs first, and the way to one's own.
#[component]
pub(super) fn Received(page: Page, link: LinkHandle) -> impl IntoView {
    let is_busy = move || page.status.get() != Status::Ready;
    let test = move |_| {
        begin(page, link);
        // This button is gone: the one that cancels comes into view.
        if let Some(button) = document().get_element_by_id("test-gpu") {
            let _ = button.unchecked_into::<HtmlElement>().focus();
        }
    };
    let received = move || {
        let id = page.history.received.get()?;
        page.history.records.with(|all| all.iter().find(|record| record.id == id).cloned())
    };
    let said = move || {
        let record = received()?;
        let name = record.report().map(|report| card_name(&report.adapter.identity.name)).unwrap_or_default();
        let (claim, remarks) = told(page, &record).map_or_else(
            || (format!("A report of {name}, without a test of speed."), Vec::new()),
            |told| (told.claim, told.remarks),
        );
        let id = record.id;
        let is_passing = record.place == super::history::record::Place::Passing;
        let keep = move |_| {
            page.history.keep(id);
            clear_address();
        };
        let dismiss = move |_| {
            page.history.received.set(None);
            page.history.delete(&[id]);
            clear_address();
        };
        Some(view! {
            <section id="received" class="received" aria-labelledby="received-title">
                <h2 id="received-title">"Sent to you: test yours"</h2>
                <p class="claim">{claim}</p>
                <div class="buttons">
                    <button type="button" class="small primary" disabled=is_busy on:click=test>"Test yours"</button>
                    {is_passing.then(|| view! { <button type="button" class="small" on:click=keep>"Keep it here"</button> })}
                    <button type="button" class="small" on:click=move |_| View::Compare.open()>"Compare"</button>
                    {is_passing.then(|| view! { <button type="button" class="small" on:click=dismiss>"Dismiss"</button> })}
                </div>
                <ul class="remarks">{remarks.into_iter().map(|remark| view! { <li>{remark}</li> }).collect_view()}</ul>
                <p class="hint">"The sender's own words, received by a link, not measured here."</p>
            </section>
        })
    };
    view! { {said} }
}
