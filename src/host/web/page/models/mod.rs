//! Models from the web: those that this browser keeps or fetches, those that are known to run, and those that a person
//! names. Only what the worker tells is shown; it does the asking and the fetching.

mod cards;
mod fit;
pub(crate) mod kept;
mod known;

use super::LinkHandle;
use super::model_card::{Model, Pick, megabytes};
use super::route::View;
use super::state::Page;
use crate::host::arrival::Plan;
use crate::host::hub::ENDPOINT;
use crate::host::web::download::words::{Shelf, Stage, Told};
use leptos::prelude::*;

/// Contexts that can be chosen, in tokens; a model that was made for less gets less.
const CONTEXTS: [u32; 6] = [1024, 2048, 4096, 8192, 16_384, 32_768];

/// What the page knows of models from the web. Signals are handles, so this is copied freely.
#[derive(Clone, Copy)]
pub(crate) struct Models {
    pub(crate) shelf: RwSignal<Shelf>,
    /// What was looked up last, while it is on offer.
    offer: RwSignal<Option<Plan>>,
    /// What a person wants to look up.
    words: RwSignal<String>,
    is_looking: RwSignal<bool>,
    /// What went wrong last.
    trouble: RwSignal<Option<String>>,
    /// Tokens that a model from here is loaded with room for, at most.
    pub(crate) n_context: RwSignal<u32>,
    /// Whether what is looked up is to be loaded at once, and then talked with.
    runs_it: RwSignal<bool>,
    opens_chat: RwSignal<bool>,
}

impl Models {
    /// With nothing known yet.
    pub(crate) fn new() -> Self {
        Self {
            shelf: RwSignal::default(),
            offer: RwSignal::new(None),
            words: RwSignal::default(),
            is_looking: RwSignal::new(false),
            trouble: RwSignal::new(None),
            n_context: RwSignal::new(4096),
            runs_it: RwSignal::new(false),
            opens_chat: RwSignal::new(false),
        }
    }

    /// Takes in what the worker says.
    pub(crate) fn hear(self, told: Told) {
        match told {
            Told::Shelf(shelf) => self.shelf.set(shelf),
            Told::Found { found, .. } => {
                self.is_looking.set(false);
                match found {
                    Ok(plan) => self.offer.set(Some(plan)),
                    Err(message) => {
                        self.runs_it.set(false);
                        self.trouble.set(Some(message));
                    }
                }
            }
            Told::Ended { ended, .. } => self.trouble.set(ended.err()),
        }
    }

    /// Something new is begun; what went wrong before is over.
    pub(crate) fn begin(self) {
        self.trouble.set(None);
        self.forget_wish();
    }

    /// Finds a model, loads it while it comes, and then opens what can be done with it.
    fn run(self, link: LinkHandle, words: String) {
        self.begin();
        self.runs_it.set(true);
        self.look_up(link, words);
    }

    /// What was to be opened once it is there did not come.
    pub(crate) fn forget_wish(self) {
        self.runs_it.set(false);
        self.opens_chat.set(false);
    }

    /// What a person asked to run is there: shows it.
    pub(crate) fn open_chat_of(self, page: Page) {
        if self.opens_chat.get_untracked() {
            self.opens_chat.set(false);
            page.talk.open.set(untrack(|| page.is_for_talk()));
            View::Chat.open();
        }
    }

    fn take(self, link: LinkHandle, plan: Plan) {
        self.offer.set(None);
        self.opens_chat.set(true);
        link.with_value(|link| drop(link.load_from_web(plan)));
    }

    fn look_up(self, link: LinkHandle, words: String) {
        if !words.trim().is_empty() {
            self.offer.set(None);
            self.is_looking.set(true);
            link.with_value(|link| drop(link.find_model(words)));
        }
    }
}

/// Where models come from: the hub, or another one that the page's address names as `?hub=…`.
pub(crate) fn hub() -> String {
    let search = window().location().search().unwrap_or_default();
    let named = web_sys::UrlSearchParams::new_with_str(&search).ok().and_then(|search| search.get("hub"));
    named.unwrap_or_else(|| ENDPOINT.to_owned())
}

#[component]
pub(crate) fn ModelsPanel(page: Page, link: LinkHandle) -> impl IntoView {
    let models = page.models;
    // One click ran it: no second one is asked for.
    Effect::new(move |_| {
        if let Some(plan) = models.offer.get()
            && models.runs_it.get_untracked()
        {
            models.runs_it.set(false);
            models.take(link, plan);
        }
    });
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        models.look_up(link, models.words.get_untracked());
    };
    let choose = move |event| {
        if let Ok(n) = event_target_value(&event).parse() {
            models.n_context.set(n);
        }
    };
    let context = move |n: u32| {
        view! { <option value=n selected=move || models.n_context.get() == n>{format!("{n} tokens")}</option> }
    };
    let elsewhere = (hub() != ENDPOINT).then(|| view! { <p class="note">"Models are looked up on "{hub()}"."</p> });
    // A row says itself why its download was interrupted.
    let trouble = move || {
        let message = models.trouble.get()?;
        let is_shown = models.shelf.with(|shelf| {
            shelf.rows.iter().any(|row| matches!(&row.stage, Stage::Interrupted(Some(why)) if *why == message))
        });
        (!is_shown).then_some(message)
    };
    view! {
        <section id="choose" class="card" aria-labelledby="models-title">
            <h2 id="models-title">"Choose a model"</h2>
            {elsewhere}
            <div role="alert">
                {move || trouble().map(|message| view! { <Trouble models message /> })}
            </div>
            <cards::Cards page link />
            <Pick page link />
            <kept::Kept models link />
            <details id="more-models">
            <summary>"More models "<span class="hint">"by name from the web"</span></summary>
            <form class="buttons look-up" on:submit=submit>
                <input
                    id="model-words"
                    type="text"
                    aria-label="Model to look up"
                    placeholder="owner/repo, owner/repo:Q4_K_M, owner/repo/file.gguf, or an address"
                    autocomplete="off"
                    spellcheck="false"
                    bind:value=models.words
                />
                <button id="look-up" type="submit" class="small" disabled=move || models.is_looking.get()>"Look up"</button>
                <label for="context">"Context"</label>
                <select id="context" on:change=choose>{CONTEXTS.map(context).collect_view()}</select>
            </form>
            <div role="status">
                {move || models.is_looking.get().then(|| view! { <p class="hint">"Asking the server…"</p> })}
                {move || models.offer.get().map(|plan| view! { <Offer models link plan /> })}
            </div>
            <known::Known page link />
            </details>
        </section>
        <Model page />
    }
}

/// What went wrong: in a sentence where it was the network, with the details folded.
#[component]
fn Trouble(models: Models, message: String) -> impl IntoView {
    let close = move |_| models.begin();
    let is_silence = message.contains("no answer that this page may read");
    view! {
        <div class="trouble">
            {match is_silence {
                true => view! {
                    <div>
                        <p>"The server did not answer. Are you online?"</p>
                        <details><summary>"Details"</summary><p class="said">{message}</p></details>
                    </div>
                }.into_any(),
                false => view! { <p class="said">{message}</p> }.into_any(),
            }}
            <button type="button" class="small" on:click=close>"Close"</button>
        </div>
    }
}

/// A model that was looked up: what it would cost, and the two ways to have it.
#[component]
fn Offer(models: Models, link: LinkHandle, plan: Plan) -> impl IntoView {
    let n_hashed = plan.files.iter().filter(|file| file.sha256.is_some()).count();
    let files = match plan.files.len() {
        1 => String::new(),
        n => format!(" in {n} files"),
    };
    let checked = if n_hashed > 0 {
        "its publisher's SHA-256 is checked"
    } else {
        "its SHA-256 is unknown, so only its length is checked"
    };
    let facts = format!("{}{files}; {checked}.", megabytes(plan.bytes() as f64));
    let title = plan.title.clone();
    let to_keep = plan.clone();
    let take = move |load: bool, plan: Plan| {
        models.begin();
        models.offer.set(None);
        if load {
            models.take(link, plan);
        } else {
            link.with_value(|link| drop(link.get_model(plan)));
        }
    };
    view! {
        <div class="trouble calm offer">
            <p><strong>{title}</strong>" "<span class="hint">{facts}</span></p>
            <button id="offer-load" type="button" class="small primary" on:click=move |_| take(true, plan.clone())>"Load while it downloads"</button>
            <button id="offer-get" type="button" class="small" on:click=move |_| take(false, to_keep.clone())>"Download only"</button>
            <button type="button" class="small" on:click=move |_| models.offer.set(None)>"Close"</button>
        </div>
    }
}
