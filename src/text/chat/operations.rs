//! The operations of templates that make values, each within the budget: [`super::rewrite`] puts them in place of the
//! library's own, which know no bounds. Their names are no names that a template could use.

use super::arguments::{Arguments, fault};
use super::budget::Budget;
use super::compare::{contains, equal, is_list, number, order};
use super::filters::escaped;
use super::numbers::{self, arithmetic};
use super::python::write_str;
use super::{formats, macros, methods};
use minijinja::value::{Kwargs, Object, Rest, Tuple, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, Value};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub(super) const CONCAT: &str = "~";
pub(super) const ADD: &str = "+";
pub(super) const MULTIPLY: &str = "*";
pub(super) const LIST: &str = "[]";
pub(super) const TUPLE: &str = "()";
pub(super) const MAP: &str = "{}";
pub(super) const SLICE: &str = "[:]";
pub(super) const ASSIGN: &str = "=";
pub(super) const EQUAL: &str = "==";
pub(super) const UNEQUAL: &str = "!=";
pub(super) const LESS: &str = "<";
pub(super) const LESS_OR_EQUAL: &str = "<=";
pub(super) const GREATER: &str = ">";
pub(super) const GREATER_OR_EQUAL: &str = ">=";
pub(super) const IN: &str = "in";
pub(super) const REMAINDER: &str = "%";
/// One list of several, for a call.
pub(super) const SPREAD: &str = "*[]";
/// One dict of names of several, for a call.
pub(super) const MERGE: &str = "**{}";
/// Fails if a loop cannot go through the value, though the library's would.
pub(super) const ITERABLE: &str = "for";
/// What a name on the left of a `=`, or of a loop, is given a part of: a text is its characters.
pub(super) const UNPACK: &str = ",=";
/// `value.name` for a name that Python's values have a method by, which comes before a key.
pub(super) const METHOD: &str = ".";
/// A macro that takes what Python's functions take.
pub(super) const MACRO: &str = "macro()";
/// Charges a value that the library has made.
pub(super) const MADE: &str = "[..]";
/// The first of two comparisons, `a < b < c`, given a, b and the library's name of the operator: what came of it, and b.
pub(super) const CHAINED: &str = "<<";

/// `namespace()`: variables that loops may set. It stands in no other value, so it cannot hold itself.
#[derive(Debug, Default)]
pub(super) struct Namespace(Mutex<BTreeMap<String, Value>>);

impl Object for Namespace {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.lock().ok()?.get(key.as_str()?).cloned()
    }
}

/// Whether it is one.
pub(super) fn is_namespace(value: &Value) -> bool {
    value.downcast_object_ref::<Namespace>().is_some()
}

type Operation = fn(&Budget, &[Value]) -> Result<Value, Error>;

const OPERATIONS: [(&str, Operation); 16] = [
    (CONCAT, concat),
    (ADD, add),
    (MULTIPLY, multiply),
    (REMAINDER, remainder),
    (LIST, |_, values| Ok(values.to_vec().into())),
    (TUPLE, |_, values| Ok(Tuple::from(values).into())),
    (MAP, |_, values| Ok(Value::from_pairs(values.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()))))),
    (SLICE, slice),
    (ASSIGN, assign),
    (SPREAD, spread),
    (EQUAL, |budget, values| compare(budget, values, |a, b| Ok(equal(a, b)))),
    (UNEQUAL, |budget, values| compare(budget, values, |a, b| Ok(!equal(a, b)))),
    (LESS, |budget, values| compare(budget, values, |a, b| Ok(order(a, b)? == Some(Ordering::Less)))),
    (LESS_OR_EQUAL, |budget, values| compare(budget, values, |a, b| Ok(order(a, b)?.is_some_and(Ordering::is_le)))),
    (GREATER, |budget, values| compare(budget, values, |a, b| Ok(order(a, b)? == Some(Ordering::Greater)))),
    (GREATER_OR_EQUAL, |budget, values| compare(budget, values, |a, b| Ok(order(a, b)?.is_some_and(Ordering::is_ge)))),
];

/// Makes the operations known to an environment.
pub(super) fn add_to(environment: &mut Environment<'_>, budget: &Budget) {
    for (name, operation) in OPERATIONS {
        let budget = budget.clone();
        environment.add_function(name, move |values: Rest<ValueOrKwargs>| {
            budget.made(operation(&budget, &values.into_values())?)
        });
    }
    let shared = budget.clone();
    environment.add_function("namespace", move |given: Rest<ValueOrKwargs>| {
        shared.made(namespace(&shared, &Arguments::new(&given.into_values())?)?)
    });
    let shared = budget.clone();
    environment.add_function("dict", move |given: Rest<ValueOrKwargs>| {
        shared.made(Value::from_pairs(dict(&Arguments::new(&given.into_values())?, &shared)?))
    });
    let shared = budget.clone();
    environment.add_function(IN, move |item: Value, all: Value| {
        shared.measure(&item)?;
        shared.measure(&all)?;
        contains(&all, &item)
    });
    let shared = budget.clone();
    environment.add_function(MADE, move |value: Value| shared.made(value));
    let shared = budget.clone();
    environment.add_function(CHAINED, move |a: Value, b: Value, by: &str| {
        let name = match by {
            "Eq" => EQUAL,
            "Ne" => UNEQUAL,
            "Lt" => LESS,
            "Lte" => LESS_OR_EQUAL,
            "Gt" => GREATER,
            "Gte" => GREATER_OR_EQUAL,
            "In" | "NotIn" => IN,
            _ => return Err(fault("an unknown comparison")),
        };
        let operation = OPERATIONS.iter().find(|(known, _)| *known == name);
        let values = [a, b];
        let holds = match operation {
            Some((_, operation)) => operation(&shared, &values)?.is_true(),
            None => {
                shared.measure(&values[0])?;
                shared.measure(&values[1])?;
                contains(&values[1], &values[0])? != (by == "NotIn")
            }
        };
        let [_, b] = values;
        Ok(Value::from(Tuple::new(vec![holds.into(), b])))
    });
    let shared = budget.clone();
    environment.add_function(UNPACK, move |value: Value| match value.as_str() {
        Some(text) => shared.list(text.chars().map(Value::from)).map(Value::from),
        None => Ok(value),
    });
    let shared = budget.clone();
    environment.add_function(METHOD, move |value: Value, name: &str| methods::attribute(&shared, &value, name));
    let shared = budget.clone();
    environment.add_function(ITERABLE, move |value: Value| match value.kind() {
        // Of characters, whose number a loop can tell.
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            shared.list(text.chars().map(Value::from)).map(Value::from)
        }
        ValueKind::None => Err(fault("None is no list that a loop could go through")),
        _ => Ok(value),
    });
    let shared = budget.clone();
    environment.add_function(MERGE, move |given: Rest<ValueOrKwargs>| merge(&shared, &given.into_values()));
    let shared = budget.clone();
    environment.add_function("range", move |lower: isize, upper: Option<isize>, step: Option<isize>| {
        shared.made(minijinja::functions::range(lower, upper, step)?)
    });
    environment.add_function(MACRO, macros::wrap);
    environment.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.0));
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
}

/// The names and values that `dict` and `namespace` are called with: by name, and those of a dict, or of pairs.
fn dict(given: &Arguments, budget: &Budget) -> Result<Vec<(Value, Value)>, Error> {
    let mut pairs = Vec::new();
    for from in given.by_place() {
        let is_dict = from.kind() == ValueKind::Map;
        for item in from.try_iter()? {
            budget.take_entry(0)?;
            let (key, value) = if is_dict {
                (item.clone(), from.get_item(&item)?)
            } else {
                (item.get_item(&0.into())?, item.get_item(&1.into())?)
            };
            pairs.push((key, value));
        }
    }
    pairs.extend(given.by_name().iter().map(|(name, value)| (Value::from(name.as_str()), value.clone())));
    Ok(pairs)
}

/// `**a, **b` in a call: one dict of names.
fn merge(budget: &Budget, given: &[Value]) -> Result<Value, Error> {
    let mut names: Vec<(String, Value)> = Vec::new();
    for map in given {
        if map.kind() != ValueKind::Map {
            return Err(fault(format!("** before a {}", map.kind())));
        }
        for key in map.try_iter()? {
            let name = key.as_str().ok_or_else(|| fault("** before a dict whose keys are no texts"))?;
            budget.take_entry(name.len())?;
            names.push((name.to_owned(), map.get_item(&key)?));
        }
    }
    Ok(Kwargs::from_iter(names).into())
}

/// `*a, *b` in a call: one list.
fn spread(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let mut all = Vec::new();
    for value in values {
        all.extend(budget.list(value.try_iter()?)?);
    }
    Ok(all.into())
}

fn two(values: &[Value]) -> Result<(&Value, &Value), Error> {
    match values {
        [a, b] => Ok((a, b)),
        _ => Err(fault("an operator without its two sides")),
    }
}

fn concat(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let mut text = String::new();
    for value in values {
        write_str(&mut text, value, budget)?;
    }
    Ok(text.into())
}

fn add(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let (a, b) = two(values)?;
    let is_safe = a.is_safe() || b.is_safe();
    // A text that is marked as safe makes the other one so.
    let [a, b] = if is_safe { [escaped(a, budget)?, escaped(b, budget)?] } else { [a.clone(), b.clone()] };
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        budget.take_bytes((a.len() + b.len()) as u64)?;
        let sum = [a, b].concat();
        return Ok(if is_safe { Value::from_safe_string(sum) } else { sum.into() });
    }
    if is_list(&a) && is_list(&b) && a.is_tuple() == b.is_tuple() {
        let items = budget.list(a.try_iter()?.chain(b.try_iter()?))?;
        return Ok(alike(&a, items));
    }
    arithmetic(&a, &b, i128::checked_add, |a, b| a + b).ok_or_else(|| fault(format!("{} + {}", a.kind(), b.kind())))
}

/// A text made of another one, which is marked as safe where that is.
fn marked(of: &Value, text: String) -> Value {
    if of.is_safe() { Value::from_safe_string(text) } else { text.into() }
}

/// The items as a tuple if the value is one, else as a list.
fn alike(value: &Value, items: Vec<Value>) -> Value {
    if value.is_tuple() { Tuple::new(items).into() } else { items.into() }
}

fn multiply(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let (a, b) = two(values)?;
    let (value, n) = if a.as_str().is_some() || is_list(a) { (a, b) } else { (b, a) };
    let n = number(n);
    let n = n.as_i64().or_else(|| n.is_integer().then_some(i64::MAX)).map(|n| usize::try_from(n).unwrap_or(0));
    if let (Some(text), Some(n)) = (value.as_str(), n) {
        budget.take_bytes((text.len() as u64).saturating_mul(n as u64))?;
        return Ok(marked(value, text.repeat(n)));
    }
    if let (true, Some(n)) = (is_list(value), n) {
        let items: Vec<Value> = value.try_iter()?.collect();
        let n = if items.is_empty() { 0 } else { n };
        let items = budget.list(std::iter::repeat_n(&items, n).flatten().cloned())?;
        return Ok(alike(value, items));
    }
    arithmetic(a, b, i128::checked_mul, |a, b| a * b).ok_or_else(|| fault(format!("{} * {}", a.kind(), b.kind())))
}

/// `%`: of numbers, or a text with values put into it.
fn remainder(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let (a, b) = two(values)?;
    match a.as_str() {
        Some(pattern) => {
            budget.measure(b)?;
            formats::by_percent(budget, pattern, b).map(Value::from)
        }
        None => numbers::remainder(a, b),
    }
}

/// Python's slice of a text or list: `value[start:stop:step]`.
fn slice(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let [value, start, stop, step] = values else { return Err(fault("a slice without its bounds")) };
    if value.is_undefined() {
        return Err(fault("a slice of what is not defined"));
    }
    budget.measure(value)?;
    let bound = |value: &Value| if value.is_none() { Ok(None) } else { value.as_i64().map(Some).ok_or(()) };
    let (Ok(start), Ok(stop), Ok(step)) = (bound(start), bound(stop), bound(step)) else {
        return Err(fault("a slice whose bounds are no whole numbers"));
    };
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(fault("a slice in steps of 0"));
    }
    match value.as_str() {
        Some(text) => {
            budget.take_bytes(text.len() as u64)?;
            let chars: Vec<char> = text.chars().collect();
            Ok(marked(value, places(chars.len(), start, stop, step).map(|at| chars[at]).collect()))
        }
        None if is_list(value) || is_range(value) => {
            let items: Vec<Value> = value.try_iter()?.collect();
            Ok(alike(value, places(items.len(), start, stop, step).map(|at| items[at].clone()).collect()))
        }
        // As every item that is not there.
        None => Ok(Value::UNDEFINED),
    }
}

/// Whether it is what `range` gives: of what is gone through and is no list, it alone has a number of items and no name.
pub(super) fn is_range(value: &Value) -> bool {
    value.kind() == ValueKind::Iterable && value.len().is_some() && methods::view_name(value).is_none()
}

/// The places that a slice of `n` things takes, in its order.
fn places(n: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> impl Iterator<Item = usize> {
    let n = i64::try_from(n).unwrap_or(i64::MAX);
    let (lowest, highest) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let clamp = |at: i64| (if at < 0 { at.saturating_add(n) } else { at }).clamp(lowest, highest);
    let (first, last) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    let (start, stop) = (start.map_or(first, clamp), stop.map_or(last, clamp));
    std::iter::successors(Some(start), move |at| at.checked_add(step))
        .take_while(move |&at| if step > 0 { at < stop } else { at > stop })
        .filter_map(|at| usize::try_from(at).ok())
}

/// `namespace.name = value`, given value, namespace and name.
fn assign(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let [value, target, name] = values else { return Err(fault("an assignment without its sides")) };
    let namespace = target.downcast_object_ref::<Namespace>();
    let (Some(namespace), Some(name)) = (namespace, name.as_str()) else {
        return Err(fault(format!("can only assign to namespaces, not {}", target.kind())));
    };
    put(namespace, name, value, budget)?;
    Ok(Value::UNDEFINED)
}

fn namespace(budget: &Budget, given: &Arguments) -> Result<Value, Error> {
    let namespace = Namespace::default();
    for (name, value) in dict(given, budget)? {
        put(&namespace, name.as_str().unwrap_or_default(), &value, budget)?;
    }
    Ok(Value::from_object(namespace))
}

fn put(namespace: &Namespace, name: &str, value: &Value, budget: &Budget) -> Result<(), Error> {
    if value.downcast_object_ref::<Namespace>().is_some() {
        return Err(fault("a namespace within a namespace"));
    }
    budget.measure(value)?;
    budget.take_bytes(name.len() as u64 + 64)?;
    let mut variables = namespace.0.lock().map_err(|_| fault("a namespace that is in use"))?;
    variables.insert(name.to_owned(), value.clone());
    Ok(())
}

fn compare(
    budget: &Budget,
    values: &[Value],
    holds: fn(&Value, &Value) -> Result<bool, Error>,
) -> Result<Value, Error> {
    let (a, b) = two(values)?;
    budget.measure(a)?;
    budget.measure(b)?;
    holds(a, b).map(Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_pythons() {
        let of = |start, stop, step| places(5, start, stop, step).collect::<Vec<_>>();
        assert_eq!(of(None, None, 1), [0, 1, 2, 3, 4]);
        assert_eq!(of(None, None, -1), [4, 3, 2, 1, 0]);
        assert_eq!(of(Some(1), Some(-1), 1), [1, 2, 3]);
        assert_eq!(of(Some(-2), None, 1), [3, 4]);
        assert_eq!(of(Some(-9), Some(9), 2), [0, 2, 4]);
        assert_eq!(of(Some(9), Some(1), -2), [4, 2]);
        assert_eq!(of(Some(3), Some(1), 1), [0; 0]);
        assert_eq!(of(Some(i64::MIN), Some(i64::MAX), i64::MAX), [0]);
        assert_eq!(places(0, None, None, -1).count(), 0);
    }
}
