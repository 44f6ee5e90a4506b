//! The adapter measured: what it can do at best, how fast the model is on it, whether its numbers are right. Each is a
//! button with its progress, and can be broken off.

use super::LinkHandle;
use super::figures::Figures;
use super::models::kept::duration;
use super::state::{Measuring, Page, Status};
use crate::host::web::protocol::{BenchPlan, Measurement};
use leptos::prelude::*;
use web_sys::HtmlInputElement;

#[component]
pub(crate) fn Measure(page: Page, link: LinkHandle) -> impl IntoView {
    let plan = RwSignal::new(BenchPlan::default());
    let begin = move |what: Measurement| {
        if page.status.get_untracked() == Status::Ready {
            link.with_value(|link| drop(link.measure(what)));
        }
    };
    let is_busy = move || page.status.get() != Status::Ready;
    // The test of the whole has its own bar.
    let single = move || page.measuring.get().filter(|measuring| measuring.label != "Test");
    let is_measuring = Memo::new(move |_| single().is_some());
    let live = move || is_measuring.get().then(|| page.partial.get().map(|report| view! { <Figures report /> }));
    view! {
        <section id="measure" class="card" aria-labelledby="measure-title" aria-busy=move || is_measuring.get().to_string()>
            <h2 id="measure-title" class="unseen">"Single measurements"</h2>
            {move || single().map(|measuring| view! { <Bar measuring /> })}
            <div class="buttons" hidden=move || !is_measuring.get()>
                <button id="cancel" type="button" on:click=move |_| link.with_value(|link| link.stop())>"Cancel"</button>
            </div>
            {live}
            <details id="single">
                <summary>"Single measurements "<span class="hint">"bench, probe, verify, tune"</span></summary>
                <div class="buttons">
                    <button id="bench" type="button" disabled=is_busy on:click=move |_| begin(Measurement::Bench(plan.get_untracked()))>
                        "Bench"
                    </button>
                    <button id="probe" type="button" disabled=is_busy on:click=move |_| begin(Measurement::Probe)>"Probe"</button>
                    <button id="verify" type="button" disabled=is_busy on:click=move |_| begin(Measurement::Verify)>"Verify"</button>
                    <button id="tune" type="button" disabled=is_busy on:click=move |_| begin(Measurement::Tune)>"Tune"</button>
                </div>
                <dl class="what">
                    <div><dt>"Bench"</dt><dd>"how fast the model is, and how near to this GPU's limit"</dd></div>
                    <div><dt>"Probe"</dt><dd>"that limit: memory, arithmetic, waiting"</dd></div>
                    <div><dt>"Verify"</dt><dd>"whether the numbers are right, part by part against the CPU; takes minutes"</dd></div>
                    <div><dt>"Tune"</dt><dd>"find the fastest way to compute this model here, and use it from then on"</dd></div>
                </dl>
                <Settings plan />
            </details>
        </section>
    }
}

/// How far it has come. The bar says it to screen readers when they ask; reading out every step would be noise.
#[component]
fn Bar(measuring: Measuring) -> impl IntoView {
    let share = measuring.share().map(|share| share.to_string());
    let left = measuring.seconds_left().map(|left| format!("about {} left", duration(left)));
    let Measuring { label, step, .. } = measuring;
    view! {
        <div class="progress">
            <p><span>{label}": "{step}</span><span>{left}</span></p>
            <progress max="1" value=share aria-label=label></progress>
        </div>
    }
}

/// A list of a plan's numbers, as it stands in its field.
type List = (&'static str, &'static str, fn(&mut BenchPlan) -> &mut Vec<u32>);

const LISTS: [List; 3] = [
    ("bench-p", "Prompt tokens", |plan| &mut plan.p),
    ("bench-n", "Tokens written", |plan| &mut plan.n),
    ("bench-d", "After so many tokens", |plan| &mut plan.d),
];

/// More tests than these are a mistake.
const MOST_NUMBERS: usize = 16;
const MOST_TOKENS: u32 = 1 << 20;
const MOST_REPEATS: f64 = 100.0;

/// The plan of a bench. Runs compare only where these are the same, so that the usual ones are llama-bench's.
#[component]
fn Settings(plan: RwSignal<BenchPlan>) -> impl IntoView {
    let list = move |(id, label, of): List| {
        let shown = move || {
            let mut plan = plan.get_untracked();
            of(&mut plan).iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
        };
        let typed = move |event| {
            plan.update(|plan| *of(plan) = numbers(&event_target_value(&event)));
            event_target::<HtmlInputElement>(&event).set_value(&shown());
        };
        view! {
            <div class="field">
                <label for=id>{label}</label>
                <input id=id type="text" inputmode="numeric" autocomplete="off" value=shown() on:change=typed />
            </div>
        }
    };
    let repeats = move |event| {
        let typed: f64 = event_target_value(&event).parse().ok().filter(|n: &f64| n.is_finite()).unwrap_or(1.0);
        plan.update(|plan| plan.r = typed.clamp(1.0, MOST_REPEATS) as u32);
        event_target::<HtmlInputElement>(&event).set_value(&plan.with_untracked(|plan| plan.r.to_string()));
    };
    view! {
        <details class="fields">
            <summary>"Bench settings" <span class="hint">{move || plan.with(summary)}</span></summary>
            <div class="grid">
                {LISTS.map(list).collect_view()}
                <div class="field">
                    <label for="bench-r">"Repetitions"</label>
                    <input id="bench-r" type="number" min="1" max=MOST_REPEATS value=plan.with_untracked(|plan| plan.r) on:change=repeats />
                </div>
            </div>
            <p class="hint">"Several numbers are separated by commas. 0 leaves a test out."</p>
        </details>
    }
}

/// The numbers of a list as it was typed; what is no number is left out.
fn numbers(typed: &str) -> Vec<u32> {
    let words = typed.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let mut all: Vec<u32> =
        words.filter_map(|word| word.parse().ok()).map(|n: u32| n.min(MOST_TOKENS)).take(MOST_NUMBERS).collect();
    if all.is_empty() {
        all.push(0);
    }
    all
}

/// The plan in a line, in llama-bench's words.
fn summary(plan: &BenchPlan) -> String {
    let list =
        |what: &str, all: &[u32]| all.iter().filter(|n| **n > 0).map(|n| format!("{what}{n}")).collect::<Vec<_>>();
    let tests = [list("pp", &plan.p), list("tg", &plan.n)].concat().join(", ");
    let depths = list("d", &plan.d).join(", ");
    let at = if depths.is_empty() { String::new() } else { format!(" @ {depths}") };
    format!("{tests}{at}, {} times", plan.r)
}
