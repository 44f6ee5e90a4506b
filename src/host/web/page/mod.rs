//! The page: what a person sees, and nothing that computes. Components read the signals of [`state::Page`] and
//! send requests down the [`link::Link`]; everything heavy is at its other end.

#![allow(unreachable_pub, reason = "leptos writes a public struct of properties for every component")]

mod adapter_panel;
mod advice;
mod chat;
mod comparison;
pub(crate) mod controls;
mod drop;
mod figures;
pub(crate) mod history;
pub(crate) mod link;
mod masthead;
mod measure;
mod meters;
mod model_card;
pub(crate) mod models;
mod notices;
pub(crate) mod state;
pub(crate) mod talk;
mod timings;
mod write;

use super::hooks;
use super::protocol::Executor;
use leptos::mount::mount_to;
use leptos::prelude::*;
use link::Link;
use state::Page;
use std::rc::Rc;

/// A handle to the link that components may copy.
pub(crate) type LinkHandle = StoredValue<Rc<Link>, LocalStorage>;

/// Puts the page in the place of the notice that index.html shows until here.
pub(crate) fn mount() {
    let Some(shell) = document().get_element_by_id("app") else { return };
    shell.set_inner_html("");
    mount_to(wasm_bindgen::JsCast::unchecked_into(shell), App).forget();
}

#[component]
fn App() -> impl IntoView {
    let page = Page::new();
    let link = Link::new(page);
    hooks::install(page, &link);
    page.history.open_storage();
    history::share::listen(page.history);
    history::published::fetch(page.history);
    link.start(Executor::Gpu);
    let link = StoredValue::new_local(link);
    view! {
        <masthead::Masthead page />
        <notices::Notices page link />
        <main>
            <div class="desk">
                <chat::Desk page link />
                <timings::Timings page />
            </div>
            <div class="instruments">
                <model_card::Model page link />
                <adapter_panel::AdapterPanel page link />
            </div>
            <div class="bench">
                <models::ModelsPanel page link />
                <measure::Measure page link />
                <history::list::Runs history=page.history link />
                <comparison::ComparisonPanel page />
            </div>
        </main>
        <footer>
            <p>
                "The model that comes with this page has some ten million parameters and has read a few old books. "
                "It is a toy of the real architecture: judge the engine by it, not DeepSeek."
            </p>
            <p>"Everything runs in this tab. Nothing that you type leaves it, but for the name of a model that you look up."</p>
        </footer>
        <drop::DropTarget history=page.history link />
    }
}
