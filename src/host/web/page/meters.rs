//! The three figures that people look at first, live.

use super::state::Run;
use leptos::prelude::*;

#[component]
pub(crate) fn Meters(run: RwSignal<Option<Run>>) -> impl IntoView {
    let figure = move |of: fn(&Run) -> Option<String>| {
        move || run.with(|run| run.as_ref().and_then(of)).unwrap_or_else(|| "–".into())
    };
    let rate = figure(|run| (run.tokens_per_s > 0.0).then(|| significant(run.tokens_per_s)));
    let first = figure(|run| (run.n_tokens > 0).then(|| significant(run.first_token_ms)));
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

/// Three digits that mean something.
pub(crate) fn significant(x: f64) -> String {
    match x {
        x if x >= 99.95 => thousands(format!("{x:.0}")),
        x if x >= 9.995 => format!("{x:.1}"),
        x => format!("{x:.2}"),
    }
}

/// A whole number of five digits or more in groups of three: 51,100. Others are as they were.
pub(crate) fn thousands(digits: String) -> String {
    if digits.len() < 5 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return digits;
    }
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}
