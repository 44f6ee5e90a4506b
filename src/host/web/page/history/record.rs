//! One run on the page: a report, how it came here, and what the person called it.

use crate::gpu::adapter::is_software;
use crate::host::web::store::{Origin, Stored};
use crate::measure::Report;
use crate::measure::headline::{card_name, host};
use crate::measure::report::{Entry, Verdict};
use std::sync::Arc;

/// The longest name, in characters: it has to fit a line.
pub(crate) const NAME_LENGTH: usize = 80;

/// Tells runs apart: a whole number below 2^53, drawn at random.
pub(crate) type RecordId = u64;

/// A run that the page knows. Cloning is cheap.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) id: RecordId,
    pub(crate) name: String,
    /// When it came to be known here: milliseconds since 1970.
    pub(crate) added_ms: f64,
    pub(crate) origin: Origin,
    /// Whether it takes part in the comparison.
    pub(crate) compared: bool,
    /// Whether it lies in the browser's storage as it is here.
    pub(crate) place: Place,
    pub(crate) entry: Arc<Entry>,
}

/// Where a run is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the browser's storage.
    Stored,
    /// It should be in the browser's storage, and is not, or not yet.
    Unsaved,
    /// On the page only, until somebody asks for it to be kept.
    Passing,
}

impl Record {
    /// A report that came just now. What was measured or picked here is to be kept; links and what comes with the page
    /// are only shown.
    pub(crate) fn new(entry: Entry, origin: Origin) -> Self {
        let place = match origin {
            Origin::Measured | Origin::Imported(_) => Place::Unsaved,
            Origin::Received | Origin::Published => Place::Passing,
        };
        // A text is not a measurement to compare by, and there may be many.
        let compared = match &entry {
            Entry::Measured(report) => !report.tests.is_empty() || !report.probes.0.is_empty(),
            Entry::Published(_) => true,
        };
        let name = what(&entry).to_owned();
        let id = (js_sys::Math::random() * 9_007_199_254_740_992.0) as u64;
        Self { id, name, added_ms: js_sys::Date::now(), origin, compared, place, entry: Arc::new(entry) }
    }

    /// As it lies in the database.
    pub(crate) fn stored(&self) -> Stored {
        Stored {
            id: self.id as f64,
            name: self.name.clone(),
            added_ms: self.added_ms,
            origin: self.origin.clone(),
            compared: self.compared,
            json: serde_json::to_string(&*self.entry).unwrap_or_default(),
        }
    }

    /// The report, if it was measured by this program anywhere.
    pub(crate) fn report(&self) -> Option<&Report> {
        match &*self.entry {
            Entry::Measured(report) => Some(report),
            Entry::Published(_) => None,
        }
    }

    /// The adapter, and in what it ran; or the machine that somebody published figures of.
    pub(crate) fn adapter(&self) -> String {
        match &*self.entry {
            Entry::Measured(report) => format!("{}, {}", card_name(&report.adapter.identity.name), host(report)),
            Entry::Published(published) => published.machine.clone(),
        }
    }

    /// The model's name; nothing where only the adapter was measured.
    pub(crate) fn model(&self) -> Option<&str> {
        let name = match &*self.entry {
            Entry::Measured(report) => &report.model.as_ref()?.name,
            Entry::Published(published) => published.model.as_ref()?,
        };
        Some(name.strip_suffix(".gguf").unwrap_or(name))
    }

    /// When it was measured, or published.
    pub(crate) fn when(&self) -> String {
        match &*self.entry {
            Entry::Measured(report) => moment(report.measured_at as f64 * 1000.0),
            Entry::Published(published) => published.date.clone(),
        }
    }

    /// Whether it was a program on the CPU that ran, and no GPU.
    pub(crate) fn is_software(&self) -> bool {
        self.report().is_some_and(|report| is_software(&report.adapter.identity))
    }

    /// Whether its numbers are right.
    pub(crate) fn verdict(&self) -> Verdict {
        self.report().and_then(|report| report.check.as_ref()).map(|check| check.verdict).unwrap_or_default()
    }

    /// Where it comes from, if it was not measured here.
    pub(crate) fn provenance(&self) -> Option<String> {
        let here = match &self.origin {
            Origin::Measured => return None,
            Origin::Imported(file) => format!("from {file}"),
            Origin::Received => "received by a link".into(),
            Origin::Published => "came with the page".into(),
        };
        Some(match &*self.entry {
            Entry::Measured(_) => format!("{here}, not measured here"),
            Entry::Published(_) => format!("{here}, published, not measured"),
        })
    }
}

/// What an entry mainly holds.
fn what(entry: &Entry) -> &'static str {
    match entry {
        Entry::Measured(report) if !report.tests.is_empty() => "Bench",
        Entry::Measured(report) if report.text.is_some() => "Text",
        Entry::Measured(report) if report.check.is_some() => "Verify",
        Entry::Measured(report) if !report.probes.0.is_empty() => "Probe",
        Entry::Measured(_) => "Report",
        Entry::Published(_) => "Published figures",
    }
}

/// A name as it may be kept: one line, not too long; none if nothing is left of it.
pub(crate) fn tidy_name(typed: &str) -> Option<String> {
    let line = typed.split_whitespace().collect::<Vec<_>>().join(" ");
    let name: String = line.chars().filter(|c| !c.is_control()).take(NAME_LENGTH).collect();
    (!name.is_empty()).then_some(name)
}

/// A moment in local time: `2026-11-22 01:15`.
pub(crate) fn moment(ms: f64) -> String {
    let date = js_sys::Date::new(&ms.into());
    if date.get_time().is_nan() {
        return "at no known time".into();
    }
    let (year, month, day) = (date.get_full_year(), date.get_month() + 1, date.get_date());
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", date.get_hours(), date.get_minutes())
}
