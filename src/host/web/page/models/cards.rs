//! The models that most people want, a card each: what it is good for, what it costs, how fast it may be here, one click.

use super::fit::Fit;
use crate::host::hub::{CATALOGUE, KnownModel};
use crate::host::web::page::LinkHandle;
use crate::host::web::page::model_card::megabytes;
use crate::host::web::page::state::Page;
use crate::host::web::protocol::{ModelCard, ModelFile};
use crate::host::web::store::Origin;
use crate::measure::panel::figures;
use crate::measure::report::ProbeKind;
use leptos::prelude::*;

/// Names in the catalogue, with what each is good for.
const FIRST: [(&str, &str); 2] = [
    ("R1-Distill-Qwen-1.5B", "Thinks before it answers: sums, puzzles, code."),
    ("Qwen3-0.6B", "Answers short questions. The smaller download."),
];

#[component]
pub(crate) fn Cards(page: Page, link: LinkHandle) -> impl IntoView {
    let card = move |(name, good_for): (&'static str, &'static str)| {
        let model = CATALOGUE.iter().find(|model| model.name == name)?;
        Some(view! { <Card page link model good_for /> })
    };
    let is_embedded = move || page.model.with(|model| model.as_ref().is_some_and(ModelCard::is_embedded));
    let load = move |_| link.with_value(|link| drop(link.load(ModelFile::Embedded)));
    view! {
        <ul class="cards">
            {FIRST.map(card).into_iter().collect_view()}
            <li class="model-card">
                <h3>"Test model "<span class="tag">"toy"</span></h3>
                <p>"Shows that the engine works. It has read a few old books, and answers nothing."</p>
                <p class="hint">"8 MB, comes with the page."</p>
                <button type="button" class="small" hidden=is_embedded on:click=load>"Load"</button>
                <p class="hint" hidden=move || !is_embedded()>"Loaded."</p>
            </li>
        </ul>
    }
}

#[component]
fn Card(page: Page, link: LinkHandle, model: &'static KnownModel, good_for: &'static str) -> impl IntoView {
    let fit = move || page.adapter.with(|adapter| Fit::of(model, page.models.n_context.get(), adapter.as_ref()));
    let bytes = model.weight_bytes as f64;
    let sizes = move || format!("{} to download, {} of memory", megabytes(bytes), megabytes(fit().bytes));
    let speed = move || match most_tokens_per_s(page, model.token_bytes as f64) {
        Some(rate) => format!("At most {rate} tokens/s here."),
        None => "Test this GPU to see how fast it can be here.".to_owned(),
    };
    let obstacle = move || fit().obstacle.map(|obstacle| format!("Does not fit: {obstacle}."));
    let run = move |_| page.models.run(link, model.reference());
    view! {
        <li class="model-card">
            <h3>{model.name}</h3>
            <p>{good_for}</p>
            <p class="hint">{sizes}". "{speed}</p>
            <p class="note" hidden=move || obstacle().is_none()>{obstacle}</p>
            <button type="button" class="small primary" aria-label=format!("Run {}", model.name) disabled=move || page.models.is_looking.get() on:click=run>"Run"</button>
        </li>
    }
}

/// What a token reads of the weights is read once: faster than the memory it cannot be. None until that was measured.
pub(super) fn most_tokens_per_s(page: Page, token_bytes: f64) -> Option<String> {
    bandwidth(page).map(|gb_per_s| figures(gb_per_s * 1e9 / token_bytes))
}

/// What this adapter's memory was measured to give, in 10^9 bytes per second.
fn bandwidth(page: Page) -> Option<f64> {
    page.history.records.with(|all| {
        let own = all.iter().filter(|record| record.origin == Origin::Measured);
        own.filter_map(|record| record.report()?.probes.limit(ProbeKind::Read)).next()
    })
}
