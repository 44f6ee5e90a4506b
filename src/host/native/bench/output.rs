//! Results as text: Markdown tables for people, and CSV, JSON, JSON lines and SQL for programs.

use super::options::Format;
use super::row::{COLUMNS, Row, rows};
use crate::error::{Error, Result};
use crate::host::native::{json, tables};
use crate::measure::Report;
use crate::measure::report::{ProbeKind, Profile};
use crate::measure::{panel, predict};
use comfy_table::{CellAlignment, Table};
use serde_json::Value;
use std::fmt::Write;

/// All tests of all reports in a format.
pub(super) fn write(format: Format, reports: &[Report]) -> Result<String> {
    let rows: Vec<Row> = reports.iter().flat_map(rows).collect();
    match format {
        Format::Md => Ok(markdown(reports)),
        Format::Csv => csv(&rows),
        Format::Json => json(&rows),
        Format::Jsonl => rows.iter().map(|row| Ok(value(row)?.to_string() + "\n")).collect(),
        Format::Sql => sql(&rows),
    }
}

/// A table for each model on each adapter, so that no row has to name them.
fn markdown(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        let rows: Vec<Row> = rows(report).collect();
        let Some(first) = rows.first() else { continue };
        let separator = if text.is_empty() { "" } else { "\n" };
        let speeds = table(&COLUMNS, rows.iter().map(Row::cells), &COLUMNS[1..5]);
        // Writing to a string does not fail.
        let [model, adapter] = first.heading().map(|line| escape(&line));
        let _ = write!(text, "{separator}{model}\n{adapter}\n\n{speeds}\n");
        let phases: Vec<String> = rows.iter().filter_map(Row::phases).collect();
        if !phases.is_empty() {
            let _ = writeln!(text, "\n{}.", phases.join("; "));
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
        let table = table(&panel::STAGE_COLUMNS, stages.iter().map(panel::stage_cells), &panel::STAGE_COLUMNS[1..]);
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
fn table<const N: usize>(columns: &[&str; N], rows: impl Iterator<Item = [String; N]>, numbers: &[&str]) -> Table {
    let mut table = tables::wide_table();
    table.set_header(columns);
    for row in rows {
        table.add_row(row.map(|cell| escape(&cell)));
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

fn csv(rows: &[Row]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: &dyn std::fmt::Display| Error::io("the results as CSV", error);
    for row in rows {
        writer.serialize(row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// A table like llama-bench's, and a row for each test. Columns are never renamed: whoever collects results keeps
/// inserting into the table made first.
fn sql(rows: &[Row]) -> Result<String> {
    let names = names()?;
    let kinds = value(&sample())?;
    let columns: Vec<String> = names.iter().map(|name| format!("  {name} {}", sql_type(&kinds[name]))).collect();
    let mut text = format!("CREATE TABLE IF NOT EXISTS {SQL_TABLE} (\n{}\n);\n\n", columns.join(",\n"));
    for row in rows {
        let row = value(row)?;
        let values: Vec<String> = names.iter().map(|name| literal(&row[name])).collect();
        let (names, values) = (names.join(", "), values.join(", "));
        // Writing to a string does not fail.
        let _ = writeln!(text, "INSERT INTO {SQL_TABLE} ({names}) VALUES ({values});");
    }
    Ok(text)
}

const SQL_TABLE: &str = "headstart_bench";

fn sql_type(sample: &Value) -> &'static str {
    match sample {
        Value::Number(number) if number.is_f64() => "REAL",
        Value::Number(_) | Value::Bool(_) => "INTEGER",
        _ => "TEXT",
    }
}

/// In standard SQL only the quote itself has to be doubled.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(truth) => u8::from(*truth).to_string(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        number => number.to_string(),
    }
}

fn value(row: &Row) -> Result<Value> {
    serde_json::to_value(row).map_err(|error| Error::io("the result as JSON", error))
}

/// The fields of a row in their order, as the first line of a CSV has them.
fn names() -> Result<Vec<String>> {
    let csv = csv(&[sample()])?;
    Ok(csv.lines().next().unwrap_or_default().split(',').map(str::to_owned).collect())
}

/// A row in which nothing is absent, so that every field has its type.
fn sample() -> Row {
    Row {
        model_sha256: Some(String::new()),
        first_token_ms: Some(0.0),
        share: Some(0.0),
        share_of: Some(ProbeKind::Read),
        check_summary: Some(String::new()),
        ..Row::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::ast::{Expr, SetExpr, Statement, Value as Literal};
    use sqlparser::dialect::SQLiteDialect;
    use sqlparser::parser::Parser;

    /// Ends a cell, a line, a CSV field, a string and a statement, where it is let.
    const HOSTILE: &str = "it's \"x\", a|b\n'); DROP TABLE headstart_bench; --";

    fn hostile() -> Row {
        Row { model: HOSTILE.to_owned(), test: "pp1".to_owned(), tokens_per_s: 1.5, n_prompt: 1, ..sample() }
    }

    #[test]
    fn sql_parses_back_whatever_a_model_is_called() {
        let text = sql(&[hostile(), Row::default()]).expect("text");
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
        assert_eq!(absent, 7, "{text}");
    }

    #[test]
    fn csv_parses_back_whatever_a_model_is_called() {
        let text = csv(&[hostile(), Row::default()]).expect("text");
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
        let row = Row {
            test: "pp512 @ d16384".to_owned(),
            tokens_per_s: 24_645.3,
            tokens_per_s_sd: 106.2,
            ms_per_token: 0.0406,
            first_token_ms: Some(12.34),
            gb_per_s: 2345.6,
            share: Some(0.123),
            share_of: Some(ProbeKind::FmaF32),
            ..Row::default()
        };
        let text = table(&COLUMNS, [row.cells()].into_iter(), &[]).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 84), "{text}");
    }

    #[test]
    fn a_table_keeps_its_cells_whatever_a_model_is_called() {
        let row = Row { test: HOSTILE.to_owned(), ..hostile() };
        let text = table(&COLUMNS, [row.cells()].into_iter(), &[]).to_string();
        let lines: Vec<&str> = text.lines().collect();
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!([bars(lines[0]), bars(lines[1]), bars(lines[2])], [COLUMNS.len() + 1; 3], "{text}");
    }
}
