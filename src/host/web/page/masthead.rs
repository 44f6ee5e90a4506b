//! The head of the page: what this is, and where it stands.

use super::route::Ways;
use super::state::{Page, Status};
use leptos::prelude::*;

#[component]
pub(crate) fn Masthead(page: Page) -> impl IntoView {
    let state = move || match page.status.get() {
        Status::NoWebgpu | Status::Error => "bad",
        Status::Loading => "busy",
        Status::Generating | Status::Measuring => "live",
        Status::Ready => "good",
    };
    let share = move || {
        let loading = page.loading.get()?;
        loading.share().map(|share| format!("{:.0} %", share * 100.0))
    };
    view! {
        <header class="masthead">
            <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
                <path d="M2 9h14M2 16h20M2 23h26" />
            </svg>
            <div>
                <h1>"headstart"</h1>
                <p>"Run DeepSeek on your GPU, in this tab. See how fast it is, and check that it is right."</p>
            </div>
            <div class="pill" data-state=state>
                <p id="status" role="status">{move || page.message()}</p>
                // The share changes too often to be read out.
                <span aria-hidden="true" hidden=move || share().is_none()>{share}</span>
            </div>
            <Ways page />
        </header>
    }
}
