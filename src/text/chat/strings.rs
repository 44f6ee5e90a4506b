//! The methods of Python's `str` that the library's layer for Python lacks, or does otherwise.

use super::arguments::{Arguments, fault};
use super::budget::Budget;
use super::formats;
use super::python::{is_decimal, is_printable, text_of};
use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, Value};

/// The method's result, charged; `None` if it is none of these.
pub(super) fn method(budget: &Budget, text: &str, name: &str, given: &mut Arguments) -> Option<Result<Value, Error>> {
    let done = match name {
        "split" | "rsplit" => split(budget, text, name == "rsplit", given),
        "splitlines" => {
            let keeps = given.flag(0, "keepends");
            list(budget, lines(text, keeps))
        }
        "partition" | "rpartition" => partition(budget, text, name == "rpartition", given),
        "find" | "rfind" | "index" | "rindex" => find(text, name, given),
        "count" => ranged(text, given).map(|(part, looked_for, _)| Value::from(part.matches(&looked_for).count())),
        "startswith" | "endswith" => starts_or_ends(text, name == "startswith", given),
        "removeprefix" => cut(budget, text, given, |text, part| text.strip_prefix(part)),
        "removesuffix" => cut(budget, text, given, |text, part| text.strip_suffix(part)),
        "center" | "ljust" | "rjust" => pad(budget, text, name, given),
        "zfill" => zfill(budget, text, given),
        "expandtabs" => expand_tabs(budget, text, given),
        "title" => made(budget, title(text)),
        "swapcase" => made(budget, text.chars().flat_map(swapped).collect()),
        "casefold" => made(budget, text.to_lowercase().replace('ß', "ss").replace('ς', "σ")),
        "replace" => replace(budget, text, given),
        "translate" => translate(budget, text, given),
        "join" => join(budget, text, given),
        "format" => {
            let named = given.take_named();
            formats::by_braces(budget, text, given.by_place(), &named).map(Value::from)
        }
        "format_map" => given.need(0, "mapping").and_then(|map| {
            let mut names = Vec::new();
            for key in map.try_iter()? {
                names.push((key.as_str().unwrap_or_default().to_owned(), map.get_item(&key)?));
            }
            formats::by_braces(budget, text, &[], &names).map(Value::from)
        }),
        "isdecimal" => Ok(all(text, is_decimal)),
        "isdigit" => Ok(all(text, |c| is_decimal(c) || "²³¹⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉".contains(c))),
        "isprintable" => Ok(text.chars().all(is_printable).into()),
        "isidentifier" => {
            let starts = text.starts_with(|c: char| c == '_' || c.is_alphabetic());
            Ok((starts && text.chars().all(|c| c == '_' || c.is_alphanumeric())).into())
        }
        "istitle" => Ok((text.chars().any(char::is_alphabetic) && title(text) == text).into()),
        _ => return None,
    };
    Some(done.and_then(|value| {
        given.end(given.by_place().len())?;
        Ok(value)
    }))
}

fn made(budget: &Budget, text: String) -> Result<Value, Error> {
    budget.take_bytes(text.len() as u64)?;
    Ok(text.into())
}

fn list<'a>(budget: &Budget, parts: impl Iterator<Item = &'a str>) -> Result<Value, Error> {
    budget.list(parts.map(Value::from)).map(Value::from)
}

fn all(text: &str, holds: impl Fn(char) -> bool) -> Value {
    (!text.is_empty() && text.chars().all(holds)).into()
}

/// Python's white space: Unicode's, and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn split(budget: &Budget, text: &str, from_right: bool, given: &mut Arguments) -> Result<Value, Error> {
    let separator = given.text(0, "sep")?;
    let most = given.whole(1, "maxsplit")?.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    let mut add = |part: &str| -> Result<(), Error> {
        budget.take_entry(part.len())?;
        parts.push(Value::from(part));
        Ok(())
    };
    let mut rest = text;
    match separator.as_deref() {
        Some("") => return Err(fault("an empty separator")),
        Some(separator) => {
            for _ in 0..most {
                let cut = if from_right { rest.rsplit_once(separator) } else { rest.split_once(separator) };
                let Some((left, right)) = cut else { break };
                let (part, left_over) = if from_right { (right, left) } else { (left, right) };
                add(part)?;
                rest = left_over;
            }
            add(rest)?;
        }
        None => {
            for n in 0.. {
                rest = if from_right { rest.trim_end_matches(is_space) } else { rest.trim_start_matches(is_space) };
                if rest.is_empty() {
                    break;
                }
                let at = if n == most {
                    None
                } else if from_right {
                    rest.char_indices().rev().find(|(_, c)| is_space(*c)).map(|(at, c)| at + c.len_utf8())
                } else {
                    rest.find(is_space)
                };
                let Some(at) = at else {
                    add(rest)?;
                    break;
                };
                let (left, right) = rest.split_at(at);
                add(if from_right { right } else { left })?;
                rest = if from_right { left } else { right };
            }
        }
    }
    if from_right {
        parts.reverse();
    }
    Ok(parts.into())
}

/// Python's lines: they end with more than `\n`.
pub(super) fn lines(text: &str, keeps_ends: bool) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let ends =
            |c| matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
        if rest.is_empty() {
            return None;
        }
        let at = rest.find(ends).unwrap_or(rest.len());
        let n_end =
            if rest[at..].starts_with("\r\n") { 2 } else { rest[at..].chars().next().map_or(0, char::len_utf8) };
        let line = &rest[..if keeps_ends { at + n_end } else { at }];
        rest = &rest[at + n_end..];
        Some(line)
    })
}

fn partition(budget: &Budget, text: &str, from_right: bool, given: &mut Arguments) -> Result<Value, Error> {
    let separator = given.text(0, "sep")?.filter(|separator| !separator.is_empty());
    let separator = separator.ok_or_else(|| fault("a separator that is no text, or empty"))?;
    let found = if from_right { text.rsplit_once(&separator) } else { text.split_once(&separator) };
    let parts = match found {
        Some((before, after)) => [before, &separator, after],
        None if from_right => ["", "", text],
        None => [text, "", ""],
    };
    let parts = budget.list(parts.into_iter().map(Value::from))?;
    Ok(Tuple::new(parts).into())
}

/// The part of the text between the arguments `start` and `end`, what is looked for in it, and how many characters
/// stand before it.
fn ranged<'a>(text: &'a str, given: &mut Arguments) -> Result<(&'a str, String, usize), Error> {
    let looked_for = given.text(0, "sub")?.ok_or_else(|| fault("what is looked for is no text"))?;
    let (part, n_before) = range(text, given)?;
    Ok((part, looked_for, n_before))
}

fn range<'a>(text: &'a str, given: &mut Arguments) -> Result<(&'a str, usize), Error> {
    let (start, end) = (given.whole(1, "start")?, given.whole(2, "end")?);
    if start.is_none() && end.is_none() {
        return Ok((text, 0));
    }
    let n = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let place = |at: i64| usize::try_from((if at < 0 { at.saturating_add(n) } else { at }).clamp(0, n)).unwrap_or(0);
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(n)));
    let byte = |at| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    Ok((&text[byte(start)..byte(end).max(byte(start))], start))
}

fn find(text: &str, name: &str, given: &mut Arguments) -> Result<Value, Error> {
    let (part, looked_for, n_before) = ranged(text, given)?;
    let at = if name.starts_with('r') { part.rfind(&looked_for) } else { part.find(&looked_for) };
    match at {
        Some(at) => Ok(Value::from(n_before + part[..at].chars().count())),
        None if name.ends_with("find") => Ok(Value::from(-1)),
        None => Err(fault("the substring is not found")),
    }
}

fn starts_or_ends(text: &str, starts: bool, given: &mut Arguments) -> Result<Value, Error> {
    let looked_for = given.need(0, "prefix")?;
    let (part, _) = range(text, given)?;
    let holds = |one: &str| if starts { part.starts_with(one) } else { part.ends_with(one) };
    if let Some(one) = looked_for.as_str() {
        return Ok(holds(one).into());
    }
    if !looked_for.is_tuple() {
        return Err(fault(format!("a {} where a text or a tuple of texts is due", looked_for.kind())));
    }
    for one in looked_for.try_iter()? {
        match one.as_str() {
            Some(one) if holds(one) => return Ok(true.into()),
            Some(_) => {}
            None => return Err(fault(format!("a {} among the texts", one.kind()))),
        }
    }
    Ok(false.into())
}

fn cut(
    budget: &Budget,
    text: &str,
    given: &mut Arguments,
    strip: for<'a> fn(&'a str, &str) -> Option<&'a str>,
) -> Result<Value, Error> {
    let part = given.text(0, "prefix")?.ok_or_else(|| fault("what is to be removed is no text"))?;
    made(budget, strip(text, &part).unwrap_or(text).to_owned())
}

/// How many characters a text lacks to a width; what fills them is charged.
fn missing(budget: &Budget, text: &str, width: i64, fill: char) -> Result<usize, Error> {
    let n = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
    budget.take_bytes((n as u64).saturating_mul(fill.len_utf8() as u64).saturating_add(text.len() as u64))?;
    Ok(n)
}

fn pad(budget: &Budget, text: &str, name: &str, given: &mut Arguments) -> Result<Value, Error> {
    let width = given.whole(0, "width")?.ok_or_else(|| fault("a width that is no whole number"))?;
    let fill = given.text(1, "fillchar")?.unwrap_or_else(|| " ".to_owned());
    let mut chars = fill.chars();
    let (Some(fill), None) = (chars.next(), chars.next()) else {
        return Err(fault("what fills must be one character"));
    };
    padded(budget, text, name, width, fill).map(Value::from)
}

/// The text in the middle, at the left or at the right of so many characters.
pub(super) fn padded(budget: &Budget, text: &str, name: &str, width: i64, fill: char) -> Result<String, Error> {
    let n = missing(budget, text, width, fill)?;
    let before = match name {
        "ljust" => 0,
        "rjust" => n,
        // Python's middle: the odd one stands before if the width is odd.
        _ => n / 2 + (n & usize::try_from(width).unwrap_or(0) & 1),
    };
    let filled = |n: usize| std::iter::repeat_n(fill, n);
    Ok(filled(before).chain(text.chars()).chain(filled(n - before)).collect())
}

fn zfill(budget: &Budget, text: &str, given: &mut Arguments) -> Result<Value, Error> {
    let width = given.whole(0, "width")?.ok_or_else(|| fault("a width that is no whole number"))?;
    let n = missing(budget, text, width, '0')?;
    let sign = text.len() - text.strip_prefix(['+', '-']).unwrap_or(text).len();
    Ok(format!("{}{}{}", &text[..sign], "0".repeat(n), &text[sign..]).into())
}

fn expand_tabs(budget: &Budget, text: &str, given: &mut Arguments) -> Result<Value, Error> {
    let width = usize::try_from(given.whole(0, "tabsize")?.unwrap_or(8)).unwrap_or(0);
    let n_tabs = text.matches('\t').count() as u64;
    budget.take_bytes(n_tabs.saturating_mul(width as u64).saturating_add(text.len() as u64))?;
    let (mut out, mut column) = (String::new(), 0);
    for c in text.chars() {
        match c {
            '\t' if width > 0 => {
                let n = width - column % width;
                out.extend(std::iter::repeat_n(' ', n));
                column += n;
            }
            '\t' => {}
            c => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    Ok(out.into())
}

/// Capitals after whatever is no letter, also in the middle of what is a word to us.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = c.is_lowercase() || c.is_uppercase();
    }
    out
}

fn swapped(c: char) -> Vec<char> {
    if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
}

fn replace(budget: &Budget, text: &str, given: &mut Arguments) -> Result<Value, Error> {
    let (Some(old), Some(new)) = (given.text(0, "old")?, given.text(1, "new")?) else {
        return Err(fault("`replace` takes two texts"));
    };
    let count = given.whole(2, "count")?.and_then(|count| usize::try_from(count).ok());
    replaced(budget, text, &old, &new, count).map(Value::from)
}

/// The text with `new` in place of `old`, so many times or each time; charged before it is made.
pub(super) fn replaced(
    budget: &Budget,
    text: &str,
    old: &str,
    new: &str,
    count: Option<usize>,
) -> Result<String, Error> {
    let count = count.unwrap_or(usize::MAX);
    let n_found = text.matches(old).take(count).count() as u64;
    budget.take_bytes((text.len() as u64).saturating_add(n_found.saturating_mul(new.len() as u64)))?;
    Ok(text.replacen(old, new, count))
}

/// Each character by a dict of the numbers of characters, or by what stands at its number in a list or a text: a text, the number of
/// another, or nothing in its place.
fn translate(budget: &Budget, text: &str, given: &mut Arguments) -> Result<Value, Error> {
    let table = given.need(0, "table")?;
    if !matches!(table.kind(), ValueKind::Map | ValueKind::Seq | ValueKind::String) {
        return Err(fault(format!("a {} where a dict of characters is due", table.kind())));
    }
    budget.take_bytes(4 * table.as_str().map_or(0, str::len) as u64)?;
    let by_number: Option<Vec<char>> = table.as_str().map(|table| table.chars().collect());
    let at = |number: u32| match &by_number {
        Some(table) => Ok(table.get(number as usize).map_or(Value::UNDEFINED, |c| Value::from(*c))),
        None => table.get_item(&Value::from(number)),
    };
    let mut out = String::new();
    for c in text.chars() {
        let found = at(u32::from(c))?;
        let number = || u32::try_from(found.clone()).ok().filter(|_| found.is_integer()).and_then(char::from_u32);
        let before = out.len();
        match found.as_str() {
            Some(text) => out += text,
            None if found.is_none() => {}
            None if found.is_undefined() => out.push(c),
            None => out.push(number().ok_or_else(|| fault(format!("a character becomes a {}", found.kind())))?),
        }
        budget.take_bytes((out.len() - before) as u64)?;
    }
    Ok(out.into())
}

fn join(budget: &Budget, joiner: &str, given: &mut Arguments) -> Result<Value, Error> {
    let values = given.need(0, "iterable")?;
    let mut text = String::new();
    for (index, value) in values.try_iter()?.enumerate() {
        let part = value.as_str().ok_or_else(|| fault(format!("a {} among the texts to be joined", value.kind())))?;
        let joiner = if index > 0 { joiner } else { "" };
        budget.take_bytes((joiner.len() + part.len()) as u64)?;
        text += joiner;
        text += part;
    }
    Ok(text.into())
}

/// The filter `join`, which writes whatever it is given.
pub(super) fn joined(
    budget: &Budget,
    values: impl Iterator<Item = Result<Value, Error>>,
    joiner: &str,
) -> Result<String, Error> {
    let mut text = String::new();
    for (index, value) in values.enumerate() {
        if index > 0 {
            budget.take_bytes(joiner.len() as u64)?;
            text += joiner;
        }
        text += &text_of(&value?, budget)?;
    }
    Ok(text)
}
