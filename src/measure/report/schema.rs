//! The documented format: a JSON Schema made from the types themselves, which the repository keeps as
//! `www/report.schema.json`.

use super::{Entry, Published, Report, SCHEMA};
use schemars::JsonSchema;
use serde_json::{Value, json};

/// What a file may hold.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is asked for")]
enum File {
    /// One report.
    Report(Box<Report>),
    /// Published figures.
    Published(Published),
    /// Several of both.
    Several(Vec<Entry>),
}

/// The schema of a file of reports.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(File).to_value();
    schema["title"] = json!("headstart report");
    schema["description"] = json!(format!(
        "What headstart measured on an adapter, version {SCHEMA} of the layout; a list of such reports; or figures \
         published by others and typed in by hand. Made from the program's types by `headstart schema`."
    ));
    schema
}

/// The schema as the repository's file has it.
#[must_use]
pub fn text() -> String {
    serde_json::to_string_pretty(&schema()).unwrap_or_default() + "\n"
}
