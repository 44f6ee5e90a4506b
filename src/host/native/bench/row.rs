//! One row of results: a test of a model on an adapter, flat, as the machine-readable formats have it. What it depends on
//! stands before its figures, which are those of the list.

use crate::measure::Report;
use crate::measure::figures::{self, Figure, LOAD, Round, Shown, TEST_SHARE, TESTS};
use crate::measure::panel;
use crate::measure::report::{Load, ModelFacts, Settings, Test, Verdict};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

/// A test and the report that it stands in.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    report: &'a Report,
    test: &'a Test,
}

/// The rows of a report, in the order of its tests.
pub(super) fn rows(report: &Report) -> impl Iterator<Item = Row<'_>> {
    report.tests.iter().map(move |test| Row { report, test })
}

/// A column, with its type in SQL.
pub(super) type Column = (&'static str, &'static str);

/// What a row has in a column.
type ValueOf = fn(&Row<'_>) -> Value;

const TEXT: &str = "TEXT";
const INTEGER: &str = "INTEGER";
const REAL: &str = "REAL";

/// What a figure depends on, and whether to believe it. No name is a word of SQL.
const FACTS: [(Column, ValueOf); 22] = [
    (("report_schema", INTEGER), |row| json!(row.report.schema)),
    (("program", TEXT), |row| json!(row.report.program)),
    (("measured_at", INTEGER), |row| json!(row.report.measured_at)),
    (("os", TEXT), |row| json!(row.report.platform.os)),
    (("model", TEXT), |row| json!(row.model().name)),
    (("model_sha256", TEXT), |row| json!(row.model().sha256)),
    (("model_format", TEXT), |row| json!(row.model().format)),
    (("model_bytes", INTEGER), |row| json!(row.model().file_bytes)),
    (("model_params", INTEGER), |row| json!(row.model().n_params)),
    (("n_context", INTEGER), |row| json!(row.model().n_context)),
    (("adapter", TEXT), |row| json!(row.report.adapter.identity.name)),
    (("backend", TEXT), |row| json!(row.report.adapter.identity.backend)),
    (("adapter_kind", TEXT), |row| json!(row.report.adapter.identity.kind)),
    (("driver", TEXT), |row| json!(row.report.adapter.identity.driver)),
    (("kernels", TEXT), |row| json!(row.report.adapter.variant)),
    (("shader_checks", INTEGER), |row| json!(row.settings().shader_checks)),
    (("warm_up", INTEGER), |row| json!(row.settings().warm_up)),
    (("test", TEXT), |row| json!(row.test.name())),
    (("n_prompt", INTEGER), |row| json!(row.test.n_prompt)),
    (("n_gen", INTEGER), |row| json!(row.test.n_gen)),
    (("n_depth", INTEGER), |row| json!(row.test.depth)),
    (("runs", INTEGER), |row| json!(row.test.tokens_per_s.n)),
];

/// The same, after the figures.
const ENDING: [(Column, ValueOf); 3] = [
    (("share_of", TEXT), |row| json!(row.test.share.map(|share| share.of))),
    (("verdict", TEXT), |row| json!(row.report.check.as_ref().map_or(Verdict::Unknown, |check| check.verdict))),
    (("check_summary", TEXT), |row| json!(row.report.check.as_ref().map(|check| &check.summary))),
];

/// The columns, in order.
pub(super) fn columns() -> impl Iterator<Item = Column> {
    let facts = FACTS.iter().map(|(column, _)| *column);
    let of_test = TESTS.iter().chain([&TEST_SHARE]).filter_map(column);
    facts.chain(of_test).chain(LOAD.iter().filter_map(column)).chain(ENDING.iter().map(|(column, _)| *column))
}

fn column<T>(figure: &Figure<T>) -> Option<Column> {
    let kind = if figure.round == Round::Count { INTEGER } else { REAL };
    figure.is_shown(Shown::Column).then_some((figure.id, kind))
}

fn value<T>(figure: &Figure<T>, part: &T) -> Option<Value> {
    figure.is_shown(Shown::Column).then(|| match figure.round {
        // Whole numbers are written as such.
        Round::Count => json!(figure.value(part).map(|n| n as u64)),
        _ => json!(figure.value(part)),
    })
}

impl Row<'_> {
    fn model(&self) -> ModelFacts {
        self.report.model.clone().unwrap_or_default()
    }

    fn settings(&self) -> Settings {
        self.report.settings.clone().unwrap_or_default()
    }

    fn load(&self) -> Load {
        self.report.load.unwrap_or_default()
    }

    /// Its values under [`columns`].
    pub(super) fn values(&self) -> impl Iterator<Item = Value> {
        let load = self.load();
        let facts = FACTS.iter().map(|(_, of)| of(self));
        let of_test = TESTS.iter().chain([&TEST_SHARE]).filter_map(|figure| value(figure, self.test));
        let of_load: Vec<Value> = LOAD.iter().filter_map(|figure| value(figure, &load)).collect();
        facts.chain(of_test).chain(of_load).chain(ENDING.iter().map(|(_, of)| of(self)))
    }

    /// What all rows of a model on an adapter have in common: of the model, and of the adapter.
    pub(super) fn heading(&self) -> [String; 2] {
        let (model, load, identity) = (self.model(), self.load(), &self.report.adapter.identity);
        let (size, params) = (panel::bytes(model.file_bytes), panel::params(model.n_params));
        let loading = LOAD.iter().filter(|figure| figure.is_shown(Shown::Panel));
        let loading: Vec<String> =
            loading.filter_map(|figure| Some(format!("{} {}", figure.title, figure.told(&load)?))).collect();
        let checked = self.report.check.as_ref().map(|check| check.verdict).unwrap_or_default().label();
        [
            format!("{}, {size}, {params} parameters", model.name),
            format!("{} ({}): {}, numbers {checked}", identity.name, identity.backend, loading.join(", ")),
        ]
    }

    /// For the table of speeds, under [`headings`].
    pub(super) fn cells(&self) -> Vec<String> {
        std::iter::once(self.test.name()).chain(figures::cells(self.test)).collect()
    }

    /// How the time of the test was shared.
    pub(super) fn below(&self) -> Option<String> {
        figures::below(self.test)
    }
}

/// The headings of the table of speeds: a row has room in 80 characters.
pub(super) fn headings() -> Vec<&'static str> {
    let short = figures::columns().filter_map(|(_, place)| match place {
        Shown::Table { short, .. } => Some(short),
        _ => None,
    });
    std::iter::once("test").chain(short).collect()
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for ((name, _), value) in columns().zip(self.values()) {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}
