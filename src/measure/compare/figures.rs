//! A report as figures: each with its name, unit, value, spread and share, by the list of [`listed`]. The same name means the
//! same measurement.

use super::{Mark, Section};
use crate::measure::figures::{self as listed, Better, Shown, TOKENS_PER_S, number, with_sd};
use crate::measure::panel::{bytes, range};
use crate::measure::report::read::printable;
use crate::measure::report::{
    Check, Load, MemoryBytes, MemoryPrediction, Prediction, Probes, Published, Share, StandardResult, StepGain,
    StepPrediction, Test, TextTimes, TuningFacts, Verdict,
};
use crate::measure::{Report, Spread};

/// One figure of one report.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figure {
    pub(super) section: Section,
    /// Where its row stands within the section.
    pub(super) order: Order,
    pub(super) name: String,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) value: Option<f64>,
    pub(super) spread: Option<Spread>,
    pub(super) share: Option<Share>,
    pub(super) text: String,
    /// How far it may be trusted, where it was checked by itself.
    pub(super) mark: Option<Mark>,
}

/// Sorts rows the same way whatever the order of reports: by depth, kind, sizes, then place among the rows of one test.
pub(super) type Order = [u32; 5];

/// All figures of a report; what is absent or no finite number is left out.
pub(super) fn of_report(report: &Report) -> Vec<Figure> {
    let mut all = about(report);
    all.extend(report.check.iter().flat_map(check));
    all.extend(report.standard.iter().flat_map(standard));
    all.extend(report.tests.iter().flat_map(test));
    all.extend(report.text.iter().flat_map(text));
    all.extend(report.tuning.iter().flat_map(tuning));
    all.extend(report.prediction.iter().flat_map(prediction));
    all.extend(report.load.iter().flat_map(load));
    all.extend(report.memory.iter().flat_map(memory));
    all.extend(probes(&report.probes));
    all.retain(|figure| figure.value.is_none_or(f64::is_finite));
    all
}

/// What a source says. Tests stand in the rows of measured ones if they have their unit; the rest are rows of their
/// own.
pub(super) fn of_published(published: &Published) -> Vec<Figure> {
    let figure = |figure: &crate::measure::report::PublishedFigure| {
        let order = test_order(&figure.name).filter(|_| figure.unit == TOKENS_PER_S);
        let (section, order) = order.map_or((Section::Published, Order::default()), |o| (Section::Tests, o));
        let unit = if section == Section::Tests { String::new() } else { format!(" {}", printable(&figure.unit)) };
        Figure {
            section,
            order,
            name: printable(&figure.name),
            unit: if section == Section::Tests { TOKENS_PER_S } else { "" },
            better: if section == Section::Tests { Better::More } else { Better::Neither },
            value: Some(figure.value),
            text: format!("{}{unit}", number(figure.value)),
            ..Figure::default()
        }
    };
    published.figures.iter().map(figure).filter(|figure| figure.value.is_some_and(f64::is_finite)).collect()
}

/// Where a test of this name stands: the inverse of [`Test::name`].
fn test_order(name: &str) -> Option<Order> {
    let (what, depth) = name.split_once(" @ d").map_or((name, Some(0)), |(what, depth)| (what, depth.parse().ok()));
    let (mut n_prompt, mut n_gen) = (0, 0);
    for part in what.split('+') {
        match (part.strip_prefix("pp"), part.strip_prefix("tg")) {
            (Some(n), _) => n_prompt = n.parse().ok()?,
            (_, Some(n)) => n_gen = n.parse().ok()?,
            _ => return None,
        }
    }
    let test = Test { n_prompt, n_gen, depth: depth?, ..Test::default() };
    (test.name() == name).then(|| order(&test, 0))
}

fn order(test: &Test, place: u32) -> Order {
    let kind = match (test.n_prompt, test.n_gen) {
        (_, 0) => 0,
        (0, _) => 1,
        _ => 2,
    };
    [test.depth, kind, test.n_prompt, test.n_gen, place]
}

fn about(report: &Report) -> Vec<Figure> {
    let words = |place: u32, name: &str, text: String| Figure {
        order: [place, 0, 0, 0, 0],
        name: name.into(),
        text: printable(&text),
        ..Figure::default()
    };
    let adapter = &report.adapter;
    let mut all = vec![words(1, "kernels", adapter.variant.clone())];
    if !adapter.identity.driver.is_empty() {
        all.push(words(0, "driver", adapter.identity.driver.clone()));
    }
    if report.platform.clock_us > 0.0 && report.platform.clock_us.is_finite() {
        all.push(words(2, "timer resolution", format!("{} µs", number(report.platform.clock_us))));
    }
    all
}

/// The figures of a list that a part of a report has: `order` is where its first row stands, and `named` makes a name of
/// a figure's title.
fn of_list<T>(
    (list, part): (&[listed::Figure<T>], &T),
    section: Section,
    order: impl Fn(u32) -> Order,
    named: impl Fn(&str) -> String,
) -> Vec<Figure> {
    let compared =
        list.iter().enumerate().filter(|(_, figure)| figure.is_shown(Shown::Compared) && (figure.tells)(part));
    let figure = |(place, figure): (usize, &listed::Figure<T>)| {
        Some(Figure {
            section,
            order: order(place as u32),
            name: named(figure.title),
            unit: figure.unit,
            better: figure.better,
            value: Some(figure.value(part)?),
            spread: figure.spread(part),
            text: figure.bare(part)?,
            ..Figure::default()
        })
    };
    compared.filter_map(figure).collect()
}

fn check(check: &Check) -> Vec<Figure> {
    let Some(tokens) = check.tokens.filter(|tokens| tokens.n_tokens > 0) else { return Vec::new() };
    let mut all = of_list((&listed::TOKENS, &tokens), Section::Check, |place| [place, 0, 0, 0, 0], str::to_owned);
    // How many were compared belongs to the share of them.
    if let Some(same) = all.first_mut() {
        same.text += &format!(" of {}", tokens.n_tokens);
    }
    all
}

fn test(test: &Test) -> Vec<Figure> {
    let name = test.name();
    let named = |title: &str| if title.is_empty() { name.clone() } else { format!("{name}, {title}") };
    let mut all = of_list((&listed::TESTS, test), Section::Tests, |place| order(test, place), named);
    if let Some(speed) = all.first_mut().filter(|first| first.unit == TOKENS_PER_S) {
        speed.share = test.share.filter(|share| share.share.is_finite());
    }
    all
}

/// What the adapter would do with a whole model. How many tokens were written for it is no part of a figure's name: a slow
/// adapter has no time for many.
fn standard(result: &StandardResult) -> Vec<Figure> {
    let mark = match result.verdict() {
        Verdict::Right => Mark::Right,
        Verdict::Wrong => Mark::Wrong,
        Verdict::Unknown => Mark::NotChecked,
    };
    let model = printable(&result.model);
    let figure = |test: &Test, what: &str, unit: &'static str, value: f64, text: String| Figure {
        section: Section::Standard,
        order: [0, u32::from(test.n_gen == 0), u32::from(unit != TOKENS_PER_S), 0, 0],
        name: format!("{model}, {what}"),
        unit,
        better: if unit == TOKENS_PER_S { Better::More } else { Better::Less },
        value: Some(value),
        text,
        mark: Some(mark),
        ..Figure::default()
    };
    let of_test = |(what, test): (String, &Test)| {
        let rate = &test.tokens_per_s;
        let range = number(rate.median) + &range(test);
        let share = test.share.filter(|share| share.share.is_finite());
        let speed = Figure { share, ..figure(test, &what, TOKENS_PER_S, rate.median, range) };
        let ms = test.ms_per_token;
        [speed, figure(test, &format!("{what}, a token"), "ms", ms, number(ms))]
    };
    result.rates().flat_map(of_test).collect()
}

fn text(text: &TextTimes) -> Vec<Figure> {
    let n_prompt = text.prefill.n_tokens;
    let n_written = text.decode.map_or(0, |decode| decode.n_tokens);
    let named = |title: &str| title.replace("PROMPT", &n_prompt.to_string()).replace("WRITTEN", &n_written.to_string());
    let order = |place| [n_prompt, n_written, place, 0, 0];
    let mut all = of_list((&listed::TEXT, text), Section::Text, order, named);
    if let (Some(token), Some(decode)) = (all.last_mut(), text.decode) {
        token.text += &format!(" ({} to {})", number(decode.p10_ms), number(decode.p90_ms));
    }
    all
}

fn tuning(facts: &TuningFacts) -> Vec<Figure> {
    let of_step = |step: &StepGain| {
        let order = |place| [step.n_tokens, place, 0, 0, 0];
        of_list((&listed::GAINS, step), Section::Tuning, order, |title| format!("{}, {title}", step.name()))
    };
    facts.gains.iter().filter(|step| step.untuned_ms > 0.0 && step.tuned_ms > 0.0).flat_map(of_step).collect()
}

/// Steps with their range, and memory by the room for text.
fn prediction(prediction: &Prediction) -> Vec<Figure> {
    let figure = |order: Order, name: String, unit: &'static str, value: f64, text: String| Figure {
        section: Section::Prediction,
        order,
        name,
        unit,
        better: if unit == TOKENS_PER_S { Better::More } else { Better::Less },
        value: Some(value),
        text,
        ..Figure::default()
    };
    let step = |step: &StepPrediction| {
        let [likely, low, high] = step.tokens_per_s();
        let what =
            if step.n_tokens == 1 { "writing".to_owned() } else { format!("prompt, {} at a time", step.n_tokens) };
        let text = format!("{} ({} to {})", number(likely), number(low), number(high));
        let order = [0, step.n_tokens, step.depth, 0, 0];
        figure(order, format!("{what} @ d{}", step.depth), TOKENS_PER_S, likely, text)
    };
    let memory = |memory: &MemoryPrediction| {
        let (n, all) = (memory.n_context, memory.total());
        figure([1, n, 0, 0, 0], format!("memory for a text of {n}"), "", all as f64, bytes(all))
    };
    prediction.steps.iter().map(step).chain(prediction.memory.iter().map(memory)).collect()
}

fn load(load: &Load) -> Vec<Figure> {
    of_list((&listed::LOAD, load), Section::Load, |place| [place, 0, 0, 0, 0], str::to_owned)
}

fn memory(memory: &MemoryBytes) -> Vec<Figure> {
    of_list((&listed::MEMORY, memory), Section::Memory, |place| [place, 0, 0, 0, 0], str::to_owned)
}

fn probes(probes: &Probes) -> Vec<Figure> {
    let figure = |probe: &crate::measure::report::Probe| Figure {
        section: Section::Probes,
        order: [probe.kind as u32, 0, 0, 0, 0],
        name: probe.kind.label().into(),
        unit: probe.kind.unit(),
        better: if probe.kind.is_rate() { Better::More } else { Better::Less },
        value: Some(probe.value.median),
        spread: Some(probe.value),
        text: with_sd(&probe.value),
        mark: Some(if probe.right { Mark::Right } else { Mark::Wrong }),
        ..Figure::default()
    };
    probes.0.iter().map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_test_stands_where_the_measured_one_does() {
        for (n_prompt, n_gen, depth) in [(512, 0, 0), (0, 128, 4096), (512, 128, 16)] {
            let test = Test { n_prompt, n_gen, depth, ..Test::default() };
            assert_eq!(test_order(&test.name()), Some(order(&test, 0)));
        }
        for other in ["", "tg", "pp0", "tg128 @ d0", "throughput", "tg128+pp512", "pp+1"] {
            assert_eq!(test_order(other), None, "{other}");
        }
    }

    #[test]
    fn a_prediction_is_shown_with_its_range() {
        let step =
            StepPrediction { n_tokens: 1, depth: 16, ms: 10.0, low_ms: 8.0, high_ms: 20.0, ..Default::default() };
        let memory = MemoryPrediction { n_context: 4096, weights: 3 << 20, ..Default::default() };
        let whole = Prediction { steps: vec![step], memory: vec![memory], ..Default::default() };
        let shown: Vec<_> = prediction(&whole).into_iter().map(|figure| (figure.name, figure.text)).collect();
        let shown: Vec<_> = shown.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(shown, [("writing @ d16", "100 (50.0 to 125)"), ("memory for a text of 4096", "3.00 MiB")]);
    }

    #[test]
    fn tuned_stands_beside_untuned() {
        let step = |n_tokens, untuned_ms, tuned_ms| StepGain { n_tokens, untuned_ms, tuned_ms };
        let gains = vec![step(1, 3.0, 2.0), step(256, 50.0, 0.0)];
        let shown = tuning(&TuningFacts { gains, ..TuningFacts::default() });
        let shown: Vec<_> = shown.iter().map(|figure| (figure.name.as_str(), figure.value)).collect();
        let all = [("a token, untuned", 3.0), ("a token, tuned", 2.0), ("a token, times as fast", 1.5)];
        assert_eq!(shown, all.map(|(name, value)| (name, Some(value))));
    }

    #[test]
    fn a_test_that_gave_no_time_has_no_figures() {
        let no_number = Spread { n: 1, median: f64::NAN, ..Spread::default() };
        for tokens_per_s in [Spread::default(), no_number] {
            assert_eq!(test(&Test { n_gen: 8, tokens_per_s, ..Test::default() }), []);
        }
    }
}
