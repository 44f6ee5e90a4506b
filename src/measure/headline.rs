//! A report in a few sentences for somebody who has never seen one: how fast, faster than what, how near to the
//! adapter's memory, what tuning gained, whether the numbers are right.

use super::Report;
use super::panel::{figures, percent};
use super::report::{Host, ProbeKind, StandardResult, Test, Verdict};
use crate::format::sorted::{rising, sort};

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

/// Words that have capitals of their own; browsers tell them in small letters.
const BRANDS: [&str; 4] = ["AMD", "ARM", "NVIDIA", "SwiftShader"];

/// What to call an adapter: its name as it tells it, in letters of the usual size.
#[must_use]
pub fn card_name(name: &str) -> String {
    if name.chars().any(char::is_uppercase) || name.starts_with("not named") {
        return if name.starts_with("not named") { "Unnamed GPU".into() } else { name.to_owned() };
    }
    let word = |word: &str| match BRANDS.iter().find(|brand| brand.eq_ignore_ascii_case(word)) {
        Some(brand) => (*brand).to_owned(),
        None => {
            let mut rest = word.chars();
            rest.next().into_iter().flat_map(char::to_uppercase).chain(rest).collect()
        }
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
    let small = writing(report);
    let rates: Vec<(&str, &Test)> =
        report.standard.iter().filter_map(|result| Some((result.model.as_str(), result.writing()?))).collect();
    let last = rates.last().map(|(_, test)| *test);
    let rate = small.or(last)?.tokens_per_s.median;
    let name = card_name(&report.adapter.identity.name);
    if verdict(report) == Verdict::Wrong {
        let claim = format!("{name} computes wrong numbers: its speed counts for nothing.");
        return Some(Headline { tokens_per_s: rate, claim, remarks: first_wrong(report).into_iter().collect() });
    }
    let of_small = small.map(|test| {
        let model = report.model.as_ref().map_or("the model", |model| model.name.trim_end_matches(".gguf"));
        let rate = test.tokens_per_s.median;
        format!("writes {} tokens/s with {model}{}.", figures(rate), place(rate, same_model(report, others)))
    });
    let (claim, aside) = match (last, of_small) {
        (None, of_small) => (format!("{name} {}", of_small?), None),
        (Some(last), of_small) => {
            let all: Vec<String> = rates
                .iter()
                .map(|(model, test)| format!("{} tokens/s with {model}", figures(test.tokens_per_s.median)))
                .collect();
            let place = place(last.tokens_per_s.median, same_standard(report, others));
            (format!("{name} would write {}{place}.", all.join(" and ")), of_small.map(|aside| format!("It {aside}")))
        }
    };
    let meant = last.or(small)?;
    let remarks = [bandwidth(report, meant), outlook(report), aside, gain(report), Some(checked(report))];
    Some(Headline { tokens_per_s: rate, claim, remarks: remarks.into_iter().flatten().collect() })
}

/// The verdict of all its checks: right where none of them is anything else.
#[must_use]
pub fn verdict(report: &Report) -> Verdict {
    let standard = report.standard.iter().map(StandardResult::verdict);
    let of_model = report.check.as_ref().map(|check| check.verdict);
    let has_model = of_model.is_some() || writing(report).is_some();
    let mut all = standard.chain(has_model.then(|| of_model.unwrap_or_default()));
    let Some(first) = all.next() else { return Verdict::Unknown };
    all.fold(first, |sum, each| match (sum, each) {
        (Verdict::Wrong, _) | (_, Verdict::Wrong) => Verdict::Wrong,
        (Verdict::Right, Verdict::Right) => Verdict::Right,
        _ => Verdict::Unknown,
    })
}

/// What the first check says that found something wrong.
fn first_wrong(report: &Report) -> Option<String> {
    let checks = report.check.iter().chain(report.standard.iter().filter_map(|result| result.check.as_ref()));
    checks.into_iter().find(|check| check.verdict == Verdict::Wrong).map(|check| check.summary.clone())
}

/// Rates with the names of their adapters.
type Rates = Vec<(f64, String)>;

fn rates(others: &[&Report], rate: impl Fn(&Report) -> Option<f64>) -> Rates {
    let named = |other: &&Report| {
        let name = format!("{} ({})", card_name(&other.adapter.identity.name), host(other));
        Some((rate(other)?, name))
    };
    others.iter().filter(|other| verdict(other) != Verdict::Wrong).filter_map(named).collect()
}

/// What others wrote with the same file.
fn same_model(report: &Report, others: &[&Report]) -> Rates {
    let file = |report: &Report| report.model.as_ref().map(|model| (model.name.clone(), model.file_bytes));
    let mine = file(report);
    rates(others, |other| {
        writing(other).filter(|_| mine.is_some() && file(other) == mine).map(|t| t.tokens_per_s.median)
    })
}

/// What others would write with the last model of its standard test.
fn same_standard(report: &Report, others: &[&Report]) -> Rates {
    let Some(mine) = report.standard.iter().rfind(|result| result.writing().is_some()) else { return Rates::new() };
    rates(others, |other| {
        let same = other.standard.iter().find(|result| result.model == mine.model)?;
        Some(same.writing()?.tokens_per_s.median)
    })
}

/// Its place among the others: the nearest below and the nearest above.
fn place(rate: f64, mut rates: Rates) -> String {
    sort(&mut rates, |(rate, _)| rising(*rate));
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

/// Whether so much is read for a token that it comes from the memory and not from a cache.
fn is_large(test: &Test) -> bool {
    test.gb_per_s * test.ms_per_token * 1e6 >= LARGE_BYTES
}

/// The share of the memory's bandwidth that writing takes with the largest model tried; `None` where that is a small one, whose
/// share says nothing of others.
#[must_use]
pub fn bandwidth_share(report: &Report) -> Option<f64> {
    let standard = report.standard.iter().rev().find_map(StandardResult::writing);
    let test = standard.or_else(|| writing(report)).filter(|test| is_large(test))?;
    Some(test.gb_per_s / report.probes.limit(ProbeKind::Read)?)
}

/// What share of the memory's bandwidth the weights take, and what that means.
fn bandwidth(report: &Report, test: &Test) -> Option<String> {
    let read = report.probes.limit(ProbeKind::Read)?;
    let share = test.gb_per_s / read;
    let meaning = match share {
        share if share >= 0.5 => "its memory is what sets the speed",
        _ if !is_large(test) => {
            "the model is so small that starting each step takes the time, not the memory: real models come nearer to the limit"
        }
        share if share >= 0.2 => "there is room for faster kernels",
        _ => "reading the weights is not what takes most of the time",
    };
    Some(format!("That takes {} of its memory bandwidth ({} GB/s): {meaning}.", percent(share), figures(read)))
}

/// What the measured bandwidth would allow a model of 8 thousand million parameters, where none of that size was tried.
fn outlook(report: &Report) -> Option<String> {
    if !report.standard.is_empty() {
        return None;
    }
    let read = report.probes.limit(ProbeKind::Read)?;
    let rate = figures(read / GB_OF_8B);
    Some(format!("With this memory a model of 8 billion parameters ({GB_OF_8B} GB) can write at most {rate} tokens/s."))
}

fn gain(report: &Report) -> Option<String> {
    let tuning = report.tuning()?;
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
        // The model's own check says nothing of the others.
        _ if report.check.as_ref().is_some_and(|check| check.verdict == Verdict::Right) => {
            "The small model's numbers are right; those of the large ones were not checked.".to_owned()
        }
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
    fn names_have_the_capitals_of_their_makers() {
        let named = ["nvidia ampere", "google swiftshader", "NVIDIA H200", "not named by the browser"].map(card_name);
        assert_eq!(named, ["NVIDIA Ampere", "Google SwiftShader", "NVIDIA H200", "Unnamed GPU"]);
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

    fn with_standard(report: Report, rates: [f64; 2]) -> Report {
        let result = |(model, median): (&str, f64)| StandardResult {
            model: model.into(),
            tests: vec![Test {
                n_gen: 8,
                tokens_per_s: Spread { n: 1, median, ..Spread::default() },
                ..Test::default()
            }],
            check: Some(Check { verdict: Verdict::Right, ..Check::default() }),
            ..StandardResult::default()
        };
        Report { standard: ["Flash", "8B"].into_iter().zip(rates).map(result).collect(), ..report }
    }

    #[test]
    fn the_standard_test_comes_first_and_counts_among_those_that_have_it() {
        let mut mine = with_standard(report("gpu", 100.0), [50.0, 300.0]);
        let others = [report("toy", 90.0), with_standard(report("card", 80.0), [60.0, 200.0])];
        let others: Vec<&Report> = others.iter().collect();
        let told = headline(&mine, &others).expect("it wrote");
        assert_eq!(
            told.claim,
            "Gpu would write 50.0 tokens/s with Flash and 300 tokens/s with 8B: faster than Card (native)."
        );
        let remarks = told.remarks.join(" ");
        assert!(remarks.contains("It writes 100 tokens/s with toy: faster than 2 results here"), "{remarks}");
        assert!(!remarks.contains("at most") && remarks.contains("are right"), "{remarks}");
        assert_eq!(bandwidth_share(&mine), None, "all are small");
        let large = &mut mine.standard[1].tests[0];
        (large.gb_per_s, large.ms_per_token) = (49.0, 100.0);
        assert_eq!(bandwidth_share(&mine), Some(0.1));
        mine.standard[0].check = None;
        assert!(headline(&mine, &others).expect("it wrote").remarks.join(" ").contains("large ones were not checked"));
        let unchecked = Report { check: None, ..mine.clone() };
        assert!(
            headline(&unchecked, &others).expect("it wrote").remarks.join(" ").contains("The numbers were not checked")
        );
        mine.standard[1].check = Some(Check { verdict: Verdict::Wrong, summary: "stage q".into(), ..Check::default() });
        let told = headline(&mine, &others).expect("it wrote");
        assert!(told.claim.contains("wrong numbers") && told.remarks == ["stage q"], "{told:?}");
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
