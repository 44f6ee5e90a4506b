//! The three figures that people look at first, live.

use super::state::Run;
use crate::measure::panel::figures;
use leptos::prelude::*;

#[component]
pub(crate) fn Meters(run: RwSignal<Option<Run>>) -> impl IntoView {
    let figure = move |of: fn(&Run) -> Option<String>| {
        move || run.with(|run| run.as_ref().and_then(of)).unwrap_or_else(|| "–".into())
    };
    let rate = figure(|run| (run.tokens_per_s > 0.0).then(|| figures(run.tokens_per_s)));
    let first = figure(|run| (run.n_tokens > 0).then(|| figures(run.first_token_ms)));
    let count = figure(|run| Some(run.n_tokens.to_string()));
    let idle = move || run.with(Option::is_none);
    view! {
        <dl class="meters" class:idle=idle>
            <div class="main"><dt>"Decode"</dt><dd>{rate}<small>" tokens/s"</small></dd></div>
            <div><dt>"First token"</dt><dd>{first}<small>" ms"</small></dd></div>
            <div><dt>"Written"</dt><dd>{count}<small>" tokens"</small></dd></div>
        </dl>
    }
}
