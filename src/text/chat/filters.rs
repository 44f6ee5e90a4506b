//! The filters that Jinja has, each within the budget. The library's own do the work where they do what Jinja's do;
//! what they make is charged. Those that make more than they are given are done here, and charged first.

use super::arguments::{Arguments, fault};
use super::budget::{Budget, exhausted};
use super::python::text_of;
use super::strings::{is_space, joined, lines, padded, replaced};
use super::{formats, groups, json, layout, methods, numbers};
use minijinja::value::{Rest, Tuple, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value, filters};
use regex::Regex;
use std::cmp::Ordering;

/// Widest that a template may indent.
const WIDEST_INDENT: i64 = 64;

type Filter = fn(&Budget, &Value, &mut Arguments) -> Result<Value, Error>;

/// Filters of our own: they charge what they make.
const OURS: [(&str, Filter); 36] = [
    ("replace", |budget, value, given| {
        let (old, new) = (given.need(0, "old")?, given.need(1, "new")?);
        let count = given.whole(2, "count")?.and_then(|count| usize::try_from(count).ok());
        let [text, old, new] = [value, &old, &new].map(|value| text_of(value, budget));
        replaced(budget, &text?, &old?, &new?, count).map(Value::from)
    }),
    ("join", |budget, value, given| {
        let joiner = given.take(0, "d").map_or(Ok(String::new()), |joiner| text_of(&joiner, budget))?;
        let attribute = given.take(1, "attribute").filter(|attribute| !attribute.is_none());
        let values = value.try_iter()?.map(|value| match &attribute {
            Some(path) => groups::attribute(&value, path),
            None => Ok(value),
        });
        joined(budget, values, &joiner).map(Value::from)
    }),
    ("string", |budget, value, _| Ok(if value.is_safe() { value.clone() } else { text_of(value, budget)?.into() })),
    ("format", |budget, value, given| {
        let pattern = value.as_str().ok_or_else(|| fault("a format that is no text"))?;
        let named = given.take_named();
        let values = match (named.is_empty(), given.by_place().is_empty()) {
            (false, true) => Value::from_pairs(named),
            (true, _) => Value::from(Tuple::from(given.by_place())),
            (false, false) => return Err(fault("values both by place and by name")),
        };
        formats::by_percent(budget, pattern, &values).map(Value::from)
    }),
    ("trim", |budget, value, given| {
        let text = text_of(value, budget)?;
        let kept = match given.text(0, "chars")? {
            Some(chars) => text.trim_matches(|c| chars.contains(c)),
            None => text.trim_matches(is_space),
        };
        budget.take_bytes(kept.len() as u64)?;
        Ok(if value.is_safe() { Value::from_safe_string(kept.to_owned()) } else { kept.into() })
    }),
    ("length", |budget, value, _| length(budget, value)),
    ("count", |budget, value, _| length(budget, value)),
    ("default", |_, value, given| Ok(default(value, given))),
    ("d", |_, value, given| Ok(default(value, given))),
    ("first", |_, value, _| Ok(value.try_iter()?.next().unwrap_or_default())),
    ("last", |budget, value, _| last(budget, value)),
    ("attr", |_, value, given| {
        let name = given.text(0, "name")?.unwrap_or_default();
        // Dicts have items, and no attributes.
        if value.kind() == ValueKind::Map && !super::operations::is_namespace(value) {
            return Ok(Value::UNDEFINED);
        }
        value.get_attr(&name)
    }),
    ("int", numbers::int),
    ("float", numbers::float),
    ("escape", |budget, value, _| escaped(value, budget)),
    ("e", |budget, value, _| escaped(value, budget)),
    ("forceescape", |budget, value, _| escaped(&Value::from(text_of(value, budget)?), budget)),
    ("safe", |budget, value, _| text_of(value, budget).map(Value::from_safe_string)),
    ("center", |budget, value, given| {
        let width = given.whole(0, "width")?.unwrap_or(80);
        padded(budget, &text_of(value, budget)?, "center", width, ' ').map(Value::from)
    }),
    ("wordcount", |budget, value, _| {
        let words = Regex::new(r"[\w\p{N}]+").map_err(|_| fault("words"))?;
        Ok(words.find_iter(&text_of(value, budget)?).count().into())
    }),
    ("filesizeformat", |_, value, given| {
        let binary = given.flag(0, "binary");
        Ok(minijinja_contrib::filters::filesizeformat(f64::try_from(value.clone())?, Some(binary)).into())
    }),
    ("truncate", truncate),
    ("indent", indent),
    ("sort", groups::sort),
    ("dictsort", groups::dict_sort),
    ("groupby", groups::group_by),
    ("unique", groups::unique),
    ("min", |budget, value, given| groups::extreme(budget, value, given, Ordering::Less)),
    ("max", |budget, value, given| groups::extreme(budget, value, given, Ordering::Greater)),
    ("batch", groups::batch),
    ("slice", groups::slice),
    ("items", groups::items),
    ("wordwrap", layout::word_wrap),
    ("pprint", layout::pretty),
    ("xmlattr", layout::xml_attributes),
    ("urlencode", |budget, value, _| {
        let made = filters::urlencode(value)?;
        // In a query, which a dict becomes, a space is a plus.
        Ok(match value.kind() {
            ValueKind::Map => replaced(budget, &replaced(budget, &made, "%20", "+", None)?, "/", "%2F", None)?.into(),
            _ => made.into(),
        })
    }),
];

/// Filters that look at a value and do not go through it, or charge it themselves: loops ask for the length of the whole
/// conversation in each turn.
const NOT_THROUGH: [&str; 6] = ["length", "count", "default", "d", "first", "last"];

/// Filters of the library's whose items Python computes one after the other.
const GENERATORS: [&str; 5] = ["map", "select", "reject", "selectattr", "rejectattr"];

/// Makes the filters known to an environment.
pub(super) fn add_to(environment: &mut Environment<'_>, budget: &Budget) {
    for (name, filter) in OURS {
        let budget = budget.clone();
        environment.add_filter(name, move |values: Rest<ValueOrKwargs>| {
            let values = values.into_values();
            if !NOT_THROUGH.contains(&name) {
                values.iter().try_for_each(|value| budget.measure(value))?;
            }
            let (value, given) = values.split_first().ok_or_else(|| fault("a filter of nothing"))?;
            let mut given = Arguments::new(given)?;
            let made = filter(&budget, value, &mut given)?;
            given.end(given.by_place().len())?;
            Ok::<_, Error>(made)
        });
    }
    let theirs = [
        ("lower", Value::from_function(filters::lower)),
        ("upper", Value::from_function(filters::upper)),
        ("title", Value::from_function(filters::title)),
        ("capitalize", Value::from_function(filters::capitalize)),
        ("reverse", Value::from_function(filters::reverse)),
        ("list", Value::from_function(filters::list)),
        ("map", Value::from_function(filters::map)),
        ("select", Value::from_function(filters::select)),
        ("reject", Value::from_function(filters::reject)),
        ("selectattr", Value::from_function(filters::selectattr)),
        ("rejectattr", Value::from_function(filters::rejectattr)),
        ("sum", Value::from_function(filters::sum)),
        ("abs", Value::from_function(filters::abs)),
        ("round", Value::from_function(filters::round)),
        ("striptags", Value::from_function(minijinja_contrib::filters::striptags)),
    ];
    for (name, filter) in theirs {
        let budget = budget.clone();
        environment.add_filter(name, move |state: &mut State, values: Rest<ValueOrKwargs>| {
            let mut values = values.into_values();
            values.iter().try_for_each(|value| budget.measure(value))?;
            if name == "round" {
                directed(&mut values)?;
            }
            let made = match values.get(1).and_then(Value::as_str).filter(|_| name == "map") {
                Some(filter) => each(state, filter, &values)?,
                None => filter.call(state, &values)?,
            };
            let made = budget.made(made)?;
            if !GENERATORS.contains(&name) {
                return Ok(made);
            }
            budget.list(made.try_iter()?).map(methods::generator)
        });
    }
    let shared = budget.clone();
    environment.add_filter("tojson", move |value: &Value, given: Rest<ValueOrKwargs>| {
        shared.measure(value)?;
        json::to_json(&shared, value, Arguments::new(&given.into_values())?)
    });
}

/// What a filter makes of each item, with what else it is given: the library's own `map` loses what has a name.
fn each(state: &mut State, filter: &str, values: &[Value]) -> Result<Value, Error> {
    let of = |item| state.apply_filter(filter, &[&[item], &values[2..]].concat());
    values[0].try_iter()?.map(of).collect::<Result<Vec<_>, Error>>().map(Value::from)
}

/// Python rounds whole numbers up and down to numbers with a point.
fn directed(values: &mut [Value]) -> Result<(), Error> {
    let Some((value, given)) = values.split_first_mut() else { return Ok(()) };
    let method = Arguments::new(given)?.text(1, "method")?;
    if method.is_some_and(|method| method != "common") && value.is_integer() {
        *value = f64::try_from(value.clone())?.into();
    }
    Ok(())
}

fn length(budget: &Budget, value: &Value) -> Result<Value, Error> {
    if value.as_str().is_some() {
        budget.measure(value)?;
    }
    match value.len() {
        Some(n) => Ok(n.into()),
        None if value.is_undefined() => Ok(0.into()),
        None => Err(fault(format!("the length of a {}", value.kind()))),
    }
}

fn last(budget: &Budget, value: &Value) -> Result<Value, Error> {
    if let (ValueKind::Seq, Some(n)) = (value.kind(), value.len()) {
        return if n > 0 { value.get_item(&Value::from(n - 1)) } else { Ok(Value::UNDEFINED) };
    }
    budget.measure(value)?;
    match value.kind() {
        ValueKind::Iterable if value.len().is_none() => Err(fault("what comes last of items that are no list")),
        _ => Ok(value.try_iter()?.last().unwrap_or_default()),
    }
}

fn default(value: &Value, given: &mut Arguments) -> Value {
    let (other, falsy_too) = (given.take(0, "default_value"), given.flag(1, "boolean"));
    match value.is_undefined() || (falsy_too && !value.is_true()) {
        true => other.unwrap_or_else(|| Value::from("")),
        false => value.clone(),
    }
}

/// As Python's markupsafe: what is marked as safe stays as it is.
pub(super) fn escaped(value: &Value, budget: &Budget) -> Result<Value, Error> {
    let mut text = text_of(value, budget)?;
    if !value.is_safe() {
        for (from, to) in [("&", "&amp;"), (">", "&gt;"), ("<", "&lt;"), ("'", "&#39;"), ("\"", "&#34;")] {
            text = replaced(budget, &text, from, to, None)?;
        }
    }
    Ok(Value::from_safe_string(text))
}

/// `truncate(value, length=255, killwords=False, end='...', leeway=5)`, in characters.
fn truncate(budget: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let text = text_of(value, budget)?;
    let n = |n: Option<i64>, default| n.map_or(default, |n| usize::try_from(n).unwrap_or(0));
    let length = n(given.whole(0, "length")?, 255);
    let cuts_words = given.flag(1, "killwords");
    let end = given.text(2, "end")?.unwrap_or_else(|| "...".to_owned());
    let leeway = n(given.whole(3, "leeway")?, 5);
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text.into());
    }
    let n_kept = length.checked_sub(end.chars().count()).ok_or_else(|| fault("an end longer than the text may be"))?;
    let kept: String = text.chars().take(n_kept).collect();
    let kept =
        if cuts_words { kept.as_str() } else { kept.rsplit_once(' ').map_or(kept.as_str(), |(before, _)| before) };
    Ok(format!("{kept}{end}").into())
}

/// `indent(value, width=4, first=False, blank=False)`; the width may be the text to put before a line.
fn indent(budget: &Budget, value: &Value, given: &mut Arguments) -> Result<Value, Error> {
    let text = text_of(value, budget)?;
    let before = match given.take(0, "width") {
        None => "    ".to_owned(),
        Some(width) => match (width.as_str(), width.as_i64()) {
            (Some(before), _) => before.to_owned(),
            (None, Some(width)) if width <= WIDEST_INDENT => " ".repeat(usize::try_from(width).unwrap_or(0)),
            _ => return Err(exhausted("indentation")),
        },
    };
    let (first, blank) = (given.flag(1, "first"), given.flag(2, "blank"));
    let mut out = String::new();
    let text = text + "\n";
    for (index, line) in lines(&text, false).enumerate() {
        budget.take_bytes((before.len() + line.len() + 1) as u64)?;
        if index > 0 {
            out.push('\n');
        }
        if if index == 0 { first } else { blank || !line.is_empty() } {
            out += &before;
        }
        out += line;
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_filters_make_is_charged_before_it_is_made() {
        let filter = |name: &str, text: &str, given: &[Value], n_bytes: u64| {
            let (_, filter) = OURS.into_iter().find(|(known, _)| *known == name).unwrap();
            filter(&Budget::new(n_bytes, 1000), &text.into(), &mut Arguments::new(given).unwrap())
        };
        for (name, given) in
            [("center", vec![1_000_000.into()]), ("replace", vec!["".into(), "long text".repeat(100).into()])]
        {
            assert!(filter(name, "abcdefghijkl", &given, 5000).is_err(), "{name}");
        }
        assert_eq!(filter("center", "ab", &[6.into()], 100).unwrap(), Value::from("  ab  "));
        assert_eq!(filter("length", "äb", &[], 100).unwrap(), Value::from(2));
    }
}
