//! Jinja's filters that lay a text out: `wordwrap` as Python's `textwrap` breaks lines, `pprint` as its module of that name
//! breaks values, and `xmlattr`.

use super::arguments::{Arguments, fault};
use super::budget::Budget;
use super::filters::escaped;
use super::python::{text_of, write_repr};
use super::strings::lines;
use minijinja::value::ValueKind;
use minijinja::{Error, Value};

/// The white space at which `textwrap` breaks.
fn is_break(c: char) -> bool {
    matches!(c, '\t'..='\r' | ' ')
}

/// `wordwrap(s, width=79, break_long_words=True, wrapstring='\n', break_on_hyphens=True)`.
pub(super) fn word_wrap(budget: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(fault("the lines of what is not defined"));
    }
    let text = text_of(value, budget)?;
    let width = given.whole(0, "width")?.unwrap_or(79);
    let flag = |value: Option<Value>| value.is_none_or(|value| value.is_true());
    let breaks_words = flag(given.take(1, "break_long_words"));
    let joiner = given.text(2, "wrapstring")?.unwrap_or_else(|| "\n".to_owned());
    let at_hyphens = flag(given.take(3, "break_on_hyphens"));
    let width =
        usize::try_from(width).ok().filter(|width| *width > 0).ok_or_else(|| fault("a width of no characters"))?;
    let mut out = String::new();
    for (index, line) in lines(&text, false).enumerate() {
        for (nth, wrapped) in wrapped(line, width, breaks_words, at_hyphens).iter().enumerate() {
            let joiner = if index > 0 || nth > 0 { joiner.as_str() } else { "" };
            budget.take_bytes((joiner.len() + wrapped.len()) as u64)?;
            out += joiner;
            out += wrapped;
        }
        // An empty line is a line, too.
        if index > 0 && line.chars().all(is_break) {
            budget.take_bytes(joiner.len() as u64)?;
            out += &joiner;
        }
    }
    Ok(out.into())
}

fn n_chars(text: &str) -> usize {
    text.chars().count()
}

/// The lines that a line is broken into.
fn wrapped(line: &str, width: usize, breaks_words: bool, at_hyphens: bool) -> Vec<String> {
    let mut chunks: Vec<&str> = chunks(line, at_hyphens);
    chunks.reverse();
    let is_blank = |chunk: &str| chunk.chars().all(char::is_whitespace);
    let mut all: Vec<String> = Vec::new();
    while let Some(&next) = chunks.last() {
        let mut parts: Vec<&str> = Vec::new();
        let mut n = 0;
        if is_blank(next) && !all.is_empty() {
            chunks.pop();
        }
        while let Some(&chunk) = chunks.last().filter(|chunk| n + n_chars(chunk) <= width) {
            n += n_chars(chunk);
            parts.push(chunk);
            chunks.pop();
        }
        if let Some(last) = chunks.last_mut().filter(|chunk| n_chars(chunk) > width) {
            if breaks_words {
                let (begin, rest) = last.split_at(long_word_end(last, width - n, at_hyphens));
                parts.push(begin);
                *last = rest;
            } else if parts.is_empty() {
                parts.extend(chunks.pop());
            }
        }
        if parts.last().is_some_and(|part| is_blank(part)) {
            parts.pop();
        }
        if !parts.is_empty() {
            all.push(parts.concat());
        }
    }
    all
}

/// Where a word that fits in no line is cut: behind a hyphen if there is one, else where the line is full.
fn long_word_end(word: &str, n_left: usize, at_hyphens: bool) -> usize {
    let full = word.char_indices().nth(n_left).map_or(word.len(), |(at, _)| at);
    let hyphen = word[..full].rfind('-').filter(|at| at_hyphens && word[..*at].contains(|c| c != '-'));
    hyphen.map_or(full, |at| at + 1)
}

/// Words and the spaces between them; words are cut behind hyphens between letters, and before and behind dashes.
fn chunks(line: &str, at_hyphens: bool) -> Vec<&str> {
    let places: Vec<(usize, char)> = line.char_indices().collect();
    let at = |index: usize| places.get(index).map(|(_, c)| *c);
    let is = |index: Option<usize>, holds: fn(char) -> bool| index.and_then(at).is_some_and(holds);
    let letter = |c: char| c.is_alphabetic();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let of_word = |c: char| c.is_alphanumeric() || "_!\"'&.,?".contains(c);
    let back = |index: usize, n: usize| index.checked_sub(n);
    let n_dashes = |index: usize| (index..).take_while(|&next| at(next) == Some('-')).count();
    let (mut cuts, mut begin) = (Vec::new(), 0);
    while begin < places.len() {
        let mut end = begin + 1;
        if is(Some(begin), is_break) {
            while is(Some(end), is_break) {
                end += 1;
            }
        } else if at_hyphens
            && n_dashes(begin) > 1
            && is(back(begin, 1), of_word)
            && is(Some(begin + n_dashes(begin)), word)
        {
            end = begin + n_dashes(begin);
        } else {
            // The shortest run that ends in one of three ways.
            while end < places.len() && !is(Some(end), is_break) {
                let is_dash = n_dashes(end) > 1 && is(Some(end + n_dashes(end)), word) && is(back(end, 1), of_word);
                if at_hyphens && is_dash {
                    break;
                }
                let before = is(back(end, 1), letter) && is(back(end, 2), letter)
                    || is(back(end, 3), letter) && at(end - 2) == Some('-') && is(back(end, 1), of_word);
                let behind = is(Some(end + 1), letter)
                    && (is(Some(end + 2), letter) || at(end + 2) == Some('-') && is(Some(end + 3), letter));
                end += 1;
                if at_hyphens && at(end - 1) == Some('-') && before && behind {
                    break;
                }
            }
        }
        cuts.push(end);
        begin = end;
    }
    let byte = |index: usize| places.get(index).map_or(line.len(), |(at, _)| *at);
    let mut from = 0;
    cuts.into_iter().map(|end| &line[std::mem::replace(&mut from, byte(end))..byte(end)]).collect()
}

/// `xmlattr(d, autospace=True)`: the entries of a dict as attributes of a tag.
pub(super) fn xml_attributes(budget: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let spaced = given.take(0, "autospace").is_none_or(|spaced| spaced.is_true());
    if value.kind() != ValueKind::Map {
        return Err(fault(format!("a {} has no attributes", value.kind())));
    }
    let mut out = String::new();
    for key in value.try_iter()? {
        let item = value.get_item(&key)?;
        if item.is_none() || item.is_undefined() {
            continue;
        }
        let name = text_of(&key, budget)?;
        if name.contains(|c: char| c.is_whitespace() || "/>=".contains(c)) {
            return Err(fault("a character that no attribute's name has"));
        }
        let (name, item) = (escaped(&name.into(), budget)?, escaped(&item, budget)?);
        let space = if spaced || !out.is_empty() { " " } else { "" };
        out += &format!("{space}{name}=\"{item}\"");
        budget.take_bytes(name.as_str().map_or(0, str::len) as u64 + 4)?;
    }
    Ok(out.into())
}

/// Columns that a value is laid out for.
const COLUMNS: usize = 80;

/// `pprint(value)`.
pub(super) fn pretty(budget: &Budget, value: &Value, _: &mut Arguments) -> Result<Value, Error> {
    let mut out = String::new();
    lay_out(&mut out, value, budget, 0, 0, 1)?;
    Ok(out.into())
}

fn repr(value: &Value, budget: &Budget) -> Result<String, Error> {
    let mut text = String::new();
    write_repr(&mut text, &in_order(value, budget)?, budget)?;
    Ok(text)
}

/// The value with the keys of its dicts in their order.
fn in_order(value: &Value, budget: &Budget) -> Result<Value, Error> {
    let items =
        |value: &Value| value.try_iter()?.map(|item| in_order(&item, budget)).collect::<Result<Vec<_>, Error>>();
    match value.kind() {
        ValueKind::Map => Ok(Value::from_pairs(entries(value, budget)?)),
        ValueKind::Seq if value.is_tuple() => Ok(minijinja::value::Tuple::new(items(value)?).into()),
        ValueKind::Seq => Ok(items(value)?.into()),
        _ => Ok(value.clone()),
    }
}

fn entries(value: &Value, budget: &Budget) -> Result<Vec<(Value, Value)>, Error> {
    let mut entries = Vec::new();
    for key in value.try_iter()? {
        budget.take_entry(key.as_str().map_or(0, str::len))?;
        entries.push((key.clone(), in_order(&value.get_item(&key)?, budget)?));
    }
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(entries)
}

/// Appends a value from a column on, with so many characters to follow it in its last line: in one line if it fits, else
/// with one item a line.
fn lay_out(
    out: &mut String,
    value: &Value,
    budget: &Budget,
    column: usize,
    n_behind: usize,
    depth: usize,
) -> Result<(), Error> {
    let plain = repr(value, budget)?;
    if n_chars(&plain) + column + n_behind <= COLUMNS {
        out.push_str(&plain);
        return Ok(());
    }
    let next_line = format!(",\n{}", " ".repeat(column + 1));
    match value.kind() {
        ValueKind::Map if value.len() > Some(0) => {
            let entries = entries(value, budget)?;
            out.push('{');
            for (index, (key, item)) in entries.iter().enumerate() {
                let key = format!("{}{}: ", if index > 0 { next_line.as_str() } else { "" }, repr(key, budget)?);
                budget.take_bytes(key.len() as u64)?;
                let width = key.rsplit('\n').next().map_or(0, n_chars) + if index > 0 { 0 } else { column + 1 };
                out.push_str(&key);
                let behind = if index + 1 == entries.len() { n_behind + 1 } else { 1 };
                lay_out(out, item, budget, width, behind, depth + 1)?;
            }
            out.push('}');
        }
        ValueKind::Seq if value.len() > Some(0) => {
            let items: Vec<Value> = value.try_iter()?.collect();
            let (begin, end) = match (value.is_tuple(), items.len()) {
                (true, 1) => ("(", ",)"),
                (true, _) => ("(", ")"),
                (false, _) => ("[", "]"),
            };
            out.push_str(begin);
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    budget.take_bytes(next_line.len() as u64)?;
                    out.push_str(&next_line);
                }
                let behind = if index + 1 == items.len() { n_behind + end.len() } else { 1 };
                lay_out(out, item, budget, column + 1, behind, depth + 1)?;
            }
            out.push_str(end);
        }
        ValueKind::String => lay_text_out(out, value.as_str().unwrap_or_default(), budget, column, n_behind, depth)?,
        _ => out.push_str(&plain),
    }
    Ok(())
}

/// A long text as several, one a line, broken behind spaces; in brackets where nothing else is around it.
fn lay_text_out(
    out: &mut String,
    text: &str,
    budget: &Budget,
    column: usize,
    n_behind: usize,
    depth: usize,
) -> Result<(), Error> {
    let bare = depth == 1;
    let (column, n_behind) = if bare { (column + 1, n_behind + 1) } else { (column, n_behind) };
    let quoted = |text: &str| repr(&text.into(), budget);
    let width = COLUMNS.saturating_sub(column);
    let all: Vec<&str> = lines(text, true).collect();
    let mut parts = Vec::new();
    for (nth, line) in all.iter().enumerate() {
        let behind = if nth + 1 == all.len() { n_behind } else { 0 };
        let whole = quoted(line)?;
        if n_chars(&whole) <= width.saturating_sub(behind) {
            parts.push(whole);
            continue;
        }
        let mut part = String::new();
        let words: Vec<&str> = words_with_spaces(line);
        for (index, word) in words.iter().enumerate() {
            let behind = if index + 1 == words.len() { behind } else { 0 };
            let longer = format!("{part}{word}");
            if n_chars(&quoted(&longer)?) <= width.saturating_sub(behind) {
                part = longer;
                continue;
            }
            if !part.is_empty() {
                parts.push(quoted(&part)?);
            }
            part = (*word).to_owned();
        }
        if !part.is_empty() {
            parts.push(quoted(&part)?);
        }
    }
    let (begin, end) = if bare && parts.len() > 1 { ("(", ")") } else { ("", "") };
    let joined = parts.join(&format!("\n{}", " ".repeat(column)));
    budget.take_bytes(joined.len() as u64)?;
    *out += &format!("{begin}{joined}{end}");
    Ok(())
}

/// Each word with the spaces behind it.
fn words_with_spaces(line: &str) -> Vec<&str> {
    let (mut words, mut begin, mut after_space) = (Vec::new(), 0, false);
    for (at, c) in line.char_indices() {
        if after_space && !c.is_whitespace() {
            words.push(&line[begin..at]);
            begin = at;
        }
        after_space = c.is_whitespace();
    }
    words.push(&line[begin..]);
    words
}
