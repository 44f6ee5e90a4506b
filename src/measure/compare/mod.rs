//! Reports beside each other: one table of adapters by figure for everything that may be compared, and never more than
//! that. Reports of other models, settings or versions stand in groups of their own.

use super::Spread;
use super::report::{Entry, Share};
use serde::Serialize;

/// What comes of comparing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// What may be compared, each for itself.
    pub groups: Vec<Group>,
}

/// Columns that may be compared: the same model, settings and versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// The model's name, or what else holds the group together.
    pub title: String,
    /// What all its reports have in common, as labels and values.
    pub facts: Vec<(String, String)>,
    /// What a reader must know: why the group stands apart, which figures are not to be trusted.
    pub notes: Vec<String>,
    /// Adapters.
    pub columns: Vec<Column>,
    /// Which column the ratios are to; absent where there is nothing to compare with.
    pub baseline: Option<usize>,
    /// Figures, each with a cell for each column.
    pub rows: Vec<Row>,
    /// The same adapter under the native program and in a browser.
    pub pairs: Vec<Pair>,
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
    /// Why not, in a sentence; or where it was published.
    pub remark: String,
    /// Where it was published; absent for what was measured.
    pub source: Option<String>,
}

/// How far a column's timings may be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
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

/// One figure of all columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// What kind of figure it is.
    pub section: Section,
    /// Its name: `tg128`, `load`, `probe read`.
    pub figure: String,
    /// Its unit; empty for words.
    pub unit: String,
    /// A cell for each column; absent where it was not measured.
    pub cells: Vec<Option<Cell>>,
}

/// What kind of figure a row has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Whether the numbers are right.
    #[default]
    Check,
    /// Tests of speed.
    Tests,
    /// A text that was written.
    Text,
    /// Loading and compiling.
    Load,
    /// Memory on the adapter.
    Memory,
    /// What the adapter can do at best.
    Probes,
    /// What a source says.
    Published,
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
    /// As it is shown, with its unit where that is not the row's.
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
    /// Indices of rows that both have, with the browser's figure as a multiple of the native one.
    pub ratios: Vec<(usize, f64)>,
}

/// Compares entries; ratios are to the entry of index `baseline`, or to the first of each group.
#[must_use]
pub fn compare(entries: &[Entry], baseline: Option<usize>) -> Comparison {
    let _ = (entries, baseline);
    Comparison::default()
}

impl Comparison {
    /// As tables in markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        String::new()
    }

    /// As JSON, indented.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
