//! Results as text: Markdown tables for people, and CSV, JSON, JSON lines and SQL for programs.

use super::options::Format;
use super::row::{Row, columns, headings, rows};
use crate::error::{Error, Result};
use crate::host::native::{json, tables};
use crate::measure::Report;
use crate::measure::report::Profile;
use crate::measure::{panel, predict};
use comfy_table::{CellAlignment, Table};
use serde_json::Value;
use std::fmt::Write;

/// All tests of all reports in a format.
pub(super) fn write(format: Format, reports: &[Report]) -> Result<String> {
    let rows: Vec<Row<'_>> = reports.iter().flat_map(rows).collect();
    match format {
        Format::Md => Ok(markdown(reports)),
        Format::Csv => csv(&rows),
        Format::Json => json(&rows),
        Format::Jsonl => rows.iter().map(json_line).collect(),
        Format::Sql => Ok(sql(&rows)),
    }
}

/// A table for each model on each adapter, so that no row has to name them.
fn markdown(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        let rows: Vec<Row<'_>> = rows(report).collect();
        let Some(first) = rows.first() else { continue };
        let separator = if text.is_empty() { "" } else { "\n" };
        let headings = headings();
        // The share is words.
        let speeds = table(&headings, rows.iter().map(Row::cells), &headings[1..headings.len() - 1]);
        // Writing to a string does not fail.
        let [model, adapter] = first.heading().map(|line| escape(&line));
        let _ = write!(text, "{separator}{model}\n{adapter}\n\n{speeds}\n");
        let below: Vec<String> = rows.iter().filter_map(Row::below).collect();
        if !below.is_empty() {
            let _ = writeln!(text, "\n{}.", below.join("; "));
        }
    }
    for report in reports {
        if let Some(tuning) = &report.tuning {
            let (name, backend) = (&report.adapter.identity.name, &report.adapter.identity.backend);
            // Writing to a string does not fail.
            let _ = writeln!(text, "\nKernels on {name} ({backend}): {}.", panel::tuning(tuning));
        }
        for profile in &report.profiles {
            stages(&mut text, report, profile);
        }
        if let Some(prediction) = &report.prediction {
            let (name, backend) = (&report.adapter.identity.name, &report.adapter.identity.backend);
            let model = report.model.as_ref().map(|model| model.name.as_str()).unwrap_or_default();
            // Writing to a string does not fail.
            let _ = write!(text, "\n{model} on {name} ({backend}):\n\n{}", predict::text(prediction));
        }
    }
    text
}

/// The stages of a step, and then of each kind of layer.
fn stages(text: &mut String, report: &Report, profile: &Profile) {
    let identity = &report.adapter.identity;
    let step = match profile.n_tokens {
        1 => "decode".to_owned(),
        n => format!("prefill of {n} tokens"),
    };
    let model = report.model.as_ref().map(|model| model.name.as_str()).unwrap_or_default();
    let depth = profile.depth;
    let place = format!("{} ({}), {model}", identity.name, identity.backend);
    let mut section = |title: &str, stages: &[_]| {
        let table = table(
            &panel::STAGE_COLUMNS,
            stages.iter().map(|stage| panel::stage_cells(stage).to_vec()),
            &panel::STAGE_COLUMNS[1..],
        );
        // Writing to a string does not fail.
        let _ = write!(text, "\n{title}:\n\n{table}\n");
    };
    section(&format!("Stages of {step} after {depth} tokens on {place}"), &profile.stages);
    for layers in &profile.layers {
        let (n, kind, each) = (layers.n_layers, &layers.kind, panel::millis(layers.ms_per_layer));
        section(&format!("Of that its {n} layers of {kind}, {each} each"), &layers.stages);
    }
}

/// A Markdown table that is as wide as it has to be; columns of numbers are aligned on the right.
fn table(columns: &[&str], rows: impl Iterator<Item = Vec<String>>, numbers: &[&str]) -> Table {
    let mut table = tables::wide_table();
    table.set_header(columns);
    for row in rows {
        table.add_row(row.iter().map(|cell| escape(cell)));
    }
    for (column, name) in table.column_iter_mut().zip(columns) {
        if numbers.contains(name) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Names come from files and drivers: none may end its cell or its row.
fn escape(cell: &str) -> String {
    cell.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn csv(rows: &[Row<'_>]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: &dyn std::fmt::Display| Error::io("the results as CSV", error);
    writer.write_record(columns().map(|(name, _)| name)).map_err(|error| failed(&error))?;
    for row in rows {
        writer.write_record(row.values().map(field)).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// A value as a field of CSV, which has no word for what is absent.
fn field(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn json_line(row: &Row<'_>) -> Result<String> {
    let line = serde_json::to_string(row).map_err(|error| Error::io("the result as JSON", error))?;
    Ok(line + "\n")
}

/// A table like llama-bench's, and a row for each test. Columns are never renamed: a person who collects results keeps
/// inserting into the table made first.
fn sql(rows: &[Row<'_>]) -> String {
    let types: Vec<String> = columns().map(|(name, kind)| format!("  {name} {kind}")).collect();
    let names: Vec<&str> = columns().map(|(name, _)| name).collect();
    let mut text = format!("CREATE TABLE IF NOT EXISTS {SQL_TABLE} (\n{}\n);\n\n", types.join(",\n"));
    for row in rows {
        let values: Vec<String> = row.values().map(|value| literal(&value)).collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "INSERT INTO {SQL_TABLE} ({}) VALUES ({});", names.join(", "), values.join(", "));
    }
    text
}

const SQL_TABLE: &str = "headstart_bench";

/// In standard SQL only the quote itself has to be doubled.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(truth) => u8::from(*truth).to_string(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::report::{ModelFacts, Platform, ProbeKind, Share, Test};
    use crate::measure::{AdapterFacts, Spread};
    use sqlparser::ast::{Expr, SetExpr, Statement, Value as Literal};
    use sqlparser::dialect::SQLiteDialect;
    use sqlparser::parser::Parser;

    /// Ends a cell, a line, a CSV field, a string and a statement, where it is let.
    const HOSTILE: &str = "it's \"x\", a|b\n'); DROP TABLE headstart_bench; --";

    /// Two tests of a model of that name; of the second nothing is known.
    fn hostile() -> Report {
        let tokens_per_s = Spread { median: 1.5, ..Spread::default() };
        let share = Some(Share { of: ProbeKind::Read, share: 0.5 });
        let known = Test { n_prompt: 1, tokens_per_s, first_token_ms: Some(1.0), share, ..Test::default() };
        Report {
            model: Some(ModelFacts { name: HOSTILE.to_owned(), ..ModelFacts::default() }),
            tests: vec![known, Test { n_prompt: 1, ..Test::default() }],
            ..Report::of_adapter(Platform::default(), AdapterFacts::of_cpu())
        }
    }

    #[test]
    fn sql_parses_back_whatever_a_model_is_called() {
        let report = hostile();
        let text = sql(&rows(&report).collect::<Vec<_>>());
        let statements = Parser::parse_sql(&SQLiteDialect {}, &text).expect("SQL");
        let [Statement::CreateTable(table), Statement::Insert(first), Statement::Insert(second)] = &statements[..]
        else {
            panic!("{text}")
        };
        assert!(table.if_not_exists);
        let types: Vec<String> = table.columns.iter().map(|c| format!("{} {}", c.name, c.data_type)).collect();
        for column in ["model TEXT", "n_prompt INTEGER", "warm_up INTEGER", "first_token_ms REAL", "share_of TEXT"] {
            assert!(types.iter().any(|own| own == column), "{column}: {types:?}");
        }
        let values = |insert: &sqlparser::ast::Insert| {
            let SetExpr::Values(values) = insert.source.as_ref().expect("a source").body.as_ref() else {
                panic!("{insert}")
            };
            values.rows[0].clone()
        };
        let first = values(first);
        assert_eq!(first.len(), table.columns.len());
        let at = table.columns.iter().position(|column| column.name.value == "model").expect("a column");
        let Expr::Value(model) = &first[at] else { panic!("{text}") };
        assert_eq!(model.value, Literal::SingleQuotedString(HOSTILE.to_owned()));
        let absent = values(second).iter().filter(|v| matches!(v, Expr::Value(v) if v.value == Literal::Null)).count();
        // The hash, the first token, the share and what it is of, both parts of a token's time, and what was checked.
        assert_eq!(absent, 7, "{text}");
    }

    #[test]
    fn csv_parses_back_whatever_a_model_is_called() {
        let report = hostile();
        let text = csv(&rows(&report).collect::<Vec<_>>()).expect("text");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let names = reader.headers().expect("a first line").clone();
        let records: Vec<csv::StringRecord> = reader.records().map(|record| record.expect("a record")).collect();
        let field = |name: &str| {
            let at = names.iter().position(|own| own == name).expect("a column");
            records[0][at].to_owned()
        };
        assert_eq!((records.len(), field("model"), field("tokens_per_s")), (2, HOSTILE.to_owned(), "1.5".to_owned()));
    }

    #[test]
    fn a_row_has_room_in_80_columns() {
        let test = Test {
            n_prompt: 512,
            depth: 16_384,
            tokens_per_s: Spread { n: 2, median: 24_645.3, sd: 106.2, ..Spread::default() },
            ms_per_token: 0.0406,
            first_token_ms: Some(12.34),
            gb_per_s: 2345.6,
            share: Some(Share { of: ProbeKind::FmaF32, share: 0.123 }),
            ..Test::default()
        };
        let report = Report { tests: vec![test], ..hostile() };
        let text = table(&headings(), rows(&report).map(|row| row.cells()), &[]).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 84), "{text}");
    }

    #[test]
    fn a_table_keeps_its_cells_whatever_a_model_is_called() {
        let cells = headings().iter().map(|_| HOSTILE.to_owned()).collect();
        let text = table(&headings(), std::iter::once(cells), &[]).to_string();
        let lines: Vec<&str> = text.lines().collect();
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!([bars(lines[0]), bars(lines[1]), bars(lines[2])], [headings().len() + 1; 3], "{text}");
    }
}
