//! A report in a few sentences for somebody who has never seen one: how fast, faster than what, how near to the
//! adapter's memory, what tuning gained, whether the numbers are right.

use super::Report;
use super::panel::{figures, percent};
use super::report::{Host, ProbeKind, Test, Verdict};

/// A model of so many bytes reads each of them once for a token, and lives in the memory and not in a cache.
const LARGE_BYTES: f64 = 256e6;
/// The file of a model of 8 thousand million parameters in Q4_K_M, in 10^9 bytes.
const GB_OF_8B: f64 = 4.9;
/// A gain of less is none.
const LEAST_GAIN: f64 = 1.03;

/// What stands above all figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Headline {
    /// Tokens per second that were written, the median.
    pub tokens_per_s: f64,
    /// The sentence that people quote.
    pub claim: String,
    /// What it means, a sentence each.
    pub remarks: Vec<String>,
}

/// The test that people mean by "how fast": writing, with nothing before it; of several the longest.
#[must_use]
pub fn writing(report: &Report) -> Option<&Test> {
    let alone = report.tests.iter().filter(|test| test.n_prompt == 0 && test.n_gen > 0 && test.depth == 0);
    alone.filter(|test| test.tokens_per_s.median > 0.0).max_by_key(|test| test.n_gen)
}

/// The test of reading a prompt, with nothing before it; of several the longest.
#[must_use]
pub fn reading(report: &Report) -> Option<&Test> {
    let alone = report.tests.iter().filter(|test| test.n_prompt > 0 && test.n_gen == 0 && test.depth == 0);
    alone.filter(|test| test.tokens_per_s.median > 0.0).max_by_key(|test| test.n_prompt)
}

/// What to call an adapter: its name as it tells it, in letters of the usual size.
#[must_use]
pub fn card_name(name: &str) -> String {
    if name.chars().any(char::is_uppercase) || name.starts_with("not named") {
        let unnamed = "A GPU that the browser does not name";
        return if name.starts_with("not named") { unnamed.into() } else { name.to_owned() };
    }
    let word = |word: &str| {
        let mut rest = word.chars();
        rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect::<String>()
    };
    name.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Where a report's program ran: `native`, or the browser.
#[must_use]
pub fn host(report: &Report) -> &str {
    match (report.platform.host, &report.platform.browser) {
        (Host::Native, _) => "native",
        (Host::Browser, Some(browser)) => browser,
        (Host::Browser, None) => "a browser",
    }
}

/// The headline of a report beside those of others; `None` where nothing was written. Others count where they ran the
/// same model and their numbers are not wrong.
#[must_use]
pub fn headline(report: &Report, others: &[&Report]) -> Option<Headline> {
    let test = writing(report)?;
    let rate = test.tokens_per_s.median;
    let name = card_name(&report.adapter.identity.name);
    if verdict(report) == Verdict::Wrong {
        let claim = format!("{name} computes wrong numbers: its speed counts for nothing.");
        let why = report.check.as_ref().map(|check| check.summary.clone());
        return Some(Headline { tokens_per_s: rate, claim, remarks: why.into_iter().collect() });
    }
    let model = report.model.as_ref().map_or("the model", |model| model.name.trim_end_matches(".gguf"));
    let place = place(report, rate, others);
    let claim = format!("{name} writes {} tokens/s with {model}{place}.", figures(rate));
    let remarks = [bandwidth(report, test), outlook(report), gain(report), Some(checked(report))];
    Some(Headline { tokens_per_s: rate, claim, remarks: remarks.into_iter().flatten().collect() })
}

fn verdict(report: &Report) -> Verdict {
    report.check.as_ref().map(|check| check.verdict).unwrap_or_default()
}

/// Its place among the others: the nearest below and the nearest above.
fn place(report: &Report, rate: f64, others: &[&Report]) -> String {
    let same_model = |other: &&&Report| {
        other
            .model
            .as_ref()
            .zip(report.model.as_ref())
            .is_some_and(|(a, b)| (&a.name, a.file_bytes) == (&b.name, b.file_bytes))
    };
    let mut rates: Vec<(f64, String)> = others
        .iter()
        .filter(same_model)
        .filter(|other| verdict(other) != Verdict::Wrong)
        .filter_map(|other| {
            let name = format!("{} ({})", card_name(&other.adapter.identity.name), host(other));
            Some((writing(other)?.tokens_per_s.median, name))
        })
        .collect();
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n_below = rates.partition_point(|(other, _)| *other < rate);
    let below = n_below.checked_sub(1).map(|last| &rates[last].1);
    match (below, rates.get(n_below)) {
        (None, None) => String::new(),
        (None, Some((next, name))) => format!(": slower than {name}, which writes {}", figures(*next)),
        (Some(name), next) => {
            let all = if n_below == 1 {
                format!(": faster than {name}")
            } else {
                format!(": faster than {n_below} results here, the nearest {name}")
            };
            let above = next.map(|(next, name)| format!("; {name} writes {}", figures(*next)));
            all + &above.unwrap_or_default()
        }
    }
}

/// What share of the memory's bandwidth the weights take, and what that means.
fn bandwidth(report: &Report, test: &Test) -> Option<String> {
    let read = report.probes.limit(ProbeKind::Read)?;
    let share = test.gb_per_s / read;
    let bytes = report.model.as_ref().map_or(0.0, |model| model.file_bytes as f64);
    let meaning = match share {
        share if share >= 0.5 => "its memory is what sets the speed",
        _ if bytes < LARGE_BYTES => {
            "the model is so small that starting each step takes the time, not the memory: real models come nearer to the limit"
        }
        share if share >= 0.2 => "there is room for faster kernels",
        _ => "most of the time goes elsewhere",
    };
    Some(format!("That takes {} of its memory bandwidth ({} GB/s): {meaning}.", percent(share), figures(read)))
}

/// What the measured bandwidth would allow a model of 8 thousand million parameters.
fn outlook(report: &Report) -> Option<String> {
    let read = report.probes.limit(ProbeKind::Read)?;
    let rate = figures(read / GB_OF_8B);
    Some(format!("With this memory a model of 8 billion parameters ({GB_OF_8B} GB) can write at most {rate} tokens/s."))
}

fn gain(report: &Report) -> Option<String> {
    let tuning = report.tuning.as_ref()?;
    let gain = tuning.gains.iter().find(|step| step.n_tokens == 1).map_or(1.0, super::report::StepGain::gain);
    Some(if gain >= LEAST_GAIN {
        format!("Tuning for this GPU made writing {gain:.2} times as fast.")
    } else {
        "Tuning for this GPU found nothing faster.".to_owned()
    })
}

fn checked(report: &Report) -> String {
    match verdict(report) {
        Verdict::Right => "The numbers were checked against the CPU, and are right.".to_owned(),
        _ => "The numbers were not checked.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::report::{Check, ModelFacts, Platform, Probe, Probes, StepGain, TuningFacts};
    use crate::measure::{AdapterFacts, Spread};

    fn report(name: &str, tokens_per_s: f64) -> Report {
        let mut adapter = AdapterFacts::of_cpu();
        adapter.identity.name = name.into();
        let spread = |median| Spread { n: 3, median, ..Spread::default() };
        let test = Test { n_gen: 128, tokens_per_s: spread(tokens_per_s), gb_per_s: 10.0, ..Test::default() };
        Report {
            model: Some(ModelFacts { name: "toy.gguf".into(), file_bytes: 7, ..ModelFacts::default() }),
            tests: vec![Test { n_prompt: 512, ..test.clone() }, test],
            probes: Probes(vec![Probe { kind: ProbeKind::Read, value: spread(490.0), right: true }]),
            check: Some(Check { verdict: Verdict::Right, ..Check::default() }),
            ..Report::of_adapter(Platform::default(), adapter)
        }
    }

    #[test]
    fn a_report_is_told_beside_others() {
        let others = [report("slow", 10.0), report("fast", 200.0), report("slowest", 5.0)];
        let mut others: Vec<&Report> = others.iter().collect();
        let mine = report("some gpu", 100.0);
        let told = headline(&mine, &others).expect("it wrote");
        assert_eq!(
            told.claim,
            "Some Gpu writes 100 tokens/s with toy: faster than 2 results here, the nearest Slow (native); Fast (native) writes 200."
        );
        let remarks = told.remarks.join(" ");
        for word in ["2.0 % of its memory bandwidth (490 GB/s)", "at most 100", "are right"] {
            assert!(remarks.contains(word), "{remarks}");
        }
        others.truncate(1);
        assert!(headline(&mine, &others).expect("it wrote").claim.ends_with("faster than Slow (native)."));
        assert!(headline(&mine, &[]).expect("it wrote").claim.ends_with("with toy."));
    }

    #[test]
    fn other_models_do_not_count_and_wrong_numbers_have_no_speed() {
        let mut other = report("fast", 200.0);
        other.model.as_mut().expect("a model").file_bytes = 8;
        let mut mine = report("gpu", 100.0);
        assert!(!headline(&mine, &[&other]).expect("it wrote").claim.contains("Fast"));
        mine.tuning = Some(TuningFacts {
            gains: vec![StepGain { n_tokens: 1, untuned_ms: 3.0, tuned_ms: 2.0 }],
            ..TuningFacts::default()
        });
        assert!(headline(&mine, &[]).expect("it wrote").remarks.join(" ").contains("1.50 times as fast"));
        mine.check = Some(Check { verdict: Verdict::Wrong, summary: "stage q".into(), ..Check::default() });
        let told = headline(&mine, &[]).expect("it wrote");
        assert!(told.claim.contains("wrong numbers") && !told.claim.contains("100"), "{}", told.claim);
        assert_eq!(told.remarks, ["stage q"]);
        mine.tests.clear();
        assert_eq!(headline(&mine, &[]), None);
    }
}
