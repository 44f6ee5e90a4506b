//! A report as the few rows that a person reads after a run: the same rows in the terminal and on the page.

use super::report::{
    MemoryBytes, ModelFacts, Prefill, Probe, Share, StandardResult, StepGain, Test, TextTimes, TuningFacts,
    TuningSource,
};
use super::{Report, StageTime};

/// A label and its value.
pub type Row = (&'static str, String);

/// The rows of a report of a text, in reading order. Every report has the same labels, so that several stand side by
/// side.
#[must_use]
pub fn rows(report: &Report) -> Vec<Row> {
    let adapter = &report.adapter;
    let known = |text: &str| if text.is_empty() { "not told".to_owned() } else { text.to_owned() };
    let text = report.text.as_ref();
    let load = report.load.unwrap_or_default();
    vec![
        ("adapter", known(&adapter.identity.name)),
        ("backend", format!("{}, {}", adapter.identity.backend, adapter.identity.kind)),
        ("driver", known(&adapter.identity.driver)),
        (
            "features used",
            if adapter.features_used.is_empty() { "none".into() } else { adapter.features_used.join(", ") },
        ),
        ("kernels", adapter.variant.clone()),
        ("model", report.model.as_ref().map_or_else(|| "none".to_owned(), model)),
        ("load", millis(load.directory_ms + load.upload_ms)),
        ("shader compile", millis(load.compile_ms)),
        ("prefill", text.map_or_else(|| "not timed".to_owned(), |text| prefill(&text.prefill))),
        ("first token", text.and_then(|text| text.first_token_ms).map_or_else(|| "none came".to_owned(), millis)),
        ("decode", decode(text)),
        ("per token", per_token(text)),
        (
            "CPU encode share",
            text.and_then(|text| text.decode?.encode_share).map_or_else(|| "not timed".to_owned(), percent),
        ),
        ("memory", memory(&report.memory.unwrap_or_default())),
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
        let writing = result.writing().map(|test| rate(test, "writing"));
        let reading = result.reading().map(|test| rate(test, &format!("a prompt of {}", test.n_prompt)));
        writing.into_iter().chain(reading).chain([("from".to_owned(), ran)]).collect::<Vec<_>>()
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

/// A share with the limit that it is of: `41.0 % of read`.
#[must_use]
pub fn share(share: &Share) -> String {
    format!("{} of {}", percent(share.share), share.of.label())
}

fn model(model: &ModelFacts) -> String {
    let (params, bytes) = (params(model.n_params), bytes(model.file_bytes));
    format!("{}, {params} parameters, {bytes}, context {}", model.name, model.n_context)
}

fn prefill(prefill: &Prefill) -> String {
    format!("{} tokens/s ({} tokens in {})", figures(prefill.tokens_per_s), prefill.n_tokens, millis(prefill.ms))
}

fn decode(text: Option<&TextTimes>) -> String {
    text.and_then(|text| text.decode).map_or_else(
        || "not timed: fewer than two tokens".to_owned(),
        |decode| format!("{} tokens/s over {} tokens", figures(decode.tokens_per_s), decode.n_tokens),
    )
}

fn per_token(text: Option<&TextTimes>) -> String {
    text.and_then(|text| text.decode).map_or_else(
        || "not timed".to_owned(),
        |decode| {
            format!("{} median ({} to {})", millis(decode.median_ms), millis(decode.p10_ms), millis(decode.p90_ms))
        },
    )
}

fn memory(memory: &MemoryBytes) -> String {
    let total = memory.weights.saturating_add(memory.cache).saturating_add(memory.scratch);
    format!(
        "{}: weights {}, cache {}, scratch {}",
        bytes(total),
        bytes(memory.weights),
        bytes(memory.cache),
        bytes(memory.scratch)
    )
}

/// Milliseconds, or seconds where there are many.
#[must_use]
pub fn millis(ms: f64) -> String {
    if ms >= 10_000.0 { format!("{} s", figures(ms / 1000.0)) } else { format!("{} ms", figures(ms)) }
}

/// Parameters in millions or thousands of millions.
#[must_use]
pub fn params(n: u64) -> String {
    let n = n as f64;
    if n >= 1e9 { format!("{:.1} G", n / 1e9) } else { format!("{:.1} M", n / 1e6) }
}

/// Bytes in the binary unit that suits.
#[must_use]
pub fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        _ if n < 1024.0 => format!("{n} B"),
        _ if n < 1024.0 * 1024.0 => format!("{} KiB", figures(n / 1024.0)),
        _ if n < 1024.0 * 1024.0 * 1024.0 => format!("{} MiB", figures(n / 1024.0 / 1024.0)),
        _ => format!("{} GiB", figures(n / 1024.0 / 1024.0 / 1024.0)),
    }
}

/// A share in per cent.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Three figures that count.
#[must_use]
pub fn figures(n: f64) -> String {
    match n.abs() {
        size if size >= 100.0 => format!("{n:.0}"),
        size if size >= 10.0 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Spread;
    use crate::measure::report::ProbeKind;

    #[test]
    fn figures_keep_three() {
        assert_eq!([figures(1234.0), figures(12.345), figures(0.126)], ["1234", "12.3", "0.13"]);
        assert_eq!([bytes(1000), bytes(7_733_120), bytes(3 << 30)], ["1000 B", "7.37 MiB", "3.00 GiB"]);
        assert_eq!([millis(0.5), millis(1500.0), millis(12_500.0)], ["0.50 ms", "1500 ms", "12.5 s"]);
    }

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
