//! The runs as a list: what each is in a line, and the one that is open with its figures and what can be done with it.

use super::History;
use super::files::{export, export_all, take_files};
use super::record::{NAME_LENGTH, Record, RecordId};
use super::share::{clear_address, copy, copy_link, says_something};
use crate::host::web::page::LinkHandle;
use crate::host::web::page::figures::EntryFigures;
use crate::host::web::page::figures::badge::Verdict;
use crate::host::web::store::Origin;
use crate::measure::compare::compare;
use leptos::html::{Input, Textarea};
use leptos::prelude::*;
use std::time::Duration;
use web_sys::HtmlInputElement;

/// So many are listed before somebody asks for all.
const FIRST: usize = 8;

#[component]
pub(crate) fn Runs(history: History, link: LinkHandle) -> impl IntoView {
    let shows_all = RwSignal::new(false);
    let shows_published = RwSignal::new(false);
    let of = move |published: bool| {
        let is_of = move |record: &&Record| (record.origin == Origin::Published) == published;
        history.records.with(|records| records.iter().filter(is_of).map(|record| record.id).collect::<Vec<_>>())
    };
    let n_records = Memo::new(move |_| of(false).len());
    let n_published = Memo::new(move |_| of(true).len());
    let ids = move || {
        let most = if shows_all.get() { usize::MAX } else { FIRST };
        of(false).into_iter().take(most).collect::<Vec<_>>()
    };
    let published = move || if shows_published.get() { of(true) } else { Vec::new() };
    let picked = move |event| {
        let input = event_target::<HtmlInputElement>(&event);
        if let Some(files) = input.files() {
            take_files(history, link, &files);
        }
        input.set_value("");
    };
    view! {
        <section id="runs" class="card" aria-labelledby="runs-title">
            <h2 id="runs-title">"Your runs"</h2>
            <p class="hint" hidden=move || n_records.get() == 0>"Those with a tick are in the charts and tables below."</p>
            <p class="hint" hidden=move || n_records.get() != 0>
                "None yet. What is measured here is kept in this browser, and nowhere else."
            </p>
            <ul class="runs">
                <For each=ids key=|id| *id children=move |id| view! { <Run history id /> } />
            </ul>
            <div class="buttons">
                <button
                    type="button"
                    class="small"
                    hidden=move || n_records.get() <= FIRST
                    aria-expanded=move || shows_all.get().to_string()
                    on:click=move |_| shows_all.update(|all| *all = !*all)
                >
                    {move || if shows_all.get() { "Show fewer".to_owned() } else { format!("Show all {}", n_records.get()) }}
                </button>
                <span class="pick">
                    <input id="import" class="unseen" type="file" accept=".json,application/json" multiple on:change=picked />
                    <label class="button small" for="import">"Import reports"</label>
                </span>
                <button id="export-all" type="button" class="small" hidden=move || n_records.get() == 0 on:click=move |_| export_all(history)>
                    "Export all"
                </button>
            </div>
            <details id="published" hidden=move || n_published.get() == 0 on:toggle=move |_| shows_published.set(true)>
                <summary>"Came with the page "<span class="hint">{move || n_published.get()}</span></summary>
                <ul class="runs">
                    <For each=published key=|id| *id children=move |id| view! { <Run history id /> } />
                </ul>
            </details>
        </section>
    }
}

/// What was done last is said for so long.
const TOLD_FOR: Duration = Duration::from_secs(8);

/// What was done last, in any part of the page; and a text to be copied by hand.
#[component]
pub(crate) fn Told(history: History) -> impl IntoView {
    let is_silent = move || history.said.with(String::is_empty);
    // It lies over what is behind it: once it could be read, it goes by itself.
    Effect::new(move |_| {
        let said = history.said.get();
        let close = move || {
            if history.said.with_untracked(|now| *now == said) {
                history.said.set(String::new());
            }
        };
        if !is_silent() {
            set_timeout(close, TOLD_FOR);
        }
    });
    view! {
        <div class="told" class:silent=is_silent>
            <p id="told" role="status">{move || history.said.get()}</p>
            <button type="button" class="small" hidden=is_silent on:click=move |_| history.said.set(String::new())>"Close"</button>
        </div>
        {move || history.to_copy.get().map(|text| view! { <ByHand history text /> })}
    }
}

/// One run: a line that opens.
#[component]
fn Run(history: History, id: RecordId) -> impl IntoView {
    let found = move || history.records.with(|all| all.iter().find(|record| record.id == id).cloned());
    let record = Memo::new(move |_| found());
    let of = move |part: fn(&Record) -> String| move || record.with(|record| record.as_ref().map(part));
    let is_open = Memo::new(move |_| history.open.get() == Some(id));
    let name = of(|record| record.name.clone());
    let body = format!("run-{id}");
    let flip = move |_| history.open.update(|open| *open = if *open == Some(id) { None } else { Some(id) });
    let compared = move |event| {
        let is_compared = event_target::<HtmlInputElement>(&event).checked();
        history.change(id, |record| record.compared = is_compared);
    };
    view! {
        <li class="run" class:open=move || is_open.get()>
            <input
                type="checkbox"
                aria-label=move || format!("Compare {}, {}", name().unwrap_or_default(), of(Record::when)().unwrap_or_default())
                prop:checked=move || record.with(|record| record.as_ref().is_some_and(|record| record.compared))
                on:change=compared
            />
            <button type="button" class="run-head" aria-expanded=move || is_open.get().to_string() aria-controls=body.clone() on:click=flip>
                <span class="run-name">{name}</span>
                <span>{of(Record::adapter)}</span>
                <span>{of(|record| record.model().unwrap_or_default().to_owned())}</span>
                <span>{of(Record::when)}</span>
                <Verdict verdict=Signal::derive(move || record.with(|r| r.as_ref().map(Record::verdict).unwrap_or_default())) />
            </button>
            <div class="run-body" id=body hidden=move || !is_open.get()>
                {move || is_open.get().then(|| record.get()).flatten().map(|record| view! { <Open history record /> })}
            </div>
        </li>
    }
}

/// What an open run says, and what can be done with it.
#[component]
fn Open(history: History, record: Record) -> impl IntoView {
    let renaming = RwSignal::new(false);
    let entry = record.entry.clone();
    view! {
        {record.provenance().map(|from| view! { <p class="hint provenance">{from}"."</p> })}
        {move || match renaming.get() {
            true => view! { <Rename history id=record.id name=record.name.clone() renaming /> }.into_any(),
            false => view! { <Actions history record=record.clone() renaming /> }.into_any(),
        }}
        <EntryFigures entry />
    }
}

#[component]
fn Actions(history: History, record: Record, renaming: RwSignal<bool>) -> impl IntoView {
    let id = record.id;
    let is_passing = record.origin == Origin::Received && record.place == super::record::Place::Passing;
    let is_own = record.origin != Origin::Published;
    let has_link = record.report().is_some_and(says_something);
    let markdown = {
        let entry = record.entry.clone();
        move |_| {
            let text = compare(&[(*entry).clone()], None).markdown();
            copy(history, text, "Copied as markdown.".into());
        }
    };
    let keep = move |_| {
        history.keep(id);
        clear_address();
    };
    let delete = move |_| {
        history.delete(&[id]);
        if is_passing {
            clear_address();
        }
    };
    view! {
        <p class="buttons actions">
            {is_passing.then(|| view! { <button type="button" class="small primary" on:click=keep>"Keep it here"</button> })}
            {is_own.then(|| view! { <button type="button" class="small" on:click=move |_| renaming.set(true)>"Rename"</button> })}
            <button type="button" class="small" on:click=markdown>"Copy as markdown"</button>
            {has_link.then(|| view! { <button type="button" class="small" on:click=move |_| copy_link(history, id)>"Copy link"</button> })}
            <button type="button" class="small" on:click=move |_| export(&record)>"Save as JSON"</button>
            {is_own.then(|| view! {
                <button type="button" class="small" on:click=delete>{if is_passing { "Dismiss" } else { "Delete" }}</button>
            })}
        </p>
    }
}

#[component]
fn Rename(history: History, id: RecordId, name: String, renaming: RwSignal<bool>) -> impl IntoView {
    let input = NodeRef::<Input>::new();
    input.on_load(|input| {
        let _ = input.focus();
        input.select();
    });
    let save = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if let Some(input) = input.get_untracked() {
            renaming.set(false);
            history.rename(id, &input.value());
        }
    };
    view! {
        <form class="buttons rename" on:submit=save>
            <input
                type="text"
                aria-label="Name of the run"
                maxlength=NAME_LENGTH
                autocomplete="off"
                value=name
                node_ref=input
                on:keydown=move |key| if key.key() == "Escape" { renaming.set(false) }
            />
            <button type="submit" class="small primary">"Save"</button>
            <button type="button" class="small" on:click=move |_| renaming.set(false)>"Cancel"</button>
        </form>
    }
}

/// A text for the clipboard where the page may not write to it.
#[component]
fn ByHand(history: History, text: String) -> impl IntoView {
    let area = NodeRef::<Textarea>::new();
    area.on_load(|area| {
        let _ = area.focus();
        area.select();
    });
    view! {
        <div class="by-hand">
            <label for="by-hand">"This browser does not let the page use the clipboard. Copy the text from here:"</label>
            <textarea id="by-hand" readonly rows="3" node_ref=area prop:value=text></textarea>
            <button type="button" class="small" on:click=move |_| history.to_copy.set(None)>"Close"</button>
        </div>
    }
}
