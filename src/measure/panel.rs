//! A report as the few rows that a person reads after a run: the same rows in the terminal and on the page.

use super::figures::{Figure, LOAD, MEMORY, Shown, TEXT};
use super::report::{
    MemoryBytes, ModelFacts, Probe, StandardResult, StepGain, Test, TextTimes, TuningFacts, TuningSource,
};
use super::{Report, StageTime};

pub use super::rounded::{bytes, figures, millis, params, percent, share};

/// A label and its value.
pub type Row = (&'static str, String);

/// The rows of a report of a text, in reading order. Every report has the same labels, so that several stand side by
/// side.
#[must_use]
pub fn rows(report: &Report) -> Vec<Row> {
    let adapter = &report.adapter;
    let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let text = report.text.as_ref();
    let load = report.load.unwrap_or_default();
    let loading = LOAD.iter().filter(|figure| figure.is_shown(Shown::Panel));
    let loading = loading.map(|figure| (figure.title, figure.told(&load).unwrap_or_default()));
    let about = [
        ("adapter", known(&adapter.identity.name)),
        ("backend", format!("{}, {}", adapter.identity.backend, adapter.identity.kind)),
        ("driver", known(&adapter.identity.driver)),
        (
            "features used",
            if adapter.features_used.is_empty() { "none".into() } else { adapter.features_used.join(", ") },
        ),
        ("kernels", adapter.variant.clone()),
        ("model", report.model.as_ref().map_or_else(|| "none".to_owned(), model)),
    ];
    let memory = [("memory", memory(&report.memory.unwrap_or_default()))];
    about.into_iter().chain(loading).chain(text_rows(text)).chain(memory).collect()
}

/// What writing a text took; each row says so where it was not timed.
fn text_rows(text: Option<&TextTimes>) -> [Row; 5] {
    let [prefill, first_token, decode, per_token, encode_share] = &TEXT;
    let told = |figure: &Figure<TextTimes>, absent: &str| {
        text.and_then(|text| figure.told(text)).ok_or_else(|| absent.to_owned())
    };
    let or_absent = |told: Result<String, String>| told.unwrap_or_else(|absent| absent);
    let tokens = |n: u32| if n == 1 { "1 token".to_owned() } else { format!("{n} tokens") };
    let of_prompt = text.map(|text| format!(" ({} in {})", tokens(text.prefill.n_tokens), millis(text.prefill.ms)));
    let written = text.and_then(|text| text.decode);
    let over = written.map(|decode| format!(" over {}", tokens(decode.n_tokens)));
    let range = written.map(|decode| format!(" median ({} to {})", millis(decode.p10_ms), millis(decode.p90_ms)));
    let with = |told: Result<String, String>, more: Option<String>| {
        or_absent(told.map(|told| told + &more.unwrap_or_default()))
    };
    [
        ("prefill", with(told(prefill, "not timed"), of_prompt)),
        ("first token", or_absent(told(first_token, "none came"))),
        ("decode", with(told(decode, "not timed: fewer than two tokens"), over)),
        ("per token", with(told(per_token, "not timed"), range)),
        (encode_share.title, or_absent(told(encode_share, "not timed"))),
    ]
}

/// Rows as aligned lines, for a terminal or a text to copy.
#[must_use]
pub fn text(rows: &[(impl AsRef<str>, String)]) -> String {
    let width = rows.iter().map(|(label, _)| label.as_ref().chars().count()).max().unwrap_or(0);
    rows.iter().map(|(label, value)| format!("{:>width$}  {value}\n", label.as_ref())).collect()
}

/// The rows of what an adapter can do at best, as far as it was measured.
#[must_use]
pub fn probe_rows(report: &Report) -> Vec<Row> {
    let identity = &report.adapter.identity;
    let adapter = [("adapter", identity.name.clone()), ("backend", format!("{}, {}", identity.backend, identity.kind))];
    let probes = report.probes.0.iter().map(|probe| (probe.kind.label(), probe_figure(probe)));
    adapter.into_iter().chain(probes).collect()
}

/// The range of a predicted rate, in brackets; nothing where it is not told.
#[must_use]
pub fn range(test: &Test) -> String {
    let rate = &test.tokens_per_s;
    if rate.min < rate.max { format!(" ({} to {})", figures(rate.min), figures(rate.max)) } else { String::new() }
}

/// What an adapter would do with the models of the standard test: a row for each rate.
#[must_use]
pub fn standard_rows(report: &Report) -> Vec<(String, String)> {
    let of_result = |result: &StandardResult| {
        let rate = |test: &Test, what: &str| {
            (
                format!("{}, {what}", result.model),
                format!("{} tokens/s{}", figures(test.tokens_per_s.median), range(test)),
            )
        };
        let layers = (result.n_layers > 0).then(|| {
            let StandardResult { n_layers, n_measured_layers, ran, .. } = result;
            format!("{n_measured_layers} of {n_layers} layers ({ran}), ")
        });
        let ran = layers.unwrap_or_default() + "numbers " + result.verdict().label();
        let rates = result.rates().map(|(what, test)| rate(test, &what));
        rates.chain([("from".to_owned(), ran)]).collect::<Vec<_>>()
    };
    report.standard.iter().flat_map(of_result).collect()
}

/// A probe's median with its spread and unit; `WRONG` where its kernel computed wrongly, whatever its speed.
#[must_use]
pub fn probe_figure(probe: &Probe) -> String {
    let (value, unit) = (&probe.value, probe.kind.unit());
    if probe.right { format!("{} ± {} {unit}", figures(value.median), figures(value.sd)) } else { "WRONG".to_owned() }
}

/// How the kernels were chosen, in a line.
#[must_use]
pub fn tuning(facts: &TuningFacts) -> String {
    let step = |step: &StepGain| {
        let what = if step.n_tokens == 1 { "decode".to_owned() } else { format!("a prompt of {}", step.n_tokens) };
        format!("{what} {:.2} times as fast as guessed", step.gain())
    };
    let gains: Vec<String> = facts.gains.iter().map(step).collect();
    let gained = if gains.is_empty() { "nothing faster was found".to_owned() } else { gains.join(", ") };
    match facts.source {
        TuningSource::Guessed => "guessed for the adapter".to_owned(),
        TuningSource::Kept => "as measured in an earlier run".to_owned(),
        TuningSource::Quick => format!("by a short search of {:.0} s: {gained}", facts.seconds),
        TuningSource::Full => format!("by a full search of {:.0} s: {gained}", facts.seconds),
    }
}

/// The columns of [`stage_cells`].
pub const STAGE_COLUMNS: [&str; 7] = ["stage", "count", "ms", "share", "bytes", "GB/s", "of limit"];

/// A stage's cells under [`STAGE_COLUMNS`].
#[must_use]
pub fn stage_cells(stage: &StageTime) -> [String; 7] {
    [
        stage.name.clone(),
        stage.count.to_string(),
        format!("{:.3}", stage.ms),
        percent(stage.share),
        bytes(stage.bytes),
        format!("{:.1}", stage.gb_per_s),
        stage.of_limit.as_ref().map_or_else(String::new, share),
    ]
}

fn model(model: &ModelFacts) -> String {
    let (params, bytes) = (params(model.n_params), bytes(model.file_bytes));
    format!("{}, {params} parameters, {bytes}, context {}", model.name, model.n_context)
}

fn memory(memory: &MemoryBytes) -> String {
    let told = |figure: &Figure<MemoryBytes>| figure.told(memory).unwrap_or_default();
    let [parts @ .., all] = &MEMORY;
    let parts: Vec<String> = parts.iter().map(|part| format!("{} {}", part.title, told(part))).collect();
    format!("{}: {}", told(all), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Spread;
    use crate::measure::report::ProbeKind;

    #[test]
    fn a_probe_that_computes_wrongly_has_no_figure() {
        let value = Spread::of(&[1.0, 2.0, 4.0]).expect("samples");
        let probe = |right| Probe { kind: ProbeKind::Read, value, right };
        assert_eq!(probe_figure(&probe(true)), "2.00 ± 1.53 GB/s");
        assert_eq!(probe_figure(&probe(false)), "WRONG");
    }

    #[test]
    fn lines_are_aligned_on_their_labels() {
        assert_eq!(text(&[("a", "x".into()), ("long", "y".into())]), "   a  x\nlong  y\n");
    }
}
