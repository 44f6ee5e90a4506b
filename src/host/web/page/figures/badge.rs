//! The numeric check: a badge that says right, WRONG or not checked, and opens what was compared.

use crate::measure::panel::{figures, percent};
use crate::measure::report::{Check, StageError, TokenCheck, Verdict as Found};
use leptos::prelude::*;

/// The verdict in a word.
#[component]
pub(crate) fn Verdict(verdict: Signal<Found>) -> impl IntoView {
    view! { <span class="verdict" data-verdict=move || key(verdict.get())>{move || verdict.get().label()}</span> }
}

fn key(verdict: Found) -> &'static str {
    match verdict {
        Found::Right => "right",
        Found::Wrong => "wrong",
        Found::Unknown => "unknown",
    }
}

/// The verdict, which opens the details.
#[component]
pub(crate) fn CheckBadge(check: Option<Check>) -> impl IntoView {
    let verdict = check.as_ref().map(|check| check.verdict).unwrap_or_default();
    let rows = check.as_ref().map(rows).unwrap_or_default();
    let summary = check.map_or_else(|| "Nothing was compared with the CPU player.".to_owned(), |check| check.summary);
    let row = |(what, how): (&'static str, String)| view! { <tr><th scope="row">{what}</th><td>{how}</td></tr> };
    view! {
        <details class="check">
            <summary>
                <span class="verdict" data-verdict=key(verdict)>{verdict.label()}</span>
                <span class="hint">{summary}</span>
            </summary>
            <table>
                <caption class="unseen">"Numeric check"</caption>
                {rows.into_iter().map(row).collect_view()}
            </table>
        </details>
    }
}

/// What was compared and what came of it, as far as it was.
fn rows(check: &Check) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(stage) = &check.first_wrong_stage {
        rows.push(("First wrong stage", stage_error(stage)));
    }
    if let Some(kernels) = &check.kernels {
        rows.push(("Kernels", format!("{} of {} dispatches wrong", kernels.n_wrong, kernels.n_cases)));
        rows.extend(kernels.first_wrong.clone().map(|first| ("First wrong kernel", first)));
    }
    if let Some(worst) = check.stages.iter().max_by(|a, b| share(a).total_cmp(&share(b))) {
        rows.push(("Stages", format!("{} compared; the worst is {}", check.stages.len(), stage_error(worst))));
    }
    if let Some(tokens) = &check.tokens {
        rows.extend(token_rows(tokens));
    }
    let same = |same: bool| if same { "the same" } else { "DIFFERENT" }.to_owned();
    rows.extend(check.prefill_equals_decode.map(|is| ("Prefill and decode", same(is))));
    rows.extend(check.twice_the_same.map(|is| ("The same text twice", same(is))));
    rows.extend(check.fault.clone().map(|stage| ("Broken on purpose", stage)));
    rows
}

fn token_rows(tokens: &TokenCheck) -> [(&'static str, String); 2] {
    let agree = f64::from(tokens.n_same) / f64::from(tokens.n_tokens.max(1));
    let divergence = format!(
        "mean {:.1e}, 99.9th percentile {:.1e}, worst {:.1e} at token {} (nats)",
        tokens.kl_mean, tokens.kl_p999, tokens.kl_max, tokens.worst_position
    );
    [
        ("Likeliest token", format!("the same at {} of {} ({})", tokens.n_same, tokens.n_tokens, percent(agree))),
        ("KL divergence", divergence),
    ]
}

fn share(stage: &StageError) -> f64 {
    stage.error / stage.budget.max(f64::MIN_POSITIVE)
}

fn stage_error(stage: &StageError) -> String {
    let layer = stage.layer.map(|layer| format!(" of layer {layer}")).unwrap_or_default();
    let StageError { stage, error, budget, position, .. } = stage;
    let times = figures(error / budget.max(f64::MIN_POSITIVE));
    format!("{stage}{layer} at token {position}: error {error:.1e}, {times} times its budget of {budget:.1e}")
}
