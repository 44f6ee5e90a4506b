//! The desk's other side: a conversation, with thoughts apart from answers. All that the model writes is shown as text; answers have
//! the look of their Markdown.

use super::LinkHandle;
use super::controls::{Controls, Fields};
use super::history::files::text_of;
use super::history::share::copy;
use super::markdown::Markdown;
use super::meters::Meters;
use super::state::{Page, Status};
use super::talk::{Said, send};
use super::write::{Write, follow};
use leptos::ev::KeyboardEvent;
use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::HtmlInputElement;

/// The text that is continued, or the conversation where the model has one.
#[component]
pub(crate) fn Desk(page: Page, link: LinkHandle) -> impl IntoView {
    // Here, so that they outlive a look at the other side.
    let prompt = RwSignal::new(super::write::OPENINGS[0].to_owned());
    let (controls, chat_controls) = (RwSignal::new(Controls::default()), RwSignal::new(Controls::for_answers()));
    let recommended = Memo::new(move |_| page.model.with(|model| model.as_ref().map(|model| model.recommended)));
    Effect::new(move |_| {
        let of = recommended.get().unwrap_or_default();
        for controls in [controls, chat_controls] {
            controls.update(|controls| controls.follow(of));
        }
    });
    let talks = Memo::new(move |_| page.model.with(|model| model.as_ref().is_some_and(|model| model.talks)));
    let busy = move || page.status.get() == Status::Generating;
    let side = move |id: &'static str, name: &'static str, chats: bool| {
        let chosen = move || (page.talk.open.get() == chats).to_string();
        view! {
            <button id=id type="button" class="small" aria-pressed=chosen disabled=busy on:click=move |_| page.talk.open.set(chats)>
                {name}
            </button>
        }
    };
    let shows_chat = Memo::new(move |_| talks.get() && page.talk.open.get());
    view! {
        <div class="sides" role="group" aria-label="What to do with the model" hidden=move || !talks.get()>
            {side("to-continue", "Complete a text", false)}
            {side("to-chat", "Chat", true)}
            <p class="hint" hidden=move || page.is_for_talk()>"This model was not made to chat."</p>
        </div>
        {move || match shows_chat.get() {
            true => view! { <Chat page link controls=chat_controls /> }.into_any(),
            false => view! { <Write page link prompt controls /> }.into_any(),
        }}
        <Unusable page />
    }
}

/// Why there is no conversation with a model whose file has a template.
#[component]
fn Unusable(page: Page) -> impl IntoView {
    let why = move || page.model.with(|model| model.as_ref().filter(|model| !model.talks)?.doubt.clone());
    view! { <p class="hint">{move || why().map(|why| format!("No conversations: {why}"))}</p> }
}

#[component]
fn Chat(page: Page, link: LinkHandle, controls: RwSignal<Controls>) -> impl IntoView {
    let talk = page.talk;
    let idle = move || page.status.get() == Status::Ready;
    let is_empty = move || talk.said.with(Vec::is_empty);
    let stop = move || link.with_value(|link| link.stop());
    let keys = window_event_listener(leptos::ev::keydown, move |key: KeyboardEvent| {
        if key.key() == "Escape" && page.status.get_untracked() == Status::Generating {
            stop();
        }
    });
    on_cleanup(move || keys.remove());
    let writes = move || page.status.get() == Status::Generating;
    follow(page, move || talk.said.with(|said| said.last().map_or(0, |last| last.text.len() + last.thought.len())));
    let recall = move |event| {
        let input = event_target::<HtmlInputElement>(&event);
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            spawn_local(async move {
                match text_of(&file).await {
                    Ok(text) => link.with_value(|link| drop(link.recall(text))),
                    Err(why) => page.history.complain(format!("{} was not opened: {why}", file.name())),
                }
            });
        }
        input.set_value("");
    };
    let known = move || match talk.known.get() {
        (0, _) => String::new(),
        (known, all) => format!("{known} of the prompt's {all} tokens came from the cache."),
    };
    let typed = move |key: KeyboardEvent| {
        // Enter also ends a word of those who write with an input method.
        if key.key() == "Enter" && !key.shift_key() && !key.is_composing() {
            key.prevent_default();
            send(page, link, controls, false);
        }
    };
    let doubt = move || page.model.with(|model| model.as_ref()?.doubt.as_deref().map(sentence));
    view! {
        <div class="sheet chat">
            <section class="output" aria-label="Conversation" aria-live="polite" aria-busy=move || (!idle()).to_string()>
                <p id="doubt" class="note" hidden=move || doubt().is_none()>{doubt}</p>
                <ol id="said" class="said" hidden=is_empty>
                    <For each=move || 0..talk.said.with(Vec::len) key=|index| *index let:index>
                        <Turn page index />
                    </For>
                </ol>
                <p class="hint">{move || is_empty().then_some("Nothing has been said yet.")}</p>
                <p id="known-tokens" class="hint">{known}</p>
            </section>
            <form class="prompt pinned" on:submit=move |e| { e.prevent_default(); send(page, link, controls, false); }>
                <label for="say">"Your turn"</label>
                <textarea id="say" rows="2" aria-describedby="say-keys" bind:value=talk.draft on:keydown=typed></textarea>
                <div class="buttons">
                    <button
                        id=move || if writes() { "stop" } else { "send" }
                        class="primary"
                        type="button"
                        disabled=move || !idle() && !writes()
                        on:click=move |_| if writes() { stop() } else { send(page, link, controls, false) }
                    >
                        {move || if writes() { "Stop" } else { "Send" }}
                    </button>
                    <Meters run=talk.run />
                    <button
                        id="again"
                        type="button"
                        hidden=move || !idle() || is_empty()
                        on:click=move |_| send(page, link, controls, true)
                    >
                        "Regenerate"
                    </button>
                    <button
                        id="clear"
                        type="button"
                        hidden=move || !idle() || is_empty()
                        on:click=move |_| link.with_value(|link| link.forget())
                    >
                        "Clear"
                    </button>
                    <p id="say-keys" class="hint">
                        <kbd>"Enter"</kbd>" sends, "<kbd>"Shift"</kbd>" "<kbd>"Enter"</kbd>" begins a line, "<kbd>"Esc"</kbd>" stops"
                    </p>
                </div>
            </form>
            <div class="below">
                <div class="choice">
                    <label>
                        <input id="thinking" type="checkbox" bind:checked=talk.thinking />
                        "Let it think before it answers"
                        <span class="hint">"Where the model knows how to. Thoughts stand apart from the answer."</span>
                    </label>
                </div>
                <details class="fields">
                    <summary>"Instructions" <span class="hint">{move || talk.system.with(|text| summary(text))}</span></summary>
                    <textarea id="system" rows="2" aria-label="Instructions" bind:value=talk.system></textarea>
                </details>
                <Fields controls />
                <p class="pick">
                    <input id="recall" class="unseen" type="file" accept=".json,application/json" disabled=move || !idle() on:change=recall />
                    <label class="button small" for="recall">"Open a conversation"</label>
                    <span class="hint">"a JSON list of messages with role and content"</span>
                </p>
            </div>
        </div>
    }
}

/// A remark that goes on from a name, as a sentence of its own.
fn sentence(remark: &str) -> String {
    let mut rest = remark.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).chain(['.']).collect()
}

/// The first words of the instructions.
fn summary(system: &str) -> String {
    let line = system.lines().next().unwrap_or_default();
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.is_empty() => "none".to_owned(),
        None => line.to_owned(),
    }
}

/// A question or an answer.
#[component]
fn Turn(page: Page, index: usize) -> impl IntoView {
    let of = move |part: fn(&Said) -> String| {
        move || page.talk.said.with(|said| said.get(index).map(part).unwrap_or_default())
    };
    let is = move |what: fn(&Said) -> bool| move || page.talk.said.with(|said| said.get(index).is_some_and(what));
    let has_thought = is(|said| !said.thought.is_empty());
    let is_over = is(|said| said.is_answer && !said.is_coming && !said.text.is_empty());
    let text = of(|said| said.text.clone());
    // Apart, so that the answer is not drawn from its beginning whenever a word is added.
    let is_answer = Memo::new(move |_| is(|said| said.is_answer)());
    let copy_text = move |_| copy(page.history, untrack(text), "The answer is copied.".into());
    let thinks = is(|said| said.is_coming && said.text.is_empty());
    view! {
        <li class:answer=is(|said| said.is_answer) class:coming=is(|said| said.is_coming)>
            <h2>{of(|said| match &said.speaker {
                Some(speaker) => speaker.clone(),
                None if said.is_answer => "Model".to_owned(),
                None => "You".to_owned(),
            })}</h2>
            <p class="hint">{of(|said| said.note.clone().unwrap_or_default())}</p>
            <details class="thought" hidden=move || !has_thought() open=thinks>
                <summary>{of(|said| if said.is_coming && said.text.is_empty() { "Thinking".to_owned() } else { "Thought".to_owned() })}</summary>
                <p>{of(|said| said.thought.clone())}</p>
            </details>
            {move || match is_answer.get() {
                true => view! { <Markdown text=Signal::derive(text) /> }.into_any(),
                false => view! { <p class="text">{text}</p> }.into_any(),
            }}
            <p class="hint">{of(|said| said.end.unwrap_or_default().to_owned())}</p>
            <button type="button" class="small copy" hidden=move || !is_over() on:click=copy_text>"Copy"</button>
        </li>
    }
}
