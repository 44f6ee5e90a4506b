//! The page: what a person sees, and nothing that computes. Components read the signals of [`state::Page`] and
//! send requests down the [`link::Link`]; everything heavy is at its other end.

#![allow(unreachable_pub, reason = "leptos writes a public struct of properties for every component")]

mod adapter_panel;
mod advice;
mod card;
mod chat;
mod comparison;
pub(crate) mod controls;
mod drop;
mod figures;
mod gallery;
mod gpu_test;
pub(crate) mod history;
pub(crate) mod link;
mod markdown;
mod masthead;
mod measure;
mod meters;
mod model_card;
pub(crate) mod models;
mod notices;
pub(crate) mod route;
pub(crate) mod state;
pub(crate) mod talk;
mod timings;
mod write;

use super::hooks;
use super::protocol::Executor;
use crate::host::code_address;
use leptos::mount::mount_to;
use leptos::prelude::*;
use link::Link;
use route::View;
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
    route::listen(page);
    link.start(Executor::Gpu);
    let link = StoredValue::new_local(link);
    let not = move |view: View| move || page.view.get() != view;
    view! {
        <Skip />
        <masthead::Masthead page />
        <notices::Notices page link />
        <history::Troubles history=page.history />
        <main id="main" tabindex="-1">
            <div class="view" hidden=not(View::Test)>
                <gpu_test::Received page link />
                <adapter_panel::AdapterPanel page link />
                <gpu_test::GpuTest page link />
                <measure::Measure page link />
            </div>
            <div class="view" hidden=not(View::Compare)>
                <gallery::Gallery history=page.history />
                <gallery::Pair history=page.history />
                <history::list::Runs history=page.history link />
                <comparison::ComparisonPanel page />
            </div>
            <div class="view" hidden=not(View::Models)>
                <models::ModelsPanel page link />
            </div>
            <div class="view desk" hidden=not(View::Chat)>
                <chat::Desk page link />
                <timings::Timings page />
            </div>
        </main>
        <history::list::Told history=page.history />
        <footer>
            <p>"Everything runs in this tab. Nothing that you type leaves it, except the name of a model that you look up."</p>
            {code_address(env!("CARGO_PKG_REPOSITORY")).map(|code| view! { <p><a href=code>"The code of this page"</a></p> })}
        </footer>
        <drop::DropTarget history=page.history link />
    }
}

/// Past the head of the page. The fragment of its address names a view, so that this one must not be followed.
#[component]
fn Skip() -> impl IntoView {
    let skip = |event: leptos::ev::MouseEvent| {
        event.prevent_default();
        if let Some(main) = document().get_element_by_id("main") {
            let _ = wasm_bindgen::JsCast::unchecked_into::<web_sys::HtmlElement>(main).focus();
        }
    };
    view! { <a class="skip" href="#main" on:click=skip>"Skip to the content"</a> }
}
