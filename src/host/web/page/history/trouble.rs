//! What a person has to know about their runs: storage that is refused or full, files and links that cannot be read,
//! what was just deleted. Each with the way on from there.

use super::History;
use super::record::{Place, Record};
use crate::host::web::store::Refusal;
use leptos::prelude::*;

/// How the browser's storage does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// It is being asked for.
    Opening,
    /// What is to be kept is kept.
    Works,
    /// It has no room.
    Full,
    /// There is none, for the reason in the browser's words.
    Blocked(String),
}

impl Storage {
    /// After the browser refused something.
    pub(crate) fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full => Self::Full,
            Refusal::Other(why) => Self::Blocked(why),
        }
    }
}

#[component]
pub(crate) fn Troubles(history: History) -> impl IntoView {
    let complaint = move |message: String| {
        let close = message.clone();
        view! {
            <div class="trouble">
                <p class="said">{message}</p>
                <button type="button" class="small" on:click=move |_| history.troubles.update(|all| all.retain(|one| *one != close))>
                    "Close"
                </button>
            </div>
        }
    };
    view! {
        <div class="troubles" role="alert">
            {move || view! { <StorageTrouble history storage=history.storage.get() /> }}
            {move || history.troubles.get().into_iter().map(complaint).collect_view()}
        </div>
        <div role="status">
            {move || {
                let n_deleted = history.deleted.with(Vec::len);
                (n_deleted > 0).then(|| view! { <Undo history n_deleted /> })
            }}
        </div>
    }
}

#[component]
fn StorageTrouble(history: History, storage: Storage) -> impl IntoView {
    let n_unsaved = move || {
        let is_unsaved = |record: &&Record| record.place == Place::Unsaved;
        history.records.with(|records| records.iter().filter(is_unsaved).count())
    };
    let (what, why) = match storage {
        Storage::Opening | Storage::Works => return ().into_any(),
        Storage::Full => (
            "The browser has no room left for this page.",
            "Delete runs that you no longer need, or free space, and try again.".to_owned(),
        ),
        Storage::Blocked(why) => (
            "This browser keeps nothing for this page: a private window, or a setting that blocks storage.",
            format!("It says: {why}."),
        ),
    };
    let unsaved = move || match n_unsaved() {
        0 => "Nothing is lost.".to_owned(),
        1 => "One run is in this tab only, until it is closed: export it if you want to keep it.".to_owned(),
        n => format!("{n} runs are in this tab only, until it is closed: export them if you want to keep them."),
    };
    view! {
        <div class="trouble" id="storage-trouble">
            <p><strong>{what}</strong>" "{unsaved}" "<span class="hint">{why}</span></p>
            <button type="button" class="small" on:click=move |_| history.try_again()>"Try again"</button>
        </div>
    }
    .into_any()
}

#[component]
fn Undo(history: History, n_deleted: usize) -> impl IntoView {
    let what =
        if n_deleted == 1 { "One run was deleted.".to_owned() } else { format!("{n_deleted} runs were deleted.") };
    view! {
        <div class="trouble calm">
            <p>{what}</p>
            <button id="undelete" type="button" class="small" on:click=move |_| history.undelete()>"Bring back"</button>
            <button type="button" class="small" on:click=move |_| history.deleted.set(Vec::new())>"Close"</button>
        </div>
    }
}
