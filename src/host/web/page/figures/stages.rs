//! The time of a step by stages, by the adapter's own clock; browsers give it only where the adapter has one.

use crate::measure::StageTime;
use crate::measure::panel::{STAGE_COLUMNS, stage_cells};
use crate::measure::report::Profile;
use leptos::prelude::*;

#[component]
pub(crate) fn Stages(profiles: Vec<Profile>, has_clock: bool) -> impl IntoView {
    let profile = |profile: Profile| {
        let what =
            if profile.n_tokens == 1 { "decode".into() } else { format!("prefill of {} tokens", profile.n_tokens) };
        let depth = if profile.depth > 0 { format!(" after {}", profile.depth) } else { String::new() };
        view! { <OneStep title=format!("Time by stage: {what}{depth}") stages=profile.stages /> }
    };
    if profiles.is_empty() {
        let why = if has_clock {
            "The time by stage was not measured."
        } else {
            "No time by stage: this browser gives no timestamps on this adapter."
        };
        return view! { <p class="hint">{why}</p> }.into_any();
    }
    profiles.into_iter().map(profile).collect_view().into_any()
}

#[component]
fn OneStep(title: String, stages: Vec<StageTime>) -> impl IntoView {
    let row = |stage: StageTime| {
        let [name, cells @ ..] = stage_cells(&stage);
        // A share is a number of this program's own making, not a text of the report's.
        let width = format!("--for: {:.1}%", (stage.share * 100.0).clamp(0.0, 100.0));
        let cells = cells.into_iter().map(|cell| view! { <td>{cell}</td> }).collect_view();
        view! { <tr><th scope="row" class="bar" style=width>{name}</th>{cells}</tr> }
    };
    view! {
        <details class="stages">
            <summary>{title}</summary>
            <div class="scroll">
                <table>
                    <thead><tr>{STAGE_COLUMNS.map(|column| view! { <th scope="col">{column}</th> }).collect_view()}</tr></thead>
                    <tbody>{stages.into_iter().map(row).collect_view()}</tbody>
                </table>
            </div>
        </details>
    }
}
