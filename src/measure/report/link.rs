//! A report as a short text for a link's fragment: what tells the adapter, its figures and the verdict, and no profile, so
//! that the whole address stays under 600 characters. `2.`, then compact JSON, deflated, in the alphabet of addresses.
//! Nothing is sent anywhere: the link is the report. `1.` carried whole reports, and is still read.

use super::read::{Entry, MAX_BYTES, MAX_NUMBER, read};
use super::{Check, Host, ModelFacts, Platform, Probe, ProbeKind, Probes, Report, Settings, Share, StepGain, Test};
use super::{StandardResult, TuningFacts, TuningSource, Verdict, per_second};
use crate::error::{Error, Result};
use crate::gpu::adapter::Identity;
use crate::measure::{AdapterFacts, Spread};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use serde::{Deserialize, Serialize};
use std::io::Read;

/// Which packing it is: what [`pack`] makes, and whole reports.
const SHORT: &str = "2.";
const WHOLE: &str = "1.";
/// The longest link that is looked at, in characters.
const MAX_LINK: usize = 1 << 20;

/// So much of a text is carried, in bytes.
const MAX_TEXT: usize = 40;
/// So many tests are carried.
const MAX_TESTS: usize = 4;
/// So many models of the standard test are.
const MAX_STANDARD: usize = 2;

/// What a link carries. Its keys are single letters: each stands in every address.
#[derive(Serialize, Deserialize)]
struct Short {
    /// Version of the program, and when it was measured: seconds since 1970.
    p: String,
    t: u64,
    /// The adapter's name, backend and kind.
    a: (String, String, String),
    /// Host, system, browser.
    h: (Host, String, Option<String>),
    /// The model's name, bytes, format, parameters and context.
    m: Option<(String, u64, String, u64, u32)>,
    /// How often the tests were repeated.
    r: u32,
    /// The tests.
    s: Vec<ShortTest>,
    /// Limits: kind, median, whether the result was right.
    l: Vec<(ProbeKind, f64, bool)>,
    /// What tuning gained: tokens of the step, milliseconds before and after.
    g: Option<Vec<(u32, f64, f64)>>,
    /// The verdict of the check, where there was one.
    v: Option<Verdict>,
    /// The standard test: its models, the verdict, the tests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    k: Vec<ShortStandard>,
}

/// A whole model: its name, verdict and tests.
type ShortStandard = (String, Option<Verdict>, Vec<ShortRate>);

/// Tokens of the prompt, tokens written, likely tokens/s, bytes in 10^9 per second.
type ShortRate = (u32, u32, f64, f64);

/// Tokens of the prompt, tokens written, tokens before them; repetitions, median and deviation of tokens/s; milliseconds
/// per token, bytes in 10^9 per second, share of a limit.
type ShortTest = (u32, u32, u32, u32, f64, f64, f64, f64, Option<(ProbeKind, f64)>);

/// A report as text of the characters `A–Z a–z 0–9 - _ .`: adapter, figures and verdict. The receiver reads the same
/// rates as the sender did; the other figures have four digits.
#[must_use]
pub fn pack(report: &Report) -> String {
    let json = serde_json::to_vec(&Short::of(report)).unwrap_or_default();
    let mut packed = Vec::new();
    // Neither reading from memory nor writing to it can fail.
    let _ = DeflateEncoder::new(&json[..], Compression::best()).read_to_end(&mut packed);
    SHORT.to_owned() + &URL_SAFE_NO_PAD.encode(packed)
}

impl Short {
    fn of(report: &Report) -> Self {
        let (identity, platform) = (&report.adapter.identity, &report.platform);
        let test = |test: &Test| {
            let rate = test.tokens_per_s;
            let share = test.share.map(|share| (share.of, digits(share.share)));
            let (ms, gb_per_s) = (digits(test.ms_per_token), digits(test.gb_per_s));
            (test.n_prompt, test.n_gen, test.depth, rate.n, shown(rate.median), digits(rate.sd), ms, gb_per_s, share)
        };
        // Of those who ran the standard test, the small model's tests tell little.
        let most_tests = if report.standard.is_empty() { MAX_TESTS } else { 2 };
        let limits = |kind: &ProbeKind| matches!(kind, ProbeKind::Read | ProbeKind::FmaF32);
        let gain = |step: &StepGain| (step.n_tokens, digits(step.untuned_ms), digits(step.tuned_ms));
        Self {
            p: cut(&report.program),
            t: report.measured_at,
            a: (cut(&identity.name), cut(&identity.backend), cut(&identity.kind)),
            h: (platform.host, cut(&platform.os), platform.browser.as_deref().map(cut)),
            m: report
                .model
                .as_ref()
                .map(|model| (cut(&model.name), model.file_bytes, cut(&model.format), model.n_params, model.n_context)),
            r: report.settings.as_ref().map_or(0, |settings| settings.repeats),
            s: report.tests.iter().take(most_tests).map(test).collect(),
            l: report
                .probes
                .0
                .iter()
                .filter(|probe| limits(&probe.kind))
                .take(2)
                .map(|p| (p.kind, digits(p.value.median), p.right))
                .collect(),
            g: report.tuning().map(|tuning| tuning.gains.iter().take(2).map(gain).collect()),
            v: report.check.as_ref().map(|check| check.verdict),
            k: report.standard.iter().take(MAX_STANDARD).map(short_standard).collect(),
        }
    }

    /// The report again, as far as it was carried.
    fn report(self) -> Report {
        let once = |median| Spread { n: 1, median, mean: median, sd: 0.0, min: median, max: median };
        let test = |(n_prompt, n_gen, depth, n, median, sd, ms_per_token, gb_per_s, share): ShortTest| Test {
            n_prompt,
            n_gen,
            depth,
            tokens_per_s: Spread { n, sd, ..once(median) },
            ms_per_token,
            gb_per_s,
            share: share.map(|(of, share)| Share { of, share }),
            ..Test::default()
        };
        let (name, backend, kind) = self.a;
        let (host, os, browser) = self.h;
        let adapter = AdapterFacts {
            identity: Identity { name, backend, kind, ..Identity::default() },
            ..AdapterFacts::unknown()
        };
        let gain = |(n_tokens, untuned_ms, tuned_ms)| StepGain { n_tokens, untuned_ms, tuned_ms };
        let rate = |(n_prompt, n_gen, median, gb_per_s): ShortRate| Test {
            n_prompt,
            n_gen,
            tokens_per_s: once(median),
            ms_per_token: per_second(1.0, median).min(MAX_NUMBER),
            gb_per_s,
            ..Test::default()
        };
        let check = |verdict| Check { verdict, summary: "as the sender's report says".into(), ..Check::default() };
        let standard = |(model, verdict, tests): ShortStandard| StandardResult {
            model,
            check: verdict.map(check),
            tests: tests.into_iter().map(rate).collect(),
            ..StandardResult::default()
        };
        Report {
            program: self.p,
            measured_at: self.t,
            model: self.m.map(|(name, file_bytes, format, n_params, n_context)| ModelFacts {
                name,
                file_bytes,
                sha256: None,
                n_params,
                format,
                n_context,
            }),
            settings: Some(Settings { repeats: self.r, shader_checks: host == Host::Browser, ..Settings::default() }),
            tests: self.s.into_iter().map(test).collect(),
            probes: Probes(
                self.l.into_iter().map(|(kind, median, right)| Probe { kind, value: once(median), right }).collect(),
            ),
            tuning: self.g.map(|gains| TuningFacts {
                source: TuningSource::Kept,
                gains: gains.into_iter().map(gain).collect(),
                ..TuningFacts::default()
            }),
            check: self.v.map(check),
            standard: self.k.into_iter().map(standard).collect(),
            ..Report::of_adapter(Platform { host, os, browser, clock_us: 0.0 }, adapter)
        }
    }
}

fn short_standard(result: &StandardResult) -> ShortStandard {
    let rate = |test: &Test| (test.n_prompt, test.n_gen, shown(test.tokens_per_s.median), digits(test.gb_per_s));
    let tests = result.tests.iter().take(2).map(rate).collect();
    (cut(&result.model), result.check.as_ref().map(|check| check.verdict), tests)
}

/// A number with four digits: a link has no room for more, and no timing is that sure.
fn digits(n: f64) -> f64 {
    format!("{n:.3e}").parse().unwrap_or(0.0)
}

/// A number in seven digits that rounds to fewer as the whole number does. Rounding 36.4497 first to 36.45 and then to 36.5
/// would show the receiver another figure than the sender, so what is cut off is not rounded: it leaves a trace in a last
/// digit that would otherwise be taken for a whole or a half.
fn shown(n: f64) -> f64 {
    let whole = format!("{n:e}");
    let Some((mantissa, power)) = whole.split_once('e') else { return 0.0 };
    let (kept, rest) = mantissa.split_at(mantissa.len().min("1.234567".len()));
    let trace = if !rest.is_empty() && kept.ends_with(['0', '5']) { "1" } else { "" };
    format!("{kept}{trace}e{power}").parse().unwrap_or(0.0)
}

/// As much of a text as a link has room for.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

/// The report of a link.
///
/// # Errors
/// A text that [`pack`] did not make, or made of a report that [`read`] refuses; the error says which.
pub fn unpack(link: &str) -> Result<Report> {
    let fault = |found: String| Error::file("report in the link", found).advice("Copy the whole link once more.");
    let (is_whole, packed) = match (link.strip_prefix(SHORT), link.strip_prefix(WHOLE)) {
        (Some(packed), _) => (false, packed),
        (None, Some(packed)) => (true, packed),
        (None, None) => {
            let begin: String = link.chars().take(8).collect();
            let expected = format!("{SHORT:?} or {WHOLE:?}, this program's packings");
            return Err(fault(format!("it begins with {begin:?}")).expected(expected));
        }
    };
    if packed.len() > MAX_LINK {
        return Err(fault(format!("{} characters", packed.len())).expected(format!("at most {MAX_LINK}")));
    }
    let packed = URL_SAFE_NO_PAD.decode(packed).map_err(|error| fault(format!("no base64url: {error}")))?;
    let mut json = String::new();
    // A little text can unpack to very much: no more is taken than may be read.
    let most = MAX_BYTES as u64 + 1;
    DeflateDecoder::new(&packed[..])
        .take(most)
        .read_to_string(&mut json)
        .map_err(|error| fault(format!("it does not unpack: {error}")))?;
    if !is_whole {
        // Read as a report of anybody's is: its bounds hold for a link as well.
        let short: Short = serde_json::from_str(&json).map_err(|error| fault(format!("no report: {error}")))?;
        json = serde_json::to_string(&short.report()).unwrap_or_default();
    }
    match <[Entry; 1]>::try_from(read(&json)?) {
        Ok([Entry::Measured(report)]) => Ok(*report),
        _ => Err(fault("no report".into()).expected("one measured report")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::panel::figures;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_shown_alike_on_both_sides() {
        for n in [36.4497, 36.44999996, 36.45, 36.350000001, 9.995, 99.9499999, 1_234.499_999_9, 0.125, 7.0, 0.0] {
            assert_eq!(figures(shown(n)), figures(n), "{n}");
        }
        assert_eq!(shown(f64::NAN), 0.0);
    }

    proptest! {
        #[test]
        fn any_rate_is_shown_alike_and_carried_once(n in 0.01..100_000.0f64, tie in 0..100_000u32) {
            for n in [n, f64::from(tie) / 200.0, f64::from(tie) / 200.0 - 1e-9] {
                prop_assert_eq!(figures(shown(n)), figures(n), "{}", n);
                prop_assert_eq!(shown(shown(n)), shown(n));
            }
        }
    }
}
