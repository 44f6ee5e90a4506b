//! What a person has to know at once: no WebGPU, a file refused, a device lost; each with the way on from there.

use super::LinkHandle;
use super::advice::{Advice, advice, user_agent};
use super::state::{Notice, Page, Status};
use crate::host::web::protocol::{Executor, NoGpu};
use leptos::prelude::*;

#[component]
pub(crate) fn Notices(page: Page, link: LinkHandle) -> impl IntoView {
    let start = move |executor| link.with_value(|link| link.start(executor));
    view! {
        <div class="notices" role="alert">
            {move || page.no_gpu.get().map(|reason| view! { <Missing page reason start /> })}
            {move || page.notice.get().map(|notice| match notice {
                Notice::Lost(message) => view! { <Lost message start /> }.into_any(),
                Notice::Failed { title, message } => view! { <Failed page title message start /> }.into_any(),
            })}
        </div>
    }
}

/// No adapter: why, what to do in this browser, and the way without one, on which the small model is already.
#[component]
fn Missing(page: Page, reason: NoGpu, start: impl Fn(Executor) + Copy + 'static) -> impl IntoView {
    let Advice { title, why, steps } = advice(reason, &user_agent());
    let stands_still = move || page.status.get() == Status::NoWebgpu;
    view! {
        <section class="notice">
            <h2>{title}<span hidden=stands_still>": running on the CPU"</span></h2>
            <p>{why}</p>
            <details>
                <summary>"What helps"</summary>
                <ul>{steps.into_iter().map(|step| view! { <li>{step}</li> }).collect_view()}</ul>
                <p>
                    <a href="https://webgpureport.org" rel="noreferrer">"webgpureport.org"</a>
                    " shows what this browser offers."
                </p>
            </details>
            <p class="buttons">
                <button class="primary" hidden=move || !stands_still() on:click=move |_| start(Executor::Cpu)>"Run on the CPU"</button>
                <button on:click=move |_| start(Executor::Gpu)>"Look for a GPU again"</button>
                <span class="hint">"The CPU writes the same text in this tab: well enough for the small model, slowly for larger ones."</span>
            </p>
        </section>
    }
}

#[component]
fn Lost(message: String, start: impl Fn(Executor) + Copy + 'static) -> impl IntoView {
    view! {
        <section class="notice">
            <h2>"The engine stopped"</h2>
            <p>{message}</p>
            <p class="buttons">
                <button class="primary" on:click=move |_| start(Executor::Gpu)>"Start again"</button>
                <button on:click=move |_| start(Executor::Cpu)>"Run on the CPU"</button>
                <span class="hint">"Your text stays. The model is loaded again."</span>
            </p>
        </section>
    }
}

#[component]
fn Failed(
    page: Page,
    title: &'static str,
    message: String,
    start: impl Fn(Executor) + Copy + Send + 'static,
) -> impl IntoView {
    let way_on = move || match page.model.get() {
        Some(model) => view! {
            <button on:click=move |_| page.notice.set(None)>"Close"</button>
            <span class="hint">{model.name}" goes on working."</span>
        }
        .into_any(),
        None => {
            view! { <button class="primary" on:click=move |_| start(Executor::Gpu)>"Start again"</button> }.into_any()
        }
    };
    view! {
        <section class="notice">
            <h2>{title}</h2>
            <p class="said">{message}</p>
            <p class="buttons">{way_on}</p>
        </section>
    }
}
