//! Reports beside each other: one table of adapters by figure for everything that may be compared, and never more than
//! that. Reports of other models stand in groups of their own; other settings and versions are said beside the table; a timing
//! whose numbers are wrong or were not checked says so in its own cell.

mod figures;
mod group;
mod markdown;
mod pairs;
mod table;

use super::Spread;
use super::figures::Better;
use super::report::{Entry, Share};
use serde::Serialize;

/// What comes of comparing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// What may be compared, each for itself.
    pub groups: Vec<Group>,
}

/// Columns that may be compared: the same model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// The model's name, or what else holds the group together.
    pub title: String,
    /// What all its reports have in common.
    pub facts: Vec<Fact>,
    /// What a reader must know: why the group stands apart, which figures are not to be trusted.
    pub notes: Vec<String>,
    /// Adapters, in the order of their entries; machines with published figures come last.
    pub columns: Vec<Column>,
    /// Which column the ratios are to; absent where there is nothing to compare with.
    pub baseline: Option<usize>,
    /// Figures, each with a cell for each column.
    pub rows: Vec<Row>,
    /// The same adapter under the native program and in a browser.
    pub pairs: Vec<Pair>,
}

/// A label and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What: `context`.
    pub label: String,
    /// Its value: `1024`.
    pub value: String,
}

/// One adapter under one platform.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Column {
    /// Index of its entry.
    pub entry: usize,
    /// The adapter's name, or the published machine's.
    pub name: String,
    /// What else tells it from others: backend, browser or native, operating system.
    pub detail: String,
    /// Whether its timings may be trusted.
    pub mark: Mark,
    /// Why not, in a sentence; or what the source adds.
    pub remark: String,
    /// Where it was published; absent for what was measured.
    pub source: Option<String>,
}

/// How far a column's timings may be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Its numbers were checked and are right.
    Right,
    /// They are wrong.
    Wrong,
    /// They were not checked.
    #[default]
    NotChecked,
    /// Not measured by this program.
    Published,
}

impl Mark {
    /// What stands beside a figure; empty where nothing need be said.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Right => "",
            Self::Wrong => "WRONG",
            Self::NotChecked => "not checked",
            Self::Published => "published",
        }
    }
}

/// One figure of all columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// What kind of figure it is.
    pub section: Section,
    /// Its name: `tg128`, `upload`, `FMA f32`.
    pub figure: String,
    /// Its unit; empty for words.
    pub unit: String,
    /// Which way it is better.
    pub better: Better,
    /// A cell for each column; absent where it was not measured.
    pub cells: Vec<Option<Cell>>,
}

impl Row {
    /// Its unit with an arrow that says which way is better: `ms ↓`; empty for words.
    #[must_use]
    pub fn unit_told(&self) -> String {
        format!("{} {}", self.unit, self.better.arrow()).trim().to_owned()
    }
}

/// What kind of figure a row has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// What it is.
    #[default]
    Adapter,
    /// Whether the numbers are right.
    Check,
    /// What the adapter would do with whole models of real shapes.
    Standard,
    /// Tests of speed.
    Tests,
    /// A text that was written.
    Text,
    /// Whole steps by what is guessed for an adapter, and tuned.
    Tuning,
    /// What the whole of a synthetic model would do, where some of its layers were measured.
    Prediction,
    /// Loading and compiling.
    Load,
    /// Memory on the adapter.
    Memory,
    /// What the adapter can do at best.
    Probes,
    /// What else a source says.
    Published,
}

impl Section {
    /// A heading.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Adapter => "Adapter",
            Self::Check => "Numeric check against the CPU executor",
            Self::Standard => "Whole models, predicted from the layers that ran",
            Self::Tests => "Speed",
            Self::Text => "A text",
            Self::Tuning => "Tuned against untuned",
            Self::Prediction => "The whole model, predicted from the layers that ran",
            Self::Load => "Loading",
            Self::Memory => "Memory",
            Self::Probes => "What the adapter can do at best",
            Self::Published => "Published",
        }
    }

    /// Whether a figure of it means nothing unless the model's numbers are right.
    fn needs_check(self) -> bool {
        matches!(self, Self::Standard | Self::Tests | Self::Text | Self::Tuning | Self::Prediction | Self::Load)
    }

    /// Whether its figures may be divided by a baseline's.
    fn has_ratio(self) -> bool {
        self.needs_check() || matches!(self, Self::Memory | Self::Probes)
    }
}

/// One figure of one column.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cell {
    /// The figure in its row's unit; absent for words.
    pub value: Option<f64>,
    /// Of repeated measurements.
    pub spread: Option<Spread>,
    /// How near it is to the adapter's own limit.
    pub share: Option<Share>,
    /// How many times the baseline's value it is.
    pub ratio: Option<f64>,
    /// As it is shown, without share, ratio and mark.
    pub text: String,
    /// Whether it may be trusted.
    pub mark: Mark,
}

/// The same adapter, natively and in a browser.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pair {
    /// The native column's index.
    pub native: usize,
    /// The browser column's index.
    pub browser: usize,
    /// What both have.
    pub ratios: Vec<PairRatio>,
}

/// A figure that an adapter has natively and in a browser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PairRatio {
    /// Index of its row.
    pub row: usize,
    /// The browser's figure as a multiple of the native one.
    pub ratio: f64,
}

/// A ratio as it is shown: `0.57×`.
#[must_use]
pub fn times(ratio: f64) -> String {
    if ratio >= 100.0 { format!("{ratio:.0}×") } else { format!("{ratio:.2}×") }
}

/// Compares entries; ratios are to the entry of index `baseline`, or to the first of each group that is right.
#[must_use]
pub fn compare(entries: &[Entry], baseline: Option<usize>) -> Comparison {
    let sets = group::sets(entries);
    let mut groups: Vec<Group> = sets.iter().map(|set| table::table(entries, set, baseline)).collect();
    // The standard test is of models of its own, and nobody takes it for another's.
    let n_standard = sets.iter().filter(|set| set.is_standard).count();
    group::tell_apart(&mut groups[n_standard..]);
    Comparison { groups }
}

impl Comparison {
    /// As tables in markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        self.groups.iter().map(markdown::group).collect::<Vec<_>>().join("\n")
    }

    /// As JSON, indented.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
