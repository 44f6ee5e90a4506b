//! Reports as they come back: from a file, a link, a paste, from anybody. What is read is bounded in size, every number
//! is finite and in a range that later sums cannot leave, and no text holds what a terminal or a browser would obey.
//! An error says where in the text the fault is.

use super::placed::Placed;
use super::published::{PUBLISHED, Published};
use super::{Check, Profile, Report, SCHEMA, Test};
use crate::error::{Error, Result};
use crate::measure::{Spread, StageTime};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// The most entries of a list.
pub const MAX_LIST: usize = 4096;
/// The most reports of one text, and the most figures of a source.
pub const MAX_ENTRIES: usize = 256;
/// The longest string, in bytes.
pub const MAX_STRING: usize = 4096;
/// The greatest number that is not a count: beyond it nothing was measured.
pub const MAX_NUMBER: f64 = 1e18;
/// The least: no figure is negative, but a divergence may be by rounding.
const MIN_NUMBER: f64 = -1e-3;

/// What is compared: a report, or what somebody published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Entry {
    /// Measured by this program.
    Measured(Box<Report>),
    /// Published by somebody, and typed in by hand.
    Published(Published),
}

/// Reads one report, a list of reports, or published figures; a list may hold both.
///
/// # Errors
/// Text that is too long, no JSON, of another schema version, or out of bounds; the error says where.
pub fn read(text: &str) -> Result<Vec<Entry>> {
    if text.len() > MAX_BYTES {
        return Err(Error::file("report", format!("{} bytes", text.len())).expected(format!("at most {MAX_BYTES}")));
    }
    let mut value = value(text, "report")
        .map_err(|error| error.advice("Reports are written by `headstart run --report`, or saved from the page."))?;
    Bounds::default().tame(&mut value).map_err(|error| below("report", error))?;
    match value {
        Value::Array(values) => {
            bounded(values.len(), MAX_ENTRIES, "reports").map_err(|error| below("report", error))?;
            values.into_iter().enumerate().map(|(index, value)| entry(value, &format!("report[{index}]"))).collect()
        }
        value => Ok(vec![entry(value, "report")?]),
    }
}

/// Reads one report of this program's own making, as it passes between its parts: without the bounds that a stranger's is
/// held to.
///
/// # Errors
/// What no report is; the error says where.
pub fn read_own(text: &str) -> Result<Box<Report>> {
    typed(value(text, "report")?, "report")
}

/// A field's place below another.
pub(super) fn place(at: &str, field: &str) -> String {
    format!("{at}.{field}")
}

fn entry(value: Value, at: &str) -> Result<Entry> {
    if value.get("published").is_some() {
        version(&value, "published", PUBLISHED, at)?;
        let published: Published = typed(value, at)?;
        published.check(at)?;
        return Ok(Entry::Published(published));
    }
    version(&value, "schema", SCHEMA, at)?;
    let report: Box<Report> = typed(value, at)?;
    check(&report, at)?;
    Ok(Entry::Measured(report))
}

/// Refuses other versions by name, before anything else of them is looked at.
fn version(value: &Value, field: &str, wanted: u32, at: &str) -> Result<()> {
    let Some(found) = value.get(field) else {
        return Err(Error::file(at, "neither a report nor published figures")
            .expected("an object with `schema` (a report of this program) or `published` (figures typed by hand)"));
    };
    if found.as_u64() == Some(wanted.into()) {
        return Ok(());
    }
    let by = value.get("program").and_then(Value::as_str).map(|by| format!(", by version {by}")).unwrap_or_default();
    let error = Error::file(place(at, field), format!("version {found} of the layout{by}"));
    Err(error.expected(format!("version {wanted}")).advice(match field {
        "schema" => "Measure again with this version of headstart, or compare with the one that wrote the report.",
        _ => "Type the figures in as the present docs/reports.md describes.",
    }))
}

/// JSON, whatever it holds.
pub(in crate::measure) fn value(text: &str, thing: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| Error::file(thing, format!("no JSON: {error}")))
}

/// What a value stands for. All that is read goes this one way, as each other would make the page larger.
pub(in crate::measure) fn typed<T: DeserializeOwned>(value: Value, at: &str) -> Result<T> {
    T::deserialize(Placed(value)).map_err(|fault| Error::file(format!("{at}{}", fault.path()), fault.to_string()))
}

/// How much of everything a report may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    list: usize,
    string: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { list: MAX_LIST, string: MAX_STRING }
    }
}

impl Bounds {
    /// Refuses lists, strings and numbers beyond the bounds, and makes characters visible that would be obeyed. The
    /// thing at fault is named by its path from here, put together only where there is a fault.
    fn tame(self, value: &mut Value) -> Result<()> {
        match value {
            Value::Null | Value::Bool(_) => Ok(()),
            // Counts go up to 2^64; every sum of them saturates.
            Value::Number(number) if number.is_u64() => Ok(()),
            Value::Number(number) => self.number(number.as_f64().unwrap_or(f64::NAN), ""),
            Value::String(text) => {
                bounded(text.len(), self.string, "bytes of text")?;
                if text.contains(is_obeyed) {
                    *text = printable(text);
                }
                Ok(())
            }
            Value::Array(values) => {
                bounded(values.len(), self.list, "entries")?;
                let mut values = values.iter_mut().enumerate();
                values.try_for_each(|(index, value)| {
                    self.tame(value).map_err(|error| below(&format!("[{index}]"), error))
                })
            }
            Value::Object(fields) => {
                bounded(fields.len(), self.list, "fields")?;
                fields.iter_mut().try_for_each(|(name, value)| {
                    let name = || printable(&name.chars().take(64).collect::<String>());
                    self.tame(value).map_err(|error| below(&format!(".{}", name()), error))
                })
            }
        }
    }

    /// Refuses a number that nothing measured can be.
    pub(super) fn number(self, number: f64, at: &str) -> Result<()> {
        // Asked this way round, NaN is refused as well.
        if (MIN_NUMBER..=MAX_NUMBER).contains(&number) {
            return Ok(());
        }
        Err(Error::file(at, format!("{number:e}")).expected(format!("a number from 0 to {MAX_NUMBER:e}")))
    }
}

/// The same fault, seen from one step further out.
fn below(step: &str, error: Error) -> Error {
    Error { thing: step.to_owned() + &error.thing, ..error }
}

fn bounded(n: usize, most: usize, of: &str) -> Result<()> {
    if n <= most { Ok(()) } else { Err(Error::file("", format!("{n} {of}")).expected(format!("at most {most}"))) }
}

/// Characters that a terminal or a browser obeys instead of showing them: controls, those that turn the direction of
/// the text, so that a name reads as another, and those that no XML may hold.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// The text with such characters shown by their numbers.
#[must_use]
pub fn printable(text: &str) -> String {
    let shown = |c: char| if is_obeyed(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// Refuses a report that contradicts itself: what is drawn from it would be nonsense.
fn check(report: &Report, at: &str) -> Result<()> {
    for (index, probe) in report.probes.0.iter().enumerate() {
        spread(&probe.value, &format!("{at}.probes[{index}].value"))?;
    }
    tests(&report.tests, &place(at, "tests"))?;
    for (index, result) in report.standard.iter().enumerate() {
        let at = format!("{at}.standard[{index}]");
        tests(&result.tests, &place(&at, "tests"))?;
        tests(&result.measured, &place(&at, "measured"))?;
        result.check.as_ref().map_or(Ok(()), |check| counts(check, &place(&at, "check")))?;
    }
    for (index, profile) in report.profiles.iter().enumerate() {
        stages(profile, &format!("{at}.profiles[{index}]"))?;
    }
    report.check.as_ref().map_or(Ok(()), |check| counts(check, &place(at, "check")))
}

fn tests(tests: &[Test], at: &str) -> Result<()> {
    for (index, test) in tests.iter().enumerate() {
        let at = format!("{at}[{index}]");
        if test.n_prompt == 0 && test.n_gen == 0 {
            return Err(Error::file(at, "a test of no tokens").expected("n_prompt or n_gen above 0"));
        }
        spread(&test.tokens_per_s, &place(&at, "tokens_per_s"))?;
    }
    Ok(())
}

fn counts(check: &Check, at: &str) -> Result<()> {
    let most = |n: u32, of: u32, field: &str| {
        let error = || Error::file(place(at, field), format!("{n} of {of}")).expected("no more than there are");
        if n <= of { Ok(()) } else { Err(error()) }
    };
    if let Some(kernels) = &check.kernels {
        most(kernels.n_wrong, kernels.n_cases, "kernels.n_wrong")?;
    }
    for other in &check.others {
        most(other.tokens.n_same, other.tokens.n_tokens, "others.tokens.n_same")?;
    }
    check.tokens.map_or(Ok(()), |tokens| most(tokens.n_same, tokens.n_tokens, "tokens.n_same"))
}

fn spread(spread: &Spread, at: &str) -> Result<()> {
    // The mean of equal figures may differ from them by rounding.
    let rounding = 1e-9 * spread.max;
    let inside = |value: f64| spread.min - rounding <= value && value <= spread.max + rounding;
    if inside(spread.median) && inside(spread.mean) {
        return Ok(());
    }
    let found = format!("median {} and mean {} of {} to {}", spread.median, spread.mean, spread.min, spread.max);
    Err(Error::file(at, found).expected("both from the least to the greatest"))
}

fn stages(profile: &Profile, at: &str) -> Result<()> {
    let layers = profile.layers.iter().flat_map(|layer| &layer.stages);
    let is_share = |stage: &StageTime| (0.0..=1.0 + 1e-9).contains(&stage.share);
    match profile.stages.iter().chain(layers).find(|stage| !is_share(stage)) {
        Some(stage) => {
            let error = Error::file(at, format!("stage {:?} has {} of the step", stage.name, stage.share));
            Err(error.expected("a share from 0 to 1"))
        }
        None => Ok(()),
    }
}
