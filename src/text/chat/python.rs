//! Values as Python's `str` writes them, which templates are written for: `True` and `None`, `['a', 1]`.

use super::budget::Budget;
use minijinja::value::ValueKind;
use minijinja::{Error, Value};

/// Appends `str(value)` to `out`, charged before it is made.
pub(super) fn write_str(out: &mut String, value: &Value, budget: &Budget) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => append(out, text, budget),
        None => write_repr(out, value, budget),
    }
}

/// `repr(value)`. A value's depth is bounded where it is made.
fn write_repr(out: &mut String, value: &Value, budget: &Budget) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(()),
        ValueKind::None => append(out, "None", budget),
        ValueKind::Bool => append(out, if value.is_true() { "True" } else { "False" }, budget),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            let mut escaped = String::new();
            for c in text.chars() {
                match c {
                    '\n' => escaped.push_str("\\n"),
                    '\r' => escaped.push_str("\\r"),
                    '\t' => escaped.push_str("\\t"),
                    '\\' => escaped.push_str("\\\\"),
                    c if c == quote => escaped.extend(['\\', c]),
                    c => escaped.push(c),
                }
            }
            append(out, &format!("{quote}{escaped}{quote}"), budget)
        }
        ValueKind::Map => {
            append(out, "{", budget)?;
            for (index, key) in value.try_iter()?.enumerate() {
                append(out, if index > 0 { ", " } else { "" }, budget)?;
                write_repr(out, &key, budget)?;
                append(out, ": ", budget)?;
                write_repr(out, &value.get_item(&key)?, budget)?;
            }
            append(out, "}", budget)
        }
        ValueKind::Seq | ValueKind::Iterable => {
            append(out, "[", budget)?;
            for (index, item) in value.try_iter()?.enumerate() {
                append(out, if index > 0 { ", " } else { "" }, budget)?;
                write_repr(out, &item, budget)?;
            }
            append(out, "]", budget)
        }
        _ => append(out, &value.to_string(), budget),
    }
}

fn append(out: &mut String, text: &str, budget: &Budget) -> Result<(), Error> {
    budget.take_bytes(text.len() as u64)?;
    out.push_str(text);
    Ok(())
}
