//! Python's two ways to put values into a text: `'%s of %d' % values`, and `'{} of {name:>4}'.format(…)`. The library
//! writes each single value by its specification; which value, and how large it may become, is told here.

use super::arguments::fault;
use super::budget::Budget;
use super::compare;
use super::python::{ascii, text_of, write_repr};
use super::strings::padded;
use minijinja::formatting::{FormatStyle, format};
use minijinja::value::ValueKind;
use minijinja::{Error, Value};

/// Widest that a value may be made, and its most digits.
const WIDEST: usize = 4096;

/// `pattern % given`.
pub(super) fn by_percent(budget: &Budget, pattern: &str, given: &Value) -> Result<String, Error> {
    let is_map = given.kind() == ValueKind::Map;
    let values: Vec<Value> = if given.is_tuple() { given.try_iter()?.collect() } else { vec![given.clone()] };
    let mut values = values.into_iter();
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        add(&mut out, &rest[..at], budget)?;
        rest = &rest[at + 1..];
        let mut named = None;
        if let Some(after) = rest.strip_prefix('(') {
            let (name, after) = after.split_once(')').ok_or_else(|| fault("`%(` without its end"))?;
            if !is_map {
                return Err(fault("`%(name)` for what is no dict"));
            }
            named = Some(given.get_item(&Value::from(name))?);
            rest = after;
        }
        let mut next = || values.next().ok_or_else(|| fault("more `%` than values"));
        let flags = prefix(&mut rest, |c| matches!(c, '#' | '0' | '-' | ' ' | '+'));
        let mut spec = flags.to_owned();
        spec += &star_or_number(&mut rest, &mut next)?;
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            let digits = star_or_number(&mut rest, &mut next)?;
            spec += ".";
            spec += if digits.is_empty() { "0" } else { &digits };
        }
        prefix(&mut rest, |c| matches!(c, 'h' | 'l' | 'L'));
        let kind = rest.chars().next().ok_or_else(|| fault("`%` without what to write"))?;
        rest = &rest[kind.len_utf8()..];
        if kind == '%' {
            add(&mut out, "%", budget)?;
            continue;
        }
        let value = match named {
            Some(value) if value.is_undefined() => return Err(fault("`%(name)` of which there is none")),
            Some(value) => value,
            None => next()?,
        };
        let (kind, value) = match kind {
            's' => ('s', Value::from(text_of(&value, budget)?)),
            'r' => ('s', Value::from(repr(&value, budget)?)),
            'a' => ('s', Value::from(ascii(&repr(&value, budget)?))),
            'd' | 'i' | 'u' => ('d', truncated(&value)?),
            kind => (kind, value),
        };
        let shown = match (kind, value.as_str()) {
            ('s', Some(text)) => {
                // Python's default is the right here, and the left in braces.
                let spec = spec.trim_start_matches(['#', '0', ' ', '+']);
                let (side, spec) = spec.strip_prefix('-').map_or((">", spec), |spec| ("<", spec));
                text_field(text, &format!("{side}{spec}"), budget)?
            }
            _ => format(FormatStyle::Printf, &format!("%{spec}{kind}"), &[value])?,
        };
        add(&mut out, &shown, budget)?;
    }
    add(&mut out, rest, budget)?;
    // A single list or dict may be left over; values of a tuple may not.
    let counts = given.is_tuple() || !(is_map || compare::is_list(given));
    if counts && values.next().is_some() {
        return Err(fault("more values than `%`"));
    }
    Ok(out)
}

fn add(out: &mut String, text: &str, budget: &Budget) -> Result<(), Error> {
    budget.take_bytes(text.len() as u64)?;
    out.push_str(text);
    Ok(())
}

/// Cuts off and returns what the text begins with, of such characters.
fn prefix<'a>(rest: &mut &'a str, is_part: impl Fn(char) -> bool) -> &'a str {
    let at = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let (found, after) = rest.split_at(at);
    *rest = after;
    found
}

fn star_or_number(rest: &mut &str, next: &mut impl FnMut() -> Result<Value, Error>) -> Result<String, Error> {
    let number = match rest.strip_prefix('*') {
        Some(after) => {
            *rest = after;
            let width = next()?;
            width.as_i64().ok_or_else(|| fault("`*` for what is no whole number"))?.to_string()
        }
        None => prefix(rest, |c| c.is_ascii_digit()).to_owned(),
    };
    bounded(&number)?;
    Ok(number)
}

/// Fails if a width or a number of digits is larger than any honest one.
fn bounded(number: &str) -> Result<(), Error> {
    let digits = number.trim_start_matches('-');
    match digits.is_empty() || digits.parse().is_ok_and(|n: usize| n <= WIDEST) {
        true => Ok(()),
        false => Err(fault(format!("a width of {number}, and at most {WIDEST} is allowed"))),
    }
}

fn repr(value: &Value, budget: &Budget) -> Result<String, Error> {
    let mut text = String::new();
    write_repr(&mut text, value, budget)?;
    Ok(text)
}

/// A text by a specification: `[[fill]align][width][.most][s]`, counted in characters.
fn text_field(text: &str, spec: &str, budget: &Budget) -> Result<String, Error> {
    let wrong = || fault(format!("a format `{spec}` for a text"));
    let (fill, side, rest) = aligned(spec.strip_suffix('s').unwrap_or(spec));
    let fill = fill.unwrap_or(' ');
    let (width, most) = rest.split_once('.').map_or((rest, None), |(width, most)| (width, Some(most)));
    let number = |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<i64>().map_err(|_| wrong()) };
    let most = most.map(number).transpose()?.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(0));
    let kept: String = text.chars().take(most).collect();
    match side {
        Some('=') => Err(wrong()),
        Some('^') => centred(budget, &kept, number(width)?, fill),
        Some('>') => padded(budget, &kept, "rjust", number(width)?, fill),
        _ => padded(budget, &kept, "ljust", number(width)?, fill),
    }
}

/// What a specification begins with, and the rest: the character that fills, and the side.
fn aligned(spec: &str) -> (Option<char>, Option<char>, &str) {
    let is_side = |c: Option<char>| matches!(c, Some('<' | '>' | '^' | '='));
    let mut rest = spec.chars();
    match (rest.next(), rest.next()) {
        (Some(fill), side) if is_side(side) => (Some(fill), side, rest.as_str()),
        (side, _) if is_side(side) => (None, side, &spec[1..]),
        _ => (None, None, spec),
    }
}

/// A number by a specification. The library lacks the type `n`, which without a locale is another's name, and what fills
/// between sign and digits; and it takes a precision for whole numbers.
fn number_field(number: Value, spec: &str, budget: &Budget) -> Result<String, Error> {
    let wrong = || fault(format!("a format `{spec}` for a number"));
    let (fill, side, rest) = aligned(spec);
    let of_whole = number.is_integer() && !rest.ends_with(['e', 'E', 'f', 'F', 'g', 'G', '%']);
    if of_whole && rest.contains('.') || rest.ends_with('n') && rest.contains([',', '_']) {
        return Err(wrong());
    }
    let before = &spec[..spec.len() - rest.len()];
    let rest =
        rest.strip_suffix('n').map_or(rest.to_owned(), |rest| rest.to_owned() + if of_whole { "d" } else { "g" });
    let by_library = |spec: &str, number| format(FormatStyle::StrFormat, &format!("{{:{spec}}}"), &[number]);
    if side != Some('=') {
        return by_library(&format!("{before}{rest}"), number);
    }
    let mut after = rest.as_str();
    let flags = prefix(&mut after, |c| matches!(c, '+' | '-' | ' ' | '#'));
    let is_zero = after.starts_with('0');
    let width = prefix(&mut after, |c| c.is_ascii_digit());
    if width.is_empty() || fill.map_or(is_zero, |fill| fill == '0') {
        // Zeros are grouped like digits.
        let zero = if width.is_empty() || is_zero { "" } else { "0" };
        return by_library(&format!("{flags}{zero}{width}{after}"), number);
    }
    let shown = by_library(&format!("{flags}{after}"), number)?;
    let mut digits = shown.as_str();
    prefix(&mut digits, |c| matches!(c, '+' | '-' | ' '));
    if flags.contains('#') && after.ends_with(['b', 'o', 'x', 'X']) {
        digits = digits.get(2..).ok_or_else(wrong)?;
    }
    let sign = &shown[..shown.len() - digits.len()];
    let width = width.parse::<i64>().map_err(|_| wrong())? - sign.len() as i64;
    Ok(format!("{sign}{}", padded(budget, digits, "rjust", width, fill.unwrap_or(' '))?))
}

/// A number as hundredths by a specification without its `%`, which the library does not count in a width.
fn percent_field(number: f64, spec: &str, budget: &Budget) -> Result<String, Error> {
    let wrong = || fault(format!("a format `{spec}%` for a number"));
    let (fill, side, mut rest) = aligned(spec);
    let flags = prefix(&mut rest, |c| matches!(c, '+' | '-' | ' ' | '#'));
    let is_zero = rest.starts_with('0');
    let width = prefix(&mut rest, |c| c.is_ascii_digit());
    if is_zero && rest.starts_with([',', '_']) {
        // Zeros are grouped like digits.
        return Err(wrong());
    }
    let shown = format(FormatStyle::StrFormat, &format!("{{:{flags}{rest}f}}%"), &[(100.0 * number).into()])?;
    let width = if width.is_empty() { 0 } else { width.parse::<i64>().map_err(|_| wrong())? };
    let fill = fill.unwrap_or(if is_zero { '0' } else { ' ' });
    match side.unwrap_or(if is_zero { '=' } else { '>' }) {
        '=' => {
            let mut digits = shown.as_str();
            let sign = prefix(&mut digits, |c| matches!(c, '+' | '-' | ' '));
            Ok(format!("{sign}{}", padded(budget, digits, "rjust", width - sign.len() as i64, fill)?))
        }
        '^' => centred(budget, &shown, width, fill),
        '<' => padded(budget, &shown, "ljust", width, fill),
        _ => padded(budget, &shown, "rjust", width, fill),
    }
}

/// In the middle as formats have it: the odd one stands behind, whatever the width.
fn centred(budget: &Budget, text: &str, width: i64, fill: char) -> Result<String, Error> {
    let n = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let left = padded(budget, text, "rjust", n.saturating_add((width - n).max(0) / 2), fill)?;
    padded(budget, &left, "ljust", width, fill)
}

/// A number as a whole one: what `%d` writes of it.
fn truncated(value: &Value) -> Result<Value, Error> {
    if value.is_integer() || value.kind() == ValueKind::Bool {
        return Ok(compare::number(value));
    }
    let number = (value.kind() == ValueKind::Number).then(|| f64::try_from(value.clone()).ok()).flatten();
    let number = number.filter(|number| number.abs() < 1e36);
    #[allow(clippy::cast_possible_truncation)]
    number.map(|number| Value::from(number as i128)).ok_or_else(|| fault(format!("`%d` for a {}", value.kind())))
}

/// `pattern.format(*by_place, **by_name)`.
pub(super) fn by_braces(
    budget: &Budget,
    pattern: &str,
    by_place: &[Value],
    by_name: &[(String, Value)],
) -> Result<String, Error> {
    Braces { budget, by_place, by_name, next: 0 }.write(pattern, true)
}

struct Braces<'a> {
    budget: &'a Budget,
    by_place: &'a [Value],
    by_name: &'a [(String, Value)],
    next: usize,
}

impl Braces<'_> {
    /// Fields may stand in a field's specification, and no deeper.
    fn write(&mut self, pattern: &str, outer: bool) -> Result<String, Error> {
        let mut out = String::new();
        let mut rest = pattern;
        while let Some(at) = rest.find(['{', '}']) {
            add(&mut out, &rest[..at], self.budget)?;
            rest = &rest[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                add(&mut out, &rest[..1], self.budget)?;
                rest = &rest[2..];
                continue;
            }
            if rest.starts_with('}') || !outer {
                return Err(fault("a brace that stands alone in a format"));
            }
            let end = end_of(rest).ok_or_else(|| fault("`{` without `}` in a format"))?;
            let shown = self.field(&rest[1..end])?;
            add(&mut out, &shown, self.budget)?;
            rest = &rest[end + 1..];
        }
        add(&mut out, rest, self.budget)?;
        Ok(out)
    }

    fn field(&mut self, field: &str) -> Result<String, Error> {
        let (named, spec) = field.split_once(':').unwrap_or((field, ""));
        let (path, conversion) = named.split_once('!').map_or((named, None), |(path, kind)| (path, Some(kind)));
        let value = self.value(path)?;
        let value = match conversion {
            None => value,
            Some("s") => Value::from(text_of(&value, self.budget)?),
            Some("r") => Value::from(repr(&value, self.budget)?),
            Some("a") => Value::from(ascii(&repr(&value, self.budget)?)),
            Some(other) => return Err(fault(format!("`!{other}` in a format"))),
        };
        let mut spec = self.nested(spec)?;
        // A zero before the width fills, also where a side is told.
        if let Some(side) = spec.chars().next().filter(|c| matches!(c, '<' | '>' | '^'))
            && spec[1..].starts_with('0')
        {
            spec = format!("0{side}{}", &spec[2..]);
        }
        // Only by itself a truth value is no number.
        let is_truth = value.kind() == ValueKind::Bool && !spec.is_empty();
        let value = if is_truth { compare::number(&value) } else { value };
        let mut numbers = spec.split(|c: char| !c.is_ascii_digit());
        numbers.try_for_each(bounded)?;
        match (value.as_str(), value.kind(), spec.strip_suffix('%')) {
            _ if spec.is_empty() => text_of(&value, self.budget),
            (Some(text), _, _) => text_field(text, &spec, self.budget),
            (None, ValueKind::Number, Some(spec)) => percent_field(f64::try_from(value)?, spec, self.budget),
            (None, ValueKind::Number, None) => number_field(value, &spec, self.budget),
            _ => Err(fault(format!("a format `{spec}` for a {}", value.kind()))),
        }
    }

    /// A specification with the fields in it written.
    fn nested(&mut self, spec: &str) -> Result<String, Error> {
        let mut out = String::new();
        let mut rest = spec;
        while let Some((before, after)) = rest.split_once('{') {
            let (path, after) = after.split_once('}').ok_or_else(|| fault("`{` without `}` in a format"))?;
            let value = self.value(path)?;
            add(&mut out, before, self.budget)?;
            out += &text_of(&value, self.budget)?;
            rest = after;
        }
        add(&mut out, rest, self.budget)?;
        Ok(out)
    }

    fn value(&mut self, path: &str) -> Result<Value, Error> {
        let mut rest = path;
        let name = prefix(&mut rest, |c| !matches!(c, '.' | '['));
        let missing = || fault(format!("no value for `{{{path}}}` in a format"));
        let mut value = if name.is_empty() {
            self.next += 1;
            self.by_place.get(self.next - 1).cloned()
        } else if let Ok(place) = name.parse::<usize>() {
            self.by_place.get(place).cloned()
        } else {
            self.by_name.iter().find(|(named, _)| named == name).map(|(_, value)| value.clone())
        }
        .ok_or_else(missing)?;
        while !rest.is_empty() {
            value = if let Some(after) = rest.strip_prefix('.') {
                rest = after;
                value.get_attr(prefix(&mut rest, |c| !matches!(c, '.' | '[')))?
            } else {
                let (key, after) = rest.get(1..).and_then(|rest| rest.split_once(']')).ok_or_else(missing)?;
                rest = after;
                match key.parse::<usize>() {
                    Ok(index) => value.get_item(&Value::from(index))?,
                    Err(_) => value.get_item(&Value::from(key))?,
                }
            };
            if value.is_undefined() {
                return Err(missing());
            }
        }
        Ok(value)
    }
}

/// Where the field that begins the text ends.
fn end_of(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}
