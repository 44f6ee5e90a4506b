//! A model's files or reports may be dropped anywhere: the whole window is the target, and says so while a file hovers over it.

use super::LinkHandle;
use super::history::History;
use super::history::files::take_files;
use leptos::ev::{dragleave, dragover, drop as dropped};
use leptos::prelude::*;
use web_sys::DragEvent;

#[component]
pub(crate) fn DropTarget(history: History, link: LinkHandle) -> impl IntoView {
    let hovering = RwSignal::new(false);
    let listeners = [
        window_event_listener(dragover, move |event: DragEvent| {
            // Without this the browser would open the file itself.
            event.prevent_default();
            hovering.set(true);
        }),
        window_event_listener(dragleave, move |event: DragEvent| {
            // Inside the window it only passes from one element to the next.
            if event.related_target().is_none() {
                hovering.set(false);
            }
        }),
        window_event_listener(dropped, move |event: DragEvent| {
            event.prevent_default();
            hovering.set(false);
            let files = event.data_transfer().and_then(|data| data.files());
            if let Some(files) = files {
                take_files(history, link, &files);
            }
        }),
    ];
    on_cleanup(move || listeners.into_iter().for_each(WindowListenerHandle::remove));
    view! { <div class="drop" class:hovering=hovering aria-hidden="true"><p>"Drop a model's files to load it, or a report to compare"</p></div> }
}
