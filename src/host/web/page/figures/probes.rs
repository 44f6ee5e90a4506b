//! What an adapter can do at best.

use crate::measure::panel::figures;
use crate::measure::report::{Probe, Probes};
use leptos::prelude::*;

#[component]
pub(crate) fn Limits(probes: Probes) -> impl IntoView {
    let row = |probe: Probe| {
        let Probe { kind, value, right } = probe;
        let unit = kind.unit();
        let told = format!("{} {unit}", figures(value.median));
        let spread = format!("{} to {}", figures(value.min), figures(value.max));
        let (state, label) = if right { ("right", "right") } else { ("wrong", "WRONG") };
        view! {
            <tr>
                <th scope="row">{kind.label()}</th>
                <td>{told}</td>
                <td>{spread}</td>
                <td><span class="verdict" data-verdict=state>{label}</span></td>
            </tr>
        }
    };
    let n = probes.0.len();
    view! {
        <details>
        <summary>"Limits of the adapter "<span class="hint">{n}" measured"</span></summary>
        <div class="scroll">
            <table>
                <caption class="unseen">"Limits of the adapter, measured"</caption>
                <thead>
                    <tr><th scope="col">"limit"</th><th scope="col">"median"</th><th scope="col">"from, to"</th><th scope="col">"result"</th></tr>
                </thead>
                <tbody>{probes.0.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
        </details>
    }
}
