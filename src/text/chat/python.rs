//! Values as Python's `str` and `repr` write them, which templates are written for: `True` and `None`, `['a', 1]`,
//! `(1,)`, `1e-05`.

use super::arguments::fault;
use super::budget::Budget;
use super::groups::is_group;
use super::methods::{is_bound, view_name};
use minijinja::formatting::{FormatStyle, format};
use minijinja::value::ValueKind;
use minijinja::{Error, Value};
use regex::Regex;
use std::sync::LazyLock;

/// What `repr` does not show as it is.
static UNPRINTABLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{C}\p{Z}&&[^ ]]").ok());

/// Digits of all scripts, from 0 to 9.
static DECIMAL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{Nd}").ok());

/// Whether it is a digit of some script.
pub(super) fn is_decimal(c: char) -> bool {
    c.is_ascii_digit() || is_one_of(&DECIMAL, c)
}

fn is_one_of(class: &Option<Regex>, c: char) -> bool {
    class.as_ref().is_some_and(|class| class.is_match(c.encode_utf8(&mut [0; 4])))
}

/// Whether `repr` shows the character as it is.
pub(super) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    !is_one_of(&UNPRINTABLE, c)
}

/// `str(value)` as a text of its own.
pub(super) fn text_of(value: &Value, budget: &Budget) -> Result<String, Error> {
    let mut text = String::new();
    write_str(&mut text, value, budget)?;
    Ok(text)
}

/// Appends `str(value)` to `out`, charged before it is made.
pub(super) fn write_str(out: &mut String, value: &Value, budget: &Budget) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => append(out, text, budget),
        None if value.is_undefined() => Ok(()),
        None => write_repr(out, value, budget),
    }
}

/// Appends `repr(value)`, charged before it is made. A value's depth is bounded where it is made.
pub(super) fn write_repr(out: &mut String, value: &Value, budget: &Budget) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => append(out, "Undefined", budget),
        ValueKind::None => append(out, "None", budget),
        ValueKind::Bool => append(out, if value.is_true() { "True" } else { "False" }, budget),
        ValueKind::Number => append(out, &number(value)?, budget),
        ValueKind::String if value.is_safe() => {
            append(out, &format!("Markup({})", quoted(value.as_str().unwrap_or_default())), budget)
        }
        ValueKind::String => append(out, &quoted(value.as_str().unwrap_or_default()), budget),
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
            let (before, after) = match view_name(value) {
                Some(name) => (format!("{name}(["), "])"),
                None if value.is_tuple() && value.len() == Some(1) => ("(".to_owned(), ",)"),
                None if value.is_tuple() || is_group(value) => ("(".to_owned(), ")"),
                None => ("[".to_owned(), "]"),
            };
            append(out, &before, budget)?;
            for (index, item) in value.try_iter()?.enumerate() {
                append(out, if index > 0 { ", " } else { "" }, budget)?;
                write_repr(out, &item, budget)?;
            }
            append(out, after, budget)
        }
        _ if is_bound(value) => Err(fault("a method that is not called")),
        _ => append(out, &value.to_string(), budget),
    }
}

/// A number as Python writes it: the shortest digits that give it back, with an exponent where it is far from one.
pub(super) fn number(value: &Value) -> Result<String, Error> {
    format(FormatStyle::StrFormat, "{}", std::slice::from_ref(value)).map_err(|_| fault("a number that is none"))
}

/// What `repr` wrote as `ascii` does.
pub(super) fn ascii(text: &str) -> String {
    let shown = |c: char| if c.is_ascii() { c.to_string() } else { escape(c) };
    text.chars().map(shown).collect()
}

fn escape(c: char) -> String {
    match u32::from(c) {
        code @ ..=0xff => format!("\\x{code:02x}"),
        code @ ..=0xffff => format!("\\u{code:04x}"),
        code => format!("\\U{code:08x}"),
    }
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => out.push_str(&escape(c)),
        }
    }
    out.push(quote);
    out
}

fn append(out: &mut String, text: &str, budget: &Budget) -> Result<(), Error> {
    budget.take_bytes(text.len() as u64)?;
    out.push_str(text);
    Ok(())
}
