//! The desk: prompt, buttons, sampling, and the text as it is written.

use super::LinkHandle;
use super::advice::user_agent;
use super::controls::{Controls, Fields};
use super::meters::Meters;
use super::route::View;
use super::state::{Page, Status};
use crate::host::web::protocol::ModelCard;
use leptos::ev::KeyboardEvent;
use leptos::prelude::*;

/// Openings that the embedded model has read enough to go on from; the first is there when the page opens.
pub(super) const OPENINGS: [&str; 4] = [
    "Prince Andrew looked at the sky and",
    "The countess opened the letter",
    "Natasha ran into the room",
    "ROMEO:\nWhat light is this",
];

#[component]
pub(crate) fn Write(
    page: Page,
    link: LinkHandle,
    prompt: RwSignal<String>,
    controls: RwSignal<Controls>,
) -> impl IntoView {
    let idle = move || page.status.get() == Status::Ready;
    let writes = move || page.status.get() == Status::Generating;
    follow(page, move || page.run.with(|run| run.as_ref().map_or(0, |run| run.text.len())));
    let generate = move || {
        if page.status.get_untracked() == Status::Ready {
            let (n_tokens, settings) = controls.with_untracked(Controls::settings);
            let prompt = prompt.get_untracked();
            link.with_value(|link| drop(link.generate(prompt, n_tokens, settings)));
        }
    };
    let stop = move || {
        if matches!(page.status.get_untracked(), Status::Generating | Status::Measuring) {
            link.with_value(|link| link.stop());
        }
    };
    let keys = window_event_listener(leptos::ev::keydown, move |key: KeyboardEvent| match key.key().as_str() {
        "Enter" if key.ctrl_key() || key.meta_key() => {
            key.prevent_default();
            generate();
        }
        "Escape" => stop(),
        _ => {}
    });
    on_cleanup(move || keys.remove());
    let control = if user_agent().contains("Mac") { "⌘" } else { "Ctrl" };
    view! {
        <div class="sheet">
            <Output page />
            <form class="prompt pinned" on:submit=move |e| { e.prevent_default(); generate(); }>
                <label for="prompt">"The text so far"</label>
                <textarea id="prompt" rows="2" spellcheck="false" aria-describedby="keys" bind:value=prompt></textarea>
                <div class="buttons">
                    // One button in two roles, so that the focus stays on it.
                    <button
                        id=move || if writes() { "stop" } else { "generate" }
                        class="primary"
                        type="button"
                        disabled=move || !idle() && !writes()
                        on:click=move |_| if writes() { stop() } else { generate() }
                    >
                        {move || if writes() { "Stop" } else { "Write on" }}
                    </button>
                    <Meters run=page.run />
                    <p id="keys" class="hint">
                        <kbd>{control}</kbd>" "<kbd>"Enter"</kbd>" writes, "<kbd>"Esc"</kbd>" stops"
                    </p>
                </div>
            </form>
            <div class="below">
                <Openings page prompt />
                <Fields controls />
            </div>
        </div>
    }
}

/// Keeps the end of a text that grows in sight, unless the person has scrolled away from it.
pub(super) fn follow(page: Page, length: impl Fn() -> usize + 'static) {
    const NEAR: f64 = 400.0;
    Effect::new(move |_| {
        length();
        if page.status.get_untracked() != Status::Generating || page.view.get_untracked() != View::Chat {
            return;
        }
        request_animation_frame(|| {
            let Ok(Some(text)) = document().query_selector(".desk .output") else { return };
            let text: web_sys::HtmlElement = wasm_bindgen::JsCast::unchecked_into(text);
            let height = window().inner_height().ok().and_then(|height| height.as_f64()).unwrap_or(0.0);
            // Above the box that is pinned below it: the style sheet keeps that free.
            let end = f64::from(text.offset_top() + text.offset_height()) - window().scroll_y().unwrap_or(0.0);
            if end < height + NEAR {
                text.scroll_into_view_with_bool(false);
            }
        });
    });
}

/// Beginnings for the toy, which knows nothing else.
#[component]
fn Openings(page: Page, prompt: RwSignal<String>) -> impl IntoView {
    let is_toy = move || page.model.with(|model| model.as_ref().is_none_or(ModelCard::is_embedded));
    let chip = move |opening: &'static str| {
        view! { <li><button type="button" class="chip" on:click=move |_| prompt.set(opening.into())>{opening}</button></li> }
    };
    view! { <ul class="chips" aria-label="Beginnings to try" hidden=move || !is_toy()>{OPENINGS.into_iter().map(chip).collect_view()}</ul> }
}

/// The prompt and what follows it. A screen reader is told once the text is whole, not token by token.
#[component]
fn Output(page: Page) -> impl IntoView {
    let writing = move || page.status.get() == Status::Generating;
    let part = move |of: fn(&super::state::Run) -> String| move || page.run.with(|run| run.as_ref().map(of));
    let note = move || {
        page.run.with(|run| match run {
            None if page.model.with(|model| model.as_ref().is_none_or(ModelCard::is_embedded)) => {
                "This is a toy: it has read a few old books, and knows nothing. For answers, take one from Models."
                    .to_owned()
            }
            None => "What the model writes appears here.".to_owned(),
            Some(run) => {
                let how = run.seed.map_or_else(|| "Always the likeliest token".into(), |seed| format!("Seed {seed}"));
                format!("{how}{}.", if run.stopped { ", stopped" } else { "" })
            }
        })
    };
    view! {
        <section
            class="output"
            aria-label="Text"
            aria-live="polite"
            aria-busy=move || writing().to_string()
        >
            <p id="output" class:writing=writing hidden=move || page.run.with(Option::is_none)>
                <span class="given">{part(|run| run.prompt.clone())}</span>
                <span class="written">{part(|run| run.text.clone())}</span>
            </p>
            <p class="hint">{note}</p>
        </section>
    }
}
