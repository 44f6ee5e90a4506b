//! What this browser keeps of models, and what is on its way: how much of each, how fast, why not.

use super::Models;
use crate::host::web::download::words::{Row, Stage};
use crate::host::web::page::LinkHandle;
use crate::host::web::page::model_card::megabytes;
use leptos::prelude::*;

#[component]
pub(crate) fn Kept(models: Models, link: LinkHandle) -> impl IntoView {
    let ids = move || models.shelf.with(|shelf| shelf.rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>());
    let sum = move || {
        models.shelf.with(|shelf| {
            let kept: f64 = shelf.rows.iter().map(|row| row.done).sum();
            let most = (shelf.quota > 0.0)
                .then(|| format!(", and the browser has room for {} more", megabytes(shelf.quota - shelf.used)));
            match (&shelf.trouble, shelf.rows.is_empty()) {
                (Some(trouble), _) => trouble.clone(),
                (None, true) => {
                    "No model is kept yet. What is downloaded here stays in this browser until it is deleted.".into()
                }
                (None, false) => format!("{} kept{}.", megabytes(kept), most.unwrap_or_default()),
            }
        })
    };
    let prompts = move || models.shelf.with(|shelf| shelf.prompts);
    let remove_prompts = move |_| {
        models.begin();
        link.with_value(|link| drop(link.remove_prompts()));
    };
    view! {
        <ul class="runs kept">
            <For each=ids key=Clone::clone children=move |id| view! { <KeptRow models link id /> } />
        </ul>
        <p id="kept-sum" class="hint">{sum}</p>
        <div class="kept-row" hidden=move || prompts() == 0.0>
            <p id="kept-prompts" class="hint">{move || format!("{} of conversations, so that they go on without being computed again.", megabytes(prompts()))}</p>
            <div class="buttons">
                <button id="remove-prompts" type="button" class="small" on:click=remove_prompts>"Delete conversations"</button>
            </div>
        </div>
    }
}

#[component]
fn KeptRow(models: Models, link: LinkHandle, id: String) -> impl IntoView {
    let row = Memo::new(move |_| models.shelf.with(|shelf| shelf.rows.iter().find(|row| row.id == id).cloned()));
    // While bytes come, only these words change: a button that somebody is about to press stays where it is.
    let stage = Memo::new(move |_| row.with(|row| row.as_ref().map(|row| row.stage.clone())));
    let of = move |part: fn(&Row) -> String| move || row.with(|row| row.as_ref().map(part));
    let share = move || row.with(|row| row.as_ref().map(|row| (row.done / row.plan.bytes().max(1) as f64).to_string()));
    let act = move |action: fn(LinkHandle, Row)| {
        move |_| {
            models.begin();
            if let Some(row) = row.get_untracked() {
                action(link, row);
            }
        }
    };
    let load = act(|link, row| link.with_value(|link| drop(link.load_from_web(row.plan))));
    let resume = act(|link, row| link.with_value(|link| drop(link.get_model(row.plan))));
    let stop = act(|link, row| link.with_value(|link| link.stop_download(row.id)));
    let delete = act(|link, row| link.with_value(|link| drop(link.remove_model(row.id))));
    let buttons = move || {
        let stage = stage.get();
        let is_arriving = stage == Some(Stage::Arriving);
        let is_readable = !matches!(stage, Some(Stage::Unreadable) | None);
        let is_partial = matches!(stage, Some(Stage::Interrupted(_)));
        view! {
            {is_readable.then(|| view! { <button type="button" class="small" on:click=load>"Load"</button> })}
            {is_partial.then(|| view! { <button type="button" class="small" on:click=resume>"Resume"</button> })}
            {is_arriving.then(|| view! { <button type="button" class="small" on:click=stop>"Stop"</button> })}
            {(!is_arriving).then(|| view! { <button type="button" class="small" on:click=delete>"Delete"</button> })}
        }
    };
    let why = move || match stage.get() {
        Some(Stage::Interrupted(Some(why))) => Some(view! { <p class="said hint">{why}</p> }),
        _ => None,
    };
    view! {
        <li class="kept-row">
            <p><span class="run-name">{of(|row| row.plan.title.clone())}</span>" "<span class="hint">{of(words)}</span></p>
            <div class="buttons">{buttons}</div>
            {move || (stage.get() == Some(Stage::Arriving)).then(|| view! {
                <progress max="1" value=share aria-label="Downloaded"></progress>
            })}
            {why}
        </li>
    }
}

/// How far a model is, in words.
fn words(row: &Row) -> String {
    let total = row.plan.bytes() as f64;
    let of_total = format!("{} of {}", megabytes(row.done), megabytes(total));
    match &row.stage {
        Stage::Kept => {
            let date = js_sys::Date::new(&row.date_ms.into())
                .to_locale_date_string("en-GB", &wasm_bindgen::JsValue::UNDEFINED);
            format!("{}, {}", megabytes(total), String::from(date))
        }
        Stage::Arriving if row.done >= total => format!("{of_total}, being checked"),
        Stage::Arriving if row.per_s > 0.0 => {
            format!("{of_total}, {}/s, {} left", megabytes(row.per_s), duration((total - row.done) / row.per_s))
        }
        Stage::Arriving => of_total,
        Stage::Interrupted(_) => format!("{of_total}, interrupted"),
        Stage::Unreadable => "a download whose record cannot be read".into(),
    }
}

/// Seconds as a person says them.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), s % 3600.0 / 60.0),
    }
}
