//! Models that are known to run: what each would take to download and on this adapter, at the context chosen above.

use super::cards::most_tokens_per_s;
use super::fit::Fit;
use crate::host::hub::{CATALOGUE, KnownModel};
use crate::host::web::page::LinkHandle;
use crate::host::web::page::model_card::megabytes;
use crate::host::web::page::state::Page;
use leptos::prelude::*;

/// More than this no browser keeps, nor gives a tab of a GPU's memory; the native program lists those too.
const MOST_BYTES: u64 = 32 << 30;

/// What a page may run.
fn offered() -> impl Iterator<Item = &'static KnownModel> {
    CATALOGUE.iter().filter(|model| model.weight_bytes <= MOST_BYTES)
}

#[component]
pub(crate) fn Known(page: Page, link: LinkHandle) -> impl IntoView {
    view! {
        <details id="known">
            <summary>"Models known to run "<span class="hint">{format!("{} of them, R1's distills first", offered().count())}</span></summary>
            <div class="scroll" tabindex="0" role="group" aria-label="Table: models known to run">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">"Model"</th><th scope="col">"Download"</th><th scope="col">"On the adapter"</th>
                            <th scope="col">"Fits"</th><th scope="col">"Licence"</th><th scope="col"><span class="unseen">"Run"</span></th>
                        </tr>
                    </thead>
                    <tbody>{offered().map(|model| view! { <KnownRow page link model /> }).collect_view()}</tbody>
                </table>
            </div>
            <p class="hint">
                "The adapter needs its column for weights, and for keys and values of the context; some tens of MB come on top. "
                "Browsers do not tell how much memory a GPU has: where one does not fit after all, the page says so."
            </p>
        </details>
    }
}

#[component]
fn KnownRow(page: Page, link: LinkHandle, model: &'static KnownModel) -> impl IntoView {
    let models = page.models;
    let fit = move || page.adapter.with(|adapter| Fit::of(model, models.n_context.get(), adapter.as_ref()));
    let needed = move || {
        let fit = fit();
        format!("{} at {} tokens", megabytes(fit.bytes), fit.n_context)
    };
    let verdict = move || match (fit().obstacle, most_tokens_per_s(page, model.token_bytes as f64)) {
        (Some(obstacle), _) => obstacle,
        (None, Some(rate)) => format!("yes, at most {rate} tokens/s"),
        (None, None) => "yes".to_owned(),
    };
    let run = move |_| models.run(link, model.reference());
    view! {
        <tr>
            <th scope="row">{model.name}</th>
            <td>{format!("{} ({})", megabytes(model.weight_bytes as f64), model.quant.name())}</td>
            <td>{needed}</td>
            <td>{verdict}</td>
            <td>{model.licence}</td>
            <td><button type="button" class="small" aria-label=format!("Run {}", model.name) disabled=move || models.is_looking.get() on:click=run>"Run"</button></td>
        </tr>
    }
}
