//! The filters and methods that chat templates use, each within the budget. The library's own do the work, but for those
//! that make more than they are given: these are done here, and charged first.

use super::budget::{Budget, exhausted};
use super::json;
use super::python::write_str;
use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};
use minijinja_contrib::pycompat;

/// Widest that a template may indent.
const WIDEST_INDENT: usize = 64;

/// Makes the filters and methods known to an environment, and no others.
pub(super) fn add_to(environment: &mut Environment<'_>, budget: &Budget) {
    for name in ["batch", "slice", "format", "pprint", "groupby", "chain", "zip", "lines", "attr"] {
        environment.remove_filter(name);
    }
    let theirs = [
        ("e", Value::from_function(filters::escape)),
        ("escape", Value::from_function(filters::escape)),
        ("lower", Value::from_function(filters::lower)),
        ("upper", Value::from_function(filters::upper)),
        ("title", Value::from_function(filters::title)),
        ("capitalize", Value::from_function(filters::capitalize)),
        ("trim", Value::from_function(filters::trim)),
        ("split", Value::from_function(filters::split)),
        ("dictsort", Value::from_function(filters::dictsort)),
        ("items", Value::from_function(filters::items)),
        ("reverse", Value::from_function(filters::reverse)),
        ("list", Value::from_function(filters::list)),
        ("sort", Value::from_function(filters::sort)),
        ("unique", Value::from_function(filters::unique)),
        ("map", Value::from_function(filters::map)),
        ("select", Value::from_function(filters::select)),
        ("reject", Value::from_function(filters::reject)),
        ("selectattr", Value::from_function(filters::selectattr)),
        ("rejectattr", Value::from_function(filters::rejectattr)),
        ("min", Value::from_function(filters::min)),
        ("max", Value::from_function(filters::max)),
        ("sum", Value::from_function(filters::sum)),
        ("int", Value::from_function(filters::int)),
        ("float", Value::from_function(filters::float)),
    ];
    for (name, filter) in theirs {
        let budget = budget.clone();
        environment.add_filter(name, move |state: &mut State, values: Rest<Value>, named: Kwargs| {
            let values = with_named(values, named);
            values.iter().try_for_each(|value| budget.measure(value))?;
            budget.made(filter.call(state, &values)?)
        });
    }
    let shared = budget.clone();
    environment.add_filter("replace", move |text: &str, old: &str, new: &str, count: Option<usize>| {
        replace(&shared, text, old, new, count)
    });
    let shared = budget.clone();
    environment
        .add_filter("join", move |values: Value, joiner: Option<&str>| join(&shared, &values, joiner.unwrap_or("")));
    let shared = budget.clone();
    environment.add_filter("string", move |value: Value| {
        let mut text = String::new();
        write_str(&mut text, &value, &shared).map(|()| text)
    });
    let shared = budget.clone();
    environment.add_filter("indent", move |state: &mut State, values: Rest<Value>, named: Kwargs| {
        let named_width: Option<usize> = named.get("width")?;
        let values = with_named(values, named);
        let width = named_width.or_else(|| values.get(1).and_then(Value::as_usize)).unwrap_or(4);
        let n_lines = values.first().and_then(Value::as_str).map_or(0, |text| text.lines().count());
        shared.take_bytes((n_lines as u64).saturating_mul(width as u64))?;
        shared.made(Value::from_function(filters::indent).call(state, &values)?)
    });
    let shared = budget.clone();
    environment.add_filter("tojson", move |value: Value, indent: Option<usize>, options: Kwargs| {
        to_json(&shared, &value, indent, &options)
    });
    let shared = budget.clone();
    environment.set_unknown_method_callback(move |state, value, method, values| {
        method_of(&shared, state, value, method, values)
    });
}

/// The arguments of a call as the library passes them on: the named ones last, as one.
fn with_named(values: Rest<Value>, named: Kwargs) -> Vec<Value> {
    let mut values = values.0;
    if named.args().next().is_some() {
        values.push(named.into());
    }
    values
}

fn method_of(
    budget: &Budget,
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    values: &[Value],
) -> Result<Value, Error> {
    budget.measure(value)?;
    values.iter().try_for_each(|value| budget.measure(value))?;
    let text = |index: usize| values.get(index).and_then(Value::as_str);
    match (method, value.as_str()) {
        ("format", Some(_)) => Err(Error::from(ErrorKind::UnknownMethod)),
        ("replace", Some(whole)) => {
            let (Some(old), Some(new)) = (text(0), text(1)) else {
                return Err(Error::new(ErrorKind::InvalidOperation, "replace takes two texts"));
            };
            // Python counts as many as there are for a negative number.
            let count = values.get(2).and_then(Value::as_i64).and_then(|count| usize::try_from(count).ok());
            replace(budget, whole, old, new, count).map(Value::from)
        }
        ("join", Some(joiner)) => match values {
            [values] => join(budget, values, joiner).map(Value::from),
            _ => Err(Error::new(ErrorKind::InvalidOperation, "join takes one list")),
        },
        _ => budget.made(pycompat::unknown_method_callback(state, value, method, values)?),
    }
}

fn replace(budget: &Budget, text: &str, old: &str, new: &str, count: Option<usize>) -> Result<String, Error> {
    let count = count.unwrap_or(usize::MAX);
    let n_found = text.matches(old).take(count).count() as u64;
    budget.take_bytes((text.len() as u64).saturating_add(n_found.saturating_mul(new.len() as u64)))?;
    Ok(text.replacen(old, new, count))
}

fn join(budget: &Budget, values: &Value, joiner: &str) -> Result<String, Error> {
    budget.measure(values)?;
    let mut text = String::new();
    for (index, value) in values.try_iter()?.enumerate() {
        if index > 0 {
            budget.take_bytes(joiner.len() as u64)?;
            text.push_str(joiner);
        }
        write_str(&mut text, &value, budget)?;
    }
    Ok(text)
}

/// Python's `json.dumps`, with non-ASCII characters kept, as transformers does it.
fn to_json(budget: &Budget, value: &Value, indent: Option<usize>, options: &Kwargs) -> Result<String, Error> {
    let named: Option<usize> = options.get("indent")?;
    // Known to transformers, and all but `indent` at their defaults in the templates that name them.
    for option in ["ensure_ascii", "separators", "sort_keys"] {
        let _: Option<Value> = options.get(option)?;
    }
    options.assert_all_used()?;
    budget.measure(value)?;
    let indent = indent.or(named);
    if indent.is_some_and(|indent| indent > WIDEST_INDENT) {
        return Err(exhausted("indentation"));
    }
    let text = json::write(value, indent, budget.bytes_left())
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "a value that JSON cannot say, or too large a one"))?;
    budget.take_bytes(text.len() as u64)?;
    Ok(text)
}
