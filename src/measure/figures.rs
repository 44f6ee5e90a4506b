//! The list of figures: what each is called, its unit, where it lives in a report, how it is rounded, which way is better,
//! and where it is shown. Terminal, CSV, comparison, panel and page render this list; none has names of its own. The limits
//! of an adapter are listed by their kinds ([`ProbeKind`](super::report::ProbeKind)), which say the same of each.

use super::report::{Load, MemoryBytes, NO_NUMBER, Share, StepGain, Test, TextTimes, TokenCheck};
use super::rounded::{bytes, figures, millis, percent, share};
use super::spread::Spread;
use serde::Serialize;

/// A figure of a part `T` of a report.
pub struct Figure<T: 'static> {
    /// Its name for programs: the column of CSV, JSON and SQL.
    pub id: &'static str,
    /// Its name for people, beside that of what it is of; empty for the figure that a test is run for.
    pub title: &'static str,
    /// Its unit; empty where the text of a value has it.
    pub unit: &'static str,
    /// How a value becomes text.
    pub round: Round,
    /// Which way is better.
    pub better: Better,
    /// Where it lives.
    pub of: Of<T>,
    /// Whether a person is told of it: not of what was not measured, nor of what another figure says already.
    pub tells: fn(&T) -> bool,
    /// Where it is shown.
    pub shown: &'static [Shown],
}

/// Where a figure lives in its part of a report.
pub enum Of<T> {
    /// One number.
    Number(fn(&T) -> Option<f64>),
    /// Repeated measurements, of which the median is the figure.
    Spread(fn(&T) -> Spread),
    /// A share of a limit.
    Share(fn(&T) -> Option<Share>),
}

/// How a value becomes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Three figures that count.
    Figures,
    /// The same, and seconds where there are many milliseconds.
    Millis,
    /// In the binary unit that suits.
    Bytes,
    /// In per cent.
    Percent,
    /// A power of ten: what is tiny where all is well.
    Tiny,
    /// A whole number.
    Count,
}

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More of it.
    More,
    /// Less of it.
    Less,
    /// Neither: it says what something is.
    #[default]
    Neither,
}

/// A place where figures are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A column of CSV, JSON and SQL.
    Column,
    /// A column of the tables of tests: its heading on the page, and the short one in a terminal, which say its unit or leave it
    /// to the cell; and what a cell without a value shows.
    Table {
        /// On the page.
        heading: &'static str,
        /// In a terminal of 80 columns.
        short: &'static str,
        /// Whether the headings name the unit.
        has_unit: bool,
        /// What stands for a value that is not there.
        absent: &'static str,
    },
    /// Below the table, in a line for each test.
    Below,
    /// A row of comparisons.
    Compared,
    /// A row of the panel after a run.
    Panel,
}

use Better::{Less, More, Neither};
use Of::Number;
use Shown::{Below, Column, Compared, Panel, Table};

/// The unit of speed.
pub const TOKENS_PER_S: &str = "tokens/s";

/// Tests of speed.
pub const TESTS: [Figure<Test>; 14] = [
    Figure {
        of: Of::Spread(|test| test.tokens_per_s),
        tells: has_time,
        shown: &[Column, table("tokens/s", "t/s", true, "–"), Compared],
        ..figure("tokens_per_s", "", TOKENS_PER_S, More)
    },
    Figure {
        of: Number(|test| Some(test.tokens_per_s.sd)),
        ..figure("tokens_per_s_sd", "standard deviation", TOKENS_PER_S, Less)
    },
    Figure {
        of: Number(|test| Some(test.tokens_per_s.mean)),
        ..figure("tokens_per_s_mean", "mean", TOKENS_PER_S, More)
    },
    Figure {
        of: Number(|test| Some(test.tokens_per_s.min)),
        ..figure("tokens_per_s_min", "least", TOKENS_PER_S, More)
    },
    Figure {
        of: Number(|test| Some(test.tokens_per_s.max)),
        ..figure("tokens_per_s_max", "greatest", TOKENS_PER_S, More)
    },
    Figure {
        of: Number(|test| Some(test.ms_per_token)),
        tells: has_time,
        shown: &[Column, table("ms per token", "ms/token", true, "–"), Compared],
        ..figure("ms_per_token", "a token", "ms", Less)
    },
    Figure {
        of: Number(|test| test.first_token_ms),
        shown: &[Column, table("first token", "first", false, "–"), Compared],
        ..figure("first_token_ms", "first token", "ms", Less)
    },
    Figure {
        of: Number(|test| Some(test.prefill_ms)),
        tells: |test| has_both(test) && test.prefill_ms > 0.0,
        shown: &[Column, Below, Compared],
        ..figure("prefill_ms", "prefill", "ms", Less)
    },
    Figure {
        of: Number(|test| Some(test.decode_ms)),
        tells: |test| has_both(test) && test.decode_ms > 0.0,
        shown: &[Column, Below, Compared],
        ..figure("decode_ms", "decode", "ms", Less)
    },
    Figure {
        of: Number(|test| Some(test.bytes_per_token as f64)),
        round: Round::Count,
        ..figure("bytes_per_token", "bytes of a token", "", Neither)
    },
    Figure {
        of: Number(|test| Some(test.ops_per_token as f64)),
        round: Round::Count,
        ..figure("ops_per_token", "operations of a token", "", Neither)
    },
    Figure {
        of: Number(|test| Some(test.gb_per_s)),
        tells: |test| test.gb_per_s > 0.0,
        shown: &[Column, table("GB/s", "GB/s", true, "–"), Compared],
        ..figure("gb_per_s", "bytes moved", "GB/s", More)
    },
    Figure {
        of: Number(|test| test.streaming_ms),
        shown: &[Column, Below, Compared],
        ..figure("streaming_ms", "streaming of a token", "ms", Less)
    },
    Figure {
        of: Number(|test| test.rest_ms),
        shown: &[Column, Below, Compared],
        ..figure("rest_ms", "the rest of a token", "ms", Less)
    },
];

/// How near a test comes to the adapter's limit: the last column of the tables of tests.
pub const TEST_SHARE: Figure<Test> = Figure {
    of: Of::Share(|test| test.share.filter(|share| share.share.is_finite())),
    round: Round::Percent,
    shown: &[Column, table("of its limit", "share", true, "not probed")],
    ..figure("share", "share of the limit", "", More)
};

/// A text that was written. Names speak of its prompt and of the tokens written: `PROMPT`, `WRITTEN`.
pub const TEXT: [Figure<TextTimes>; 5] = [
    Figure {
        of: Number(|text| Some(text.prefill.tokens_per_s)),
        tells: |text| text.prefill.tokens_per_s > 0.0,
        shown: &[Compared, Panel],
        ..figure("prefill_tokens_per_s", "prompt of PROMPT", TOKENS_PER_S, More)
    },
    Figure {
        of: Number(|text| text.first_token_ms),
        shown: &[Compared, Panel],
        ..figure("first_token_ms", "first token after PROMPT", "ms", Less)
    },
    Figure {
        of: Number(|text| Some(text.decode?.tokens_per_s)),
        shown: &[Compared, Panel],
        ..figure("decode_tokens_per_s", "WRITTEN tokens after PROMPT", TOKENS_PER_S, More)
    },
    Figure {
        of: Number(|text| Some(text.decode?.median_ms)),
        shown: &[Compared, Panel],
        ..figure("ms_per_token", "WRITTEN tokens after PROMPT, a token", "ms", Less)
    },
    Figure {
        of: Number(|text| text.decode?.encode_share),
        round: Round::Percent,
        shown: &[Panel],
        ..figure("encode_share", "CPU encode share", "", Less)
    },
];

/// Loading.
pub const LOAD: [Figure<Load>; 5] = [
    Figure {
        of: Number(|load| Some(load.directory_ms)),
        shown: &[Compared],
        ..figure("directory_ms", "directory", "ms", Less)
    },
    Figure { of: Number(|load| Some(load.upload_ms)), shown: &[Compared], ..figure("upload_ms", "upload", "ms", Less) },
    Figure {
        of: Number(|load| Some(load.directory_ms + load.upload_ms)),
        shown: &[Column, Panel],
        ..figure("load_ms", "load", "ms", Less)
    },
    Figure {
        of: Number(|load| Some(load.compile_ms)),
        shown: &[Column, Panel, Compared],
        ..figure("compile_ms", "shader compile", "ms", Less)
    },
    Figure {
        of: Number(|load| Some(load.directory_ms + load.upload_ms + load.compile_ms)),
        shown: &[Compared],
        ..figure("ready_ms", "in all", "ms", Less)
    },
];

/// Memory on the adapter.
pub const MEMORY: [Figure<MemoryBytes>; 4] = [
    Figure { of: Number(|memory| Some(memory.weights as f64)), ..in_bytes("weights_bytes", "weights") },
    Figure { of: Number(|memory| Some(memory.cache as f64)), ..in_bytes("cache_bytes", "cache") },
    Figure { of: Number(|memory| Some(memory.scratch as f64)), ..in_bytes("scratch_bytes", "scratch") },
    Figure {
        of: Number(|m| Some(m.weights.saturating_add(m.cache).saturating_add(m.scratch) as f64)),
        ..in_bytes("memory_bytes", "in all")
    },
];

/// Tokens held against the CPU executor's.
pub const TOKENS: [Figure<TokenCheck>; 4] = [
    Figure {
        of: Number(|tokens| (tokens.n_tokens > 0).then(|| f64::from(tokens.n_same) / f64::from(tokens.n_tokens))),
        round: Round::Percent,
        shown: &[Compared],
        ..figure("same_likeliest", "same likeliest token", "", More)
    },
    Figure { of: Number(|tokens| Some(tokens.kl_mean)), ..nats("kl_mean", "KL divergence, mean") },
    Figure { of: Number(|tokens| Some(tokens.kl_p999)), ..nats("kl_p999", "KL divergence, 99.9 %") },
    Figure { of: Number(|tokens| Some(tokens.kl_max)), ..nats("kl_max", "KL divergence, worst token") },
];

/// What a search gained: whole steps by the guess and by the choices, each the median of one run by turns.
pub const GAINS: [Figure<StepGain>; 3] = [
    Figure {
        of: Number(|step| Some(step.untuned_ms)),
        shown: &[Compared],
        ..figure("untuned_ms", "untuned", "ms", Less)
    },
    Figure { of: Number(|step| Some(step.tuned_ms)), shown: &[Compared], ..figure("tuned_ms", "tuned", "ms", Less) },
    Figure { of: Number(|step| Some(step.gain())), shown: &[Compared], ..figure("gain", "times as fast", "", More) },
];

/// A figure that is shown where it was measured, as three figures or as milliseconds, and is a column of CSV and no more.
const fn figure<T>(id: &'static str, title: &'static str, unit: &'static str, better: Better) -> Figure<T> {
    let round = if matches!(unit.as_bytes(), b"ms") { Round::Millis } else { Round::Figures };
    Figure { id, title, unit, round, better, of: Number(|_| None), tells: |_| true, shown: &[Column] }
}

const fn in_bytes<T>(id: &'static str, title: &'static str) -> Figure<T> {
    Figure { round: Round::Bytes, shown: &[Compared, Panel], ..figure(id, title, "", Less) }
}

const fn nats<T>(id: &'static str, title: &'static str) -> Figure<T> {
    Figure { round: Round::Tiny, shown: &[Compared], ..figure(id, title, "nats", Less) }
}

const fn table(heading: &'static str, short: &'static str, has_unit: bool, absent: &'static str) -> Shown {
    Table { heading, short, has_unit, absent }
}

/// A rate of nothing is a test that gave no time.
fn has_time(test: &Test) -> bool {
    test.tokens_per_s.median > 0.0
}

/// A test of one kind says it all by its speed; one of both says how its time was shared.
fn has_both(test: &Test) -> bool {
    test.n_prompt > 0 && test.n_gen > 0
}

impl<T> Figure<T> {
    /// Whether it is shown in a place.
    #[must_use]
    pub fn is_shown(&self, place: Shown) -> bool {
        self.shown.contains(&place)
    }

    /// Its value, in its unit.
    #[must_use]
    pub fn value(&self, part: &T) -> Option<f64> {
        match self.of {
            Number(of) => of(part),
            Of::Spread(of) => Some(of(part).median),
            Of::Share(of) => of(part).map(|share| share.share),
        }
    }

    /// All measurements of it, where it was measured repeatedly.
    #[must_use]
    pub fn spread(&self, part: &T) -> Option<Spread> {
        match self.of {
            Of::Spread(of) => Some(of(part)).filter(|spread| spread.sd.is_finite()),
            _ => None,
        }
    }

    /// For a place that names the unit itself: `98.2 ± 1.20`.
    #[must_use]
    pub fn bare(&self, part: &T) -> Option<String> {
        match self.of {
            Number(of) => of(part).map(|value| self.round.bare(value)),
            Of::Spread(of) => Some(with_sd(&of(part))),
            Of::Share(of) => of(part).as_ref().map(share),
        }
    }

    /// With its unit: `98.2 tokens/s`.
    #[must_use]
    pub fn told(&self, part: &T) -> Option<String> {
        self.value(part).map(|value| self.round.told(value, self.unit))
    }
}

/// The columns of a table of tests.
pub fn columns() -> impl Iterator<Item = (&'static Figure<Test>, Shown)> {
    const ALL: &[Figure<Test>] = &TESTS;
    const SHARE: &Figure<Test> = &TEST_SHARE;
    let column = |figure: &'static Figure<Test>| {
        let place = figure.shown.iter().copied().find(|place| matches!(place, Table { .. }))?;
        Some((figure, place))
    };
    ALL.iter().chain([SHARE]).filter_map(column)
}

/// A test's cells under [`columns`].
pub fn cells(test: &Test) -> impl Iterator<Item = String> {
    columns().map(|(figure, place)| match place {
        Table { has_unit, absent, .. } => {
            let text = if has_unit { figure.bare(test) } else { figure.told(test) };
            text.unwrap_or_else(|| absent.to_owned())
        }
        _ => String::new(),
    })
}

/// What stands below a table of tests: how the time of one was shared; `None` where that is not known.
#[must_use]
pub fn below(test: &Test) -> Option<String> {
    let told = TESTS.iter().filter(|figure| figure.is_shown(Below) && (figure.tells)(test));
    let parts: Vec<String> =
        told.filter_map(|figure| Some(format!("{} {}", figure.title, figure.told(test)?))).collect();
    (!parts.is_empty()).then(|| format!("{}: {}", test.name(), parts.join(", ")))
}

impl Round {
    /// For a place that names the unit itself.
    #[must_use]
    pub fn bare(self, value: f64) -> String {
        match self {
            Self::Millis if value >= MANY_MS => millis(value),
            Self::Figures | Self::Millis => number(value),
            Self::Bytes => bytes(value as u64),
            Self::Percent => percent(value),
            // A check writes a number past all measure where it found none.
            Self::Tiny if value > NO_NUMBER / 1e9 => "no number".to_owned(),
            Self::Tiny => format!("{value:.1e}"),
            Self::Count => format!("{value:.0}"),
        }
    }

    fn told(self, value: f64, unit: &str) -> String {
        match self {
            Self::Millis => millis(value),
            Self::Figures => format!("{} {unit}", figures(value)).trim_end().to_owned(),
            _ => self.bare(value),
        }
    }
}

/// From here on milliseconds are told in seconds.
const MANY_MS: f64 = 10_000.0;

impl Better {
    /// An arrow beside the unit: `↑` where more is better.
    #[must_use]
    pub fn arrow(self) -> &'static str {
        match self {
            Self::More => "↑",
            Self::Less => "↓",
            Self::Neither => "",
        }
    }
}

/// The median and the standard deviation, which one measurement has not.
#[must_use]
pub fn with_sd(spread: &Spread) -> String {
    let median = number(spread.median);
    if spread.n > 1 && spread.sd.is_finite() { format!("{median} ± {}", number(spread.sd)) } else { median }
}

/// Three figures that count, also of what is small or very great.
#[must_use]
pub fn number(n: f64) -> String {
    match n.abs() {
        size if size >= 1e7 => format!("{n:.2e}"),
        size if size > 0.0 && size < 0.01 => format!("{n:.1e}"),
        _ => figures(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::report::{ProbeKind, Share};
    use std::collections::BTreeSet;

    fn tested() -> Test {
        Test {
            n_prompt: 2,
            n_gen: 3,
            tokens_per_s: Spread { n: 2, median: 98.2, sd: 1.2, ..Spread::default() },
            ms_per_token: 10.2,
            first_token_ms: Some(12_500.0),
            prefill_ms: 4.0,
            decode_ms: 5.0,
            gb_per_s: 3.0,
            share: Some(Share { of: ProbeKind::Read, share: 0.5 }),
            streaming_ms: Some(1.0),
            rest_ms: Some(9.2),
            ..Test::default()
        }
    }

    #[test]
    fn a_test_is_shown_by_the_list() {
        let headings: Vec<_> = columns()
            .filter_map(|(_, place)| match place {
                Table { heading, short, .. } => Some((heading, short)),
                _ => None,
            })
            .collect();
        assert_eq!(headings.len(), 5);
        assert_eq!((headings[0], headings[4]), (("tokens/s", "t/s"), ("of its limit", "share")));
        let cells = |test: &Test| cells(test).collect::<Vec<_>>();
        assert_eq!(cells(&tested()), ["98.2 ± 1.20", "10.2", "12.5 s", "3.00", "50.0 % of read"]);
        assert_eq!(cells(&Test { first_token_ms: None, share: None, ..tested() })[2..], ["–", "3.00", "not probed"]);
        let told =
            "pp2+tg3: prefill 4.00 ms, decode 5.00 ms, streaming of a token 1.00 ms, the rest of a token 9.20 ms";
        assert_eq!(below(&tested()).as_deref(), Some(told));
        assert_eq!(below(&Test { n_prompt: 0, streaming_ms: None, rest_ms: None, ..tested() }), None);
    }

    #[test]
    fn every_figure_has_a_name_of_its_own_and_a_place() {
        fn check<T>(all: &[Figure<T>]) {
            let ids: BTreeSet<&str> = all.iter().map(|figure| figure.id).collect();
            let titles: BTreeSet<&str> = all.iter().map(|figure| figure.title).collect();
            assert_eq!((ids.len(), titles.len()), (all.len(), all.len()));
            assert!(all.iter().all(|figure| !figure.shown.is_empty()));
        }
        check(&TESTS);
        check(&TEXT);
        check(&LOAD);
        check(&MEMORY);
        check(&TOKENS);
        check(&GAINS);
    }

    #[test]
    fn values_are_rounded_to_what_counts() {
        assert_eq!([number(1e9), number(0.001), number(0.0), number(12.34)], ["1.00e9", "1.0e-3", "0.00", "12.3"]);
        let [first, ..] = &LOAD;
        let load = Load { directory_ms: 12_500.0, ..Load::default() };
        assert_eq!((first.bare(&load), first.told(&load)), (Some("12.5 s".into()), Some("12.5 s".into())));
        let load = Load { directory_ms: 5.0, ..Load::default() };
        assert_eq!((first.bare(&load), first.told(&load)), (Some("5.00".into()), Some("5.00 ms".into())));
        assert_eq!((Round::Tiny.bare(NO_NUMBER), Round::Tiny.bare(2e-12)), ("no number".into(), "2.0e-12".into()));
    }
}
