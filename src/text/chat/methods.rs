//! The methods of Python's values: those of texts (`strings`), and of lists and dicts; what changes a value fails, as
//! templates run in a sandbox where values stay as they are.

use super::arguments::{Arguments, fault};
use super::budget::Budget;
use super::operations::is_namespace;
use super::{compare, strings};
use minijinja::value::{Enumerator, Object, ObjectRepr, Tuple, ValueKind};
use minijinja::{Error, State, Value};
use minijinja_contrib::pycompat;
use std::sync::Arc;

/// What can be gone through and is no list, as Python has it: what `keys`, `values` and `items` of a dict give, or,
/// without a name, what filters as `map` give.
#[derive(Debug)]
struct Series {
    name: Option<&'static str>,
    items: Vec<Value>,
}

impl Object for Series {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.items.clone())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        self.name.map(|_| self.items.len())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        // Python does not look into what it has yet to compute.
        self.name.is_none() || !self.items.is_empty()
    }
}

/// What Python writes before such a series of a dict.
pub(super) fn view_name(value: &Value) -> Option<&'static str> {
    value.downcast_object_ref::<Series>()?.name
}

/// Items as filters give them that compute one after the other: they have no number, and are no list until they are
/// made one.
pub(super) fn generator(items: Vec<Value>) -> Value {
    Value::from_object(Series { name: None, items })
}

/// The methods of Python's dicts.
pub(super) const OF_DICTS: [&str; 11] =
    ["clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values"];

/// Those of lists that change nothing.
const OF_LISTS: [&str; 3] = ["copy", "count", "index"];

/// Those of texts.
const OF_TEXTS: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

/// Whether values of some kind have a method of that name.
pub(super) fn is_name(name: &str) -> bool {
    OF_DICTS.contains(&name) || OF_LISTS.contains(&name) || OF_TEXTS.contains(&name)
}

/// A method that is taken without a call, which may come later.
#[derive(Debug)]
struct Bound {
    budget: Budget,
    value: Value,
    name: String,
}

impl Object for Bound {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, given: &[Value]) -> Result<Value, Error> {
        call(&self.budget, state, &self.value, &self.name, given)
    }
}

/// Whether it is one. Python writes such a method with its address, which means nothing.
pub(super) fn is_bound(value: &Value) -> bool {
    value.downcast_object_ref::<Bound>().is_some()
}

/// `value.name`: a method before a key.
pub(super) fn attribute(budget: &Budget, value: &Value, name: &str) -> Result<Value, Error> {
    let is_method = match value.kind() {
        ValueKind::String => OF_TEXTS.contains(&name),
        ValueKind::Seq => OF_LISTS.contains(&name),
        ValueKind::Map => OF_DICTS.contains(&name) && !is_namespace(value),
        _ => false,
    };
    if !is_method {
        return value.get_attr(name);
    }
    Ok(Value::from_object(Bound { budget: budget.clone(), value: value.clone(), name: name.to_owned() }))
}

/// Calls `value.name(given…)`.
pub(super) fn call(
    budget: &Budget,
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    given: &[Value],
) -> Result<Value, Error> {
    budget.measure(value)?;
    given.iter().try_for_each(|value| budget.measure(value))?;
    let mut arguments = Arguments::new(given)?;
    let ours = match (value.as_str(), value.kind()) {
        (Some(text), _) => strings::method(budget, text, name, &mut arguments),
        (None, ValueKind::Map) => of_dict(budget, value, name, &mut arguments),
        (None, ValueKind::Seq) => of_list(budget, value, name, &mut arguments),
        _ => None,
    };
    let done = match ours {
        Some(done) => done?,
        None => budget.made(pycompat::unknown_method_callback(state, value, name, given)?)?,
    };
    if value.is_safe() { safe(done) } else { Ok(done) }
}

/// What a method makes of a text that is marked as safe: texts that are so, too.
fn safe(made: Value) -> Result<Value, Error> {
    if let Some(text) = made.as_str() {
        return Ok(Value::from_safe_string(text.to_owned()));
    }
    if made.kind() != ValueKind::Seq {
        return Ok(made);
    }
    let items = made.try_iter()?.map(safe).collect::<Result<Vec<_>, Error>>()?;
    Ok(if made.is_tuple() { Tuple::new(items).into() } else { items.into() })
}

fn of_dict(budget: &Budget, dict: &Value, name: &str, given: &mut Arguments) -> Option<Result<Value, Error>> {
    let view = |name, items: Result<Vec<Value>, Error>| {
        items.map(|items| Value::from_object(Series { name: Some(name), items }))
    };
    Some(match name {
        "keys" => view("dict_keys", dict.try_iter().and_then(|keys| budget.list(keys))),
        "values" => view("dict_values", pairs(budget, dict, |_, value| value)),
        "items" => view("dict_items", pairs(budget, dict, |key, value| Tuple::from([key, value]).into())),
        "copy" => Ok(dict.clone()),
        "get" => given.need(0, "key").and_then(|key| {
            let default = given.take(1, "default").unwrap_or_else(|| Value::from(()));
            let found = dict.get_item(&key)?;
            Ok(if found.is_undefined() && !compare::contains(dict, &key)? { default } else { found })
        }),
        "pop" | "popitem" | "clear" | "update" | "setdefault" => Err(changed(name)),
        _ => return None,
    })
}

/// Something of each key and value.
pub(super) fn pairs(budget: &Budget, dict: &Value, of: impl Fn(Value, Value) -> Value) -> Result<Vec<Value>, Error> {
    let mut items = Vec::new();
    for key in dict.try_iter()? {
        budget.take_entry(0)?;
        let value = dict.get_item(&key)?;
        items.push(of(key, value));
    }
    Ok(items)
}

fn of_list(budget: &Budget, list: &Value, name: &str, given: &mut Arguments) -> Option<Result<Value, Error>> {
    Some(match name {
        "index" => given.need(0, "value").and_then(|item| {
            let at = list.try_iter()?.position(|one| compare::equal(&one, &item));
            at.map(Value::from).ok_or_else(|| fault("the value is not in the list"))
        }),
        "count" => given
            .need(0, "value")
            .and_then(|item| Ok(list.try_iter()?.filter(|one| compare::equal(one, &item)).count().into())),
        "copy" => list.try_iter().and_then(|items| budget.list(items)).map(Value::from),
        "append" | "extend" | "insert" | "pop" | "remove" | "clear" | "sort" | "reverse" => Err(changed(name)),
        _ => return None,
    })
}

fn changed(name: &str) -> Error {
    fault(format!("`{name}` changes a value, which templates may not"))
}
