//! Real cards beside each other, the fastest first and the visitor's in colour; programs that stand in for a GPU are
//! folded away. And two of them side by side.

use super::history::History;
use super::history::record::{Record, RecordId};
use crate::format::sorted::{falling, sort};
use crate::host::web::store::Origin;
use crate::measure::Report;
use crate::measure::compare::times;
use crate::measure::figures::Better;
use crate::measure::headline::{bandwidth_share, card_name, host, reading, verdict, writing};
use crate::measure::panel::{figures, millis, percent};
use crate::measure::report::{ProbeKind, Verdict};
use crate::measure::standard::MODELS;
use leptos::prelude::*;

/// One card in the gallery.
#[derive(Clone, PartialEq)]
struct Card {
    id: RecordId,
    name: String,
    detail: String,
    model: String,
    /// Tokens per second: written, and of a prompt read.
    rate: f64,
    reads: Option<f64>,
    is_own: bool,
    is_software: bool,
    verdict: Verdict,
}

impl Card {
    fn of(record: &Record) -> Option<Self> {
        let report = record.report()?;
        let mut detail = format!("{}, {}", report.adapter.identity.backend, host(report));
        if report.tuning.is_some() {
            detail += ", tuned";
        }
        Some(Self {
            id: record.id,
            name: card_name(&report.adapter.identity.name),
            detail,
            model: record.model().unwrap_or_default().to_owned(),
            rate: writing(report)?.tokens_per_s.median,
            reads: reading(report).map(|test| test.tokens_per_s.median),
            is_own: record.origin == Origin::Measured,
            is_software: record.is_software(),
            verdict: record.verdict(),
        })
    }

    /// Whether another result is of the same card in the same place.
    fn is_like(&self, other: &Self) -> bool {
        (&self.name, &self.detail, &self.model, self.is_own) == (&other.name, &other.detail, &other.model, other.is_own)
    }
}

/// The best result of each card, the fastest first; of the visitor's own the newest.
fn cards(history: History) -> Vec<Card> {
    let mut cards: Vec<Card> = Vec::new();
    history.records.with(|all| {
        for card in all.iter().filter_map(Card::of) {
            match cards.iter_mut().find(|known| known.is_like(&card)) {
                None => cards.push(card),
                Some(known) if !known.is_own && card.rate > known.rate => *known = card,
                Some(_) => {}
            }
        }
    });
    sort(&mut cards, |card| falling(card.rate));
    cards
}

#[component]
pub(crate) fn Gallery(history: History) -> impl IntoView {
    let cards = Memo::new(move |_| cards(history));
    let groups = Memo::new(move |_| {
        let mut groups: Vec<(String, Vec<Card>)> = Vec::new();
        for card in cards.get().into_iter().filter(|card| !card.is_software || card.is_own) {
            match groups.iter_mut().find(|(model, _)| *model == card.model) {
                Some((_, of_model)) => of_model.push(card),
                None => groups.push((card.model.clone(), vec![card])),
            }
        }
        groups
    });
    let of_model = move |(model, cards): (String, Vec<Card>)| {
        view! {
            <h3>{format!("Writing with {model}")}</h3>
            <Bars cards />
        }
    };
    let software = move || cards.get().into_iter().filter(|card| card.is_software && !card.is_own).collect::<Vec<_>>();
    view! {
        <section id="gallery" class="card" aria-labelledby="gallery-title">
            <h2 id="gallery-title">"Cards, the fastest first"</h2>
            {move || groups.get().into_iter().map(of_model).collect_view()}
            <p class="hint" hidden=move || !cards.with(Vec::is_empty)>"No results yet."</p>
            <details hidden=move || software().is_empty()>
                <summary>"Software renderers "<span class="hint">{move || format!("{} programs on a CPU that stand in for a GPU", software().len())}</span></summary>
                {move || view! { <Bars cards=software() /> }}
            </details>
            <p class="hint">
                "Tokens per second of text, medians. The test model is small enough for a GPU's cache, so that cards of one kind come out alike; memory bandwidth, in the table below, tells them apart."
            </p>
        </section>
    }
}

#[component]
fn Bars(cards: Vec<Card>) -> impl IntoView {
    let most = cards.iter().map(|card| card.rate).fold(f64::MIN_POSITIVE, f64::max);
    let bar = |card: Card| {
        let width = format!("--for: {:.1}%", card.rate / most * 100.0);
        let is_wrong = card.verdict == Verdict::Wrong;
        let rate = if is_wrong { "WRONG numbers".to_owned() } else { format!("{} tokens/s", figures(card.rate)) };
        let note = match (card.verdict, card.reads) {
            (Verdict::Unknown, _) => "numbers not checked".to_owned(),
            (_, Some(reads)) => format!("reads a prompt at {}", figures(reads)),
            _ => String::new(),
        };
        let mark = if card.is_own { "Yours: " } else { "" };
        view! {
            <li class="bar-row" class:own=card.is_own>
                <span><span class="run-name">{mark}{card.name}</span>" "<span class="hint">{card.detail}</span></span>
                <span class="track" aria-hidden="true">{(!is_wrong).then(|| view! { <i style=width></i> })}</span>
                <span><b>{rate}</b>" "<span class="hint">{note}</span></span>
            </li>
        }
    };
    view! { <ol class="bars">{cards.into_iter().map(bar).collect_view()}</ol> }
}

/// A row of two: what, which way is better, and the value of a report.
type Line = (&'static str, Better, fn(&Report) -> Option<(f64, String)>);

const LINES: [Line; 9] = [
    ("DeepSeek V4-Flash, tokens/s", Better::More, |report| of_standard(report, 0)),
    ("Llama 8B in Q4_0, tokens/s", Better::More, |report| of_standard(report, 1)),
    ("Writing, tokens/s", Better::More, |report| writing(report).map(|test| test.tokens_per_s.median).map(shown)),
    ("Reading a prompt, tokens/s", Better::More, |report| reading(report).map(|t| t.tokens_per_s.median).map(shown)),
    ("Memory bandwidth, GB/s", Better::More, |report| report.probes.limit(ProbeKind::Read).map(shown)),
    ("Bandwidth used while writing", Better::More, |report| {
        bandwidth_share(report).map(|share| (share, percent(share)))
    }),
    ("Arithmetic in 32 bits, Gop/s", Better::More, |report| report.probes.limit(ProbeKind::FmaF32).map(shown)),
    ("First token", Better::Less, |report| writing(report)?.first_token_ms.map(|ms| (ms, millis(ms)))),
    ("One more dispatch, µs", Better::Less, |report| report.probes.limit(ProbeKind::Dispatch).map(shown)),
];

/// What a card would write with a model of the standard test.
fn of_standard(report: &Report, index: usize) -> Option<(f64, String)> {
    let result = report.standard.iter().find(|result| result.model == MODELS[index].name)?;
    result.writing().map(|test| shown(test.tokens_per_s.median))
}

fn shown(n: f64) -> (f64, String) {
    (n, figures(n))
}

/// Two that a person chooses, line by line.
#[component]
pub(crate) fn Pair(history: History) -> impl IntoView {
    let cards = Memo::new(move |_| cards(history));
    let chosen = [RwSignal::new(None::<RecordId>), RwSignal::new(None::<RecordId>)];
    // The visitor's own beside the fastest, until they choose.
    let usual = move |place: usize| {
        let own = cards.with(|all| all.iter().find(|card| card.is_own).or(all.first()).map(|card| card.id));
        if place == 0 {
            own
        } else {
            cards.with(|all| all.iter().find(|card| Some(card.id) != own).map(|card| card.id))
        }
    };
    let id_of = move |place: usize| chosen[place].get().or_else(|| usual(place));
    let report_of = move |place: usize| {
        let id = id_of(place)?;
        history.records.with(|all| all.iter().find(|record| record.id == id)?.report().cloned())
    };
    let choice = move |place: usize, id: &'static str, label: &'static str| {
        let option = move |card: Card| {
            let own = if card.is_own { "Yours: " } else { "" };
            view! {
                <option value=card.id.to_string() selected=move || id_of(place) == Some(card.id)>
                    {format!("{own}{}, {}, {}", card.name, card.detail, card.model)}
                </option>
            }
        };
        view! {
            <select id=id aria-label=label on:change=move |event| chosen[place].set(event_target_value(&event).parse().ok())>
                {move || cards.get().into_iter().map(option).collect_view()}
            </select>
        }
    };
    let table = move || {
        let (left, right) = (report_of(0)?, report_of(1)?);
        let same_model = left.model.as_ref().map(|m| &m.name) == right.model.as_ref().map(|m| &m.name);
        let line = |(what, better, of): Line| {
            let (a, b) = (of(&left), of(&right));
            // The better of the two stands out.
            let is_better = |one: &Option<(f64, String)>, other: &Option<(f64, String)>| {
                let (Some((one, _)), Some((other, _))) = (one, other) else { return false };
                one != other && (one > other) == (better == Better::More)
            };
            let wins = [is_better(&a, &b), is_better(&b, &a)];
            (a.is_some() || b.is_some()).then(|| {
                let ratio =
                    a.as_ref().zip(b.as_ref()).filter(|(a, _)| a.0 > 0.0).map(|(a, b)| times(b.0 / a.0));
                let cell = |cell: Option<(f64, String)>| cell.map_or_else(|| "–".to_owned(), |(_, text)| text);
                view! { <tr><th scope="row">{what}</th><td class:best=wins[0]>{cell(a)}</td><td class:best=wins[1]>{cell(b)}</td><td>{ratio}</td></tr> }
            })
        };
        Some(view! {
            {(!same_model).then(|| view! { <p class="note">"These two ran different models: only the limits of the cards compare."</p> })}
            <table class="pair">
                <thead><tr><th scope="col">"Figure"</th><th scope="col">"First"</th><th scope="col">"Second"</th><th scope="col">"Second ÷ first"</th></tr></thead>
                <tbody>
                    {LINES.map(line).collect_view()}
                    <tr><th scope="row">"Numbers"</th><td>{verdict(&left).label()}</td><td>{verdict(&right).label()}</td><td></td></tr>
                </tbody>
            </table>
        })
    };
    view! {
        <section id="pair" class="card" aria-labelledby="pair-title" hidden=move || cards.with(|all| all.len() < 2)>
            <h2 id="pair-title">"Two side by side"</h2>
            <div class="buttons two">{choice(0, "left", "First")}{choice(1, "right", "Second")}</div>
            {table}
        </section>
    }
}
