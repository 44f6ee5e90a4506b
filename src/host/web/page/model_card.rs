//! Which model runs, how far a load has come, and the way to bring another.

use super::LinkHandle;
use super::history::files::load_model;
use super::models::kept::duration;
use super::state::{Loading, Page, Status};
use crate::host::web::protocol::{ModelCard, Step};
use crate::measure::panel::figures;
use leptos::prelude::*;
use web_sys::HtmlInputElement;

/// The way to models on the disk.
#[component]
pub(crate) fn Pick(page: Page, link: LinkHandle) -> impl IntoView {
    let picked = move |event| {
        let input = event_target::<HtmlInputElement>(&event);
        if let Some(files) = input.files().filter(|files| files.length() > 0) {
            load_model(page.history, link, (0..files.length()).filter_map(|index| files.get(index)).collect());
        }
        // The same files may be picked again, after they were mended.
        input.set_value("");
    };
    view! {
        <p class="pick">
            <input id="file" class="unseen" type="file" accept=".gguf,.safetensors,.json,.jinja" multiple on:change=picked />
            <label class="button small" for="file">"Open files"</label>
            <span class="hint">"from your disk: a GGUF, all its parts, or safetensors with their JSON files; or drop them on the page"</span>
        </p>
    }
}

#[component]
pub(crate) fn Model(page: Page) -> impl IntoView {
    let facts = move || page.model.get().map(|model| view! { <Facts model /> });
    let progress = move || {
        (page.status.get() == Status::Loading).then(|| page.loading.get().map(|loading| view! { <Bar loading /> }))
    };
    view! {
        <section class="card" aria-labelledby="model-title">
            <h2 id="model-title">"Loaded model"</h2>
            {facts}
            {progress}
        </section>
    }
}

#[component]
fn Facts(model: ModelCard) -> impl IntoView {
    let fact = |(what, how): (String, String)| view! { <div><dt>{what}</dt><dd>{how}</dd></div> };
    view! {
        <p class="name">{model.name.clone()}{model.is_embedded().then(|| view! { " "<span class="tag">"toy"</span> })}</p>
        <p class="hint">{format!("{}, {}", model.file, megabytes(model.bytes))}</p>
        <dl class="facts">{model.facts.into_iter().map(fact).collect_view()}</dl>
    }
}

#[component]
fn Bar(loading: Loading) -> impl IntoView {
    let progress = &loading.progress;
    let what = match progress.step {
        Step::Download => "Downloading",
        Step::Upload => "To the GPU",
        Step::Compile => "Compiling shaders",
    };
    let detail = match (progress.step, progress.total) {
        (Step::Compile, Some(total)) => format!("{} of {total}", progress.done),
        (Step::Compile, None) => progress.done.to_string(),
        (_, Some(total)) => {
            let left = loading.seconds_left().map(|left| format!(", {} left", duration(left))).unwrap_or_default();
            format!("{} of {}, {}/s{left}", megabytes(progress.done), megabytes(total), megabytes(loading.per_s))
        }
        (_, None) => format!("{}, {}/s", megabytes(progress.done), megabytes(loading.per_s)),
    };
    let share = loading.share().map(|share| share.to_string());
    view! {
        <div class="progress">
            <p><span>{what}</span><span>{detail}</span></p>
            <progress max="1" value=share aria-label=what></progress>
        </div>
    }
}

/// Bytes as a download shows them.
pub(crate) fn megabytes(bytes: f64) -> String {
    match bytes {
        b if b >= 1e9 => format!("{} GB", figures(b / 1e9)),
        b if b >= 1e6 => format!("{} MB", figures(b / 1e6)),
        b => format!("{:.0} kB", b / 1e3),
    }
}
