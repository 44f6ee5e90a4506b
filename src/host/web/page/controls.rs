//! Sampling as the person sets it. Whatever is typed, the settings stay within the bounds shown.

use crate::engine::load::recommended::Recommended;
use crate::host::web::protocol::Settings;
use leptos::prelude::*;

/// The settings on the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Controls {
    n_tokens: u32,
    settings: Settings,
    /// What the model's files recommend, which counts where nobody changed it; and the fields that somebody did, as bits.
    recommended: Recommended,
    changed: u32,
    /// None draws a new seed for every continuation.
    seed: Option<u32>,
}

impl Default for Controls {
    fn default() -> Self {
        let recommended = Recommended::default();
        Self { n_tokens: 128, settings: Settings::default(), recommended, changed: 0, seed: None }
    }
}

impl Controls {
    /// For answers, which end by themselves: as many tokens as there are.
    pub(crate) fn for_answers() -> Self {
        Self { n_tokens: 4096, ..Self::default() }
    }

    /// Takes over what another model's files recommend, within the bounds shown, where nobody changed it.
    pub(crate) fn follow(&mut self, recommended: Recommended) {
        let usual = Self { settings: Settings::recommended(recommended), ..*self };
        for (_, field) in FIELDS.iter().enumerate().filter(|(number, _)| usual.changed >> number & 1 == 0) {
            let (min, max) = field.bounds;
            (field.set)(self, (field.get)(&usual).map(|n| n.clamp(min, max)));
        }
        self.recommended = recommended;
    }

    /// How many tokens to write, and how to sample them.
    pub(crate) fn settings(&self) -> (u32, Settings) {
        let seed = self.seed.unwrap_or_else(random_seed);
        (self.n_tokens, Settings { seed, ..self.settings })
    }
}

/// A seed from the browser's random numbers.
pub(crate) fn random_seed() -> u32 {
    // Below 2^20, so that a person can read it off and type it in again.
    (js_sys::Math::random() * 1_048_576.0) as u32
}

/// A number on the page.
struct Field {
    id: &'static str,
    label: &'static str,
    hint: &'static str,
    bounds: (f64, f64),
    step: &'static str,
    get: fn(&Controls) -> Option<f64>,
    set: fn(&mut Controls, Option<f64>),
}

const FIELDS: [Field; 7] = [
    Field {
        id: "n-tokens",
        label: "Tokens",
        hint: "how many to write at most",
        bounds: (1.0, 4096.0),
        step: "1",
        get: |c| Some(c.n_tokens.into()),
        set: |c, n| c.n_tokens = n.unwrap_or(1.0) as u32,
    },
    Field {
        id: "temperature",
        label: "Temperature",
        hint: "0 always takes the likeliest",
        bounds: (0.0, 4.0),
        step: "0.05",
        get: |c| Some(tidy(c.settings.temperature)),
        set: |c, n| c.settings.temperature = n.unwrap_or(0.0) as f32,
    },
    Field {
        id: "top-k",
        label: "Top-k",
        hint: "keep the k likeliest; 0 keeps all",
        bounds: (0.0, 100_000.0),
        step: "1",
        get: |c| Some(c.settings.top_k.into()),
        set: |c, n| c.settings.top_k = n.unwrap_or(0.0) as u32,
    },
    Field {
        id: "top-p",
        label: "Top-p",
        hint: "keep this share of probability",
        bounds: (0.0, 1.0),
        step: "0.01",
        get: |c| Some(tidy(c.settings.top_p)),
        set: |c, n| c.settings.top_p = n.unwrap_or(1.0) as f32,
    },
    Field {
        id: "min-p",
        label: "Min-p",
        hint: "drop below this share of the best",
        bounds: (0.0, 1.0),
        step: "0.01",
        get: |c| Some(tidy(c.settings.min_p)),
        set: |c, n| c.settings.min_p = n.unwrap_or(0.0) as f32,
    },
    Field {
        id: "repeat-penalty",
        label: "Repeat penalty",
        hint: "above 1 avoids what was said",
        bounds: (0.5, 2.0),
        step: "0.05",
        get: |c| Some(tidy(c.settings.repeat_penalty)),
        set: |c, n| c.settings.repeat_penalty = n.unwrap_or(1.0) as f32,
    },
    Field {
        id: "seed",
        label: "Seed",
        hint: "empty draws a new one each time",
        bounds: (0.0, u32::MAX as f64),
        step: "1",
        get: |c| c.seed.map(f64::from),
        set: |c, n| c.seed = n.map(|n| n as u32),
    },
];

/// An f32 as a person typed it: 0.8, not 0.800000011920929.
fn tidy(x: f32) -> f64 {
    (f64::from(x) * 1000.0).round() / 1000.0
}

#[component]
pub(crate) fn Fields(controls: RwSignal<Controls>) -> impl IntoView {
    view! {
        <details class="fields">
            <summary>"Sampling" <span class="hint">{move || controls.with(summary)}</span></summary>
            <div class="grid">{FIELDS.iter().enumerate().map(|(number, field)| view! { <Number number field controls /> }).collect_view()}</div>
        </details>
    }
}

#[component]
fn Number(number: usize, field: &'static Field, controls: RwSignal<Controls>) -> impl IntoView {
    let shown = move || controls.with_untracked(field.get).map(|n| n.to_string()).unwrap_or_default();
    // What is being typed is left alone: it changes with the model.
    let recommended = Memo::new(move |_| controls.with(|controls| controls.recommended));
    // Read, since a memo that nobody reads hears of no change.
    let followed = move || recommended.with(|_| shown());
    let (min, max) = field.bounds;
    let typed = move |event| {
        let n: Option<f64> = event_target_value(&event).parse().ok().filter(|n: &f64| n.is_finite());
        controls.update(|controls| {
            (field.set)(controls, n.map(|n| n.clamp(min, max)));
            controls.changed |= 1 << number;
        });
    };
    // Leaving the field shows what was made of it.
    let settle = move |event| event_target::<web_sys::HtmlInputElement>(&event).set_value(&shown());
    let hint = format!("{}-hint", field.id);
    view! {
        <div class="field">
            <label for=field.id>{field.label}</label>
            <input
                id=field.id
                type="number"
                inputmode="decimal"
                min=min
                max=max
                step=field.step
                prop:value=followed
                placeholder="random"
                aria-describedby=hint.clone()
                on:input=typed
                on:change=settle
            />
            <small id=hint>{field.hint}</small>
        </div>
    }
}

/// The settings in a line, for when they are folded away.
fn summary(controls: &Controls) -> String {
    let Controls { n_tokens, settings, recommended, changed, seed } = controls;
    let seed = seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
    let whose =
        if *changed == 0 && *recommended != Recommended::default() { ", as the model's files recommend" } else { "" };
    if settings.temperature == 0.0 {
        return format!("{n_tokens} tokens, always the likeliest{whose}");
    }
    format!(
        "{n_tokens} tokens, temperature {}, top-k {}, top-p {}{seed}{whose}",
        tidy(settings.temperature),
        settings.top_k,
        tidy(settings.top_p)
    )
}
