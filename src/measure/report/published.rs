//! Figures that somebody published of a machine that headstart cannot run on: a small JSON that is typed by hand. They
//! are not measured here, and are marked so in every table.
//!
//! ```json
//! {
//!   "published": 1,
//!   "machine": "Ascend 910B",
//!   "model": "DeepSeek-V4-Flash.gguf",
//!   "figures": [{ "name": "tg128", "value": 31.5, "unit": "tokens/s" }],
//!   "source": "https://example.org/launch",
//!   "date": "2026-10-30"
//! }
//! ```

use super::read::{Bounds, MAX_ENTRIES, place};
use crate::error::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the layout below.
pub const PUBLISHED: u32 = 1;

/// What a source says of a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The version of this layout: 1.
    pub published: u32,
    /// The machine's name, as the source has it.
    pub machine: String,
    /// The name of the model's file as reports have it, if the figures are of one. Only then do they stand beside
    /// measured ones.
    #[serde(default)]
    pub model: Option<String>,
    /// The figures, at least one.
    pub figures: Vec<PublishedFigure>,
    /// Where they were published: an http or https address.
    pub source: String,
    /// When: `2026-10-30`.
    pub date: String,
    /// What else a reader must know: the batch, the precision, the number of chips.
    #[serde(default)]
    pub note: Option<String>,
}

/// One figure of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishedFigure {
    /// A test as reports name it (`pp512`, `tg128 @ d4096`), or the source's own name for what it measured.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Its unit: `tokens/s` for tests.
    pub unit: String,
}

impl Published {
    /// Refuses what the types alone let through.
    pub(super) fn check(&self, at: &str) -> Result<()> {
        let fault = |field: &str, found: String, expected: &str| {
            Err(Error::file(place(at, field), found).expected(expected.to_owned()))
        };
        if self.machine.trim().is_empty() {
            return fault("machine", "nothing".into(), "the machine's name");
        }
        if self.figures.is_empty() {
            return fault("figures", "none".into(), "at least one figure");
        }
        if self.figures.len() > MAX_ENTRIES {
            return fault("figures", self.figures.len().to_string(), "256 at most");
        }
        for (index, figure) in self.figures.iter().enumerate() {
            let at = place(at, &format!("figures[{index}]"));
            if figure.name.trim().is_empty() || figure.unit.trim().is_empty() {
                return Err(Error::file(at, "a figure without a name or unit").expected("both"));
            }
            Bounds::default().number(figure.value, &place(&at, "value"))?;
        }
        if !is_web_address(&self.source) {
            return fault("source", format!("{:?}", self.source), "an address that begins with https:// or http://");
        }
        if !is_date(&self.date) {
            return fault("date", format!("{:?}", self.date), "a date as in 2026-10-30");
        }
        Ok(())
    }
}

/// Whether it may be put into a link: a browser would run `javascript:`.
fn is_web_address(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        let web = uri.scheme_str().is_some_and(|scheme| ["http", "https"].contains(&scheme));
        // A name before the host makes an address look like another's.
        web && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    })
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |part: &str, width: usize| {
        part.parse::<u32>().ok().filter(|_| part.len() == width && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let [year, month, day] = parts[..] else { return false };
    number(year, 4).is_some()
        && number(month, 2).is_some_and(|month| (1..=12).contains(&month))
        && number(day, 2).is_some_and(|day| (1..=31).contains(&day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_web_is_a_source() {
        for good in ["https://example.org/a?b=c", "http://example.org"] {
            assert!(is_web_address(good), "{good}");
        }
        let bad = ["", "example.org", "ftp://example.org", "javascript:alert(1)", "https://", "/a", "https://a@b.org/"];
        for bad in bad.into_iter().chain(["https://a.org/\"><script>", "https://a.org/ b", "data:text/html,x"]) {
            assert!(!is_web_address(bad), "{bad}");
        }
    }

    #[test]
    fn a_date_is_a_year_a_month_and_a_day() {
        assert!(is_date("2026-10-30"));
        for bad in ["", "2026-10", "26-10-30", "2026-13-01", "2026-00-01", "2026-10-32", "2026-1-1", "+026-10-10"] {
            assert!(!is_date(bad), "{bad}");
        }
    }
}
