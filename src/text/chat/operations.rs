//! The operations of templates that make values, each within the budget: [`super::rewrite`] puts them in place of the
//! library's own, which know no bounds. Their names are no names that a template could use.

use super::budget::Budget;
use super::python::write_str;
use minijinja::value::{Kwargs, Object, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
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
/// Charges a value that the library has made.
pub(super) const MADE: &str = "[..]";
/// Charges the work of going through a value.
pub(super) const MEASURE: &str = "<>";

/// `namespace()`: variables that loops may set. It stands in no other value, so it cannot hold itself.
#[derive(Debug, Default)]
pub(super) struct Namespace(Mutex<BTreeMap<String, Value>>);

impl Object for Namespace {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.lock().ok()?.get(key.as_str()?).cloned()
    }
}

type Operation = fn(&Budget, &[Value]) -> Result<Value, Error>;

const OPERATIONS: [(&str, Operation); 14] = [
    (CONCAT, concat),
    (ADD, add),
    (MULTIPLY, multiply),
    (LIST, |_, values| Ok(values.to_vec().into())),
    (TUPLE, |_, values| Ok(values.to_vec().into())),
    (MAP, |_, values| Ok(Value::from_pairs(values.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()))))),
    (SLICE, slice),
    (ASSIGN, assign),
    (EQUAL, |budget, values| compare(budget, values, |a, b| a == b)),
    (UNEQUAL, |budget, values| compare(budget, values, |a, b| a != b)),
    (LESS, |budget, values| compare(budget, values, |a, b| a < b)),
    (LESS_OR_EQUAL, |budget, values| compare(budget, values, |a, b| a <= b)),
    (GREATER, |budget, values| compare(budget, values, |a, b| a > b)),
    (GREATER_OR_EQUAL, |budget, values| compare(budget, values, |a, b| a >= b)),
];

/// Makes the operations known to an environment.
pub(super) fn add_to(environment: &mut Environment<'_>, budget: &Budget) {
    for (name, operation) in OPERATIONS {
        let budget = budget.clone();
        environment.add_function(name, move |values: Rest<Value>| budget.made(operation(&budget, &values)?));
    }
    let shared = budget.clone();
    environment.add_function("namespace", move |given: Kwargs| shared.made(namespace(&shared, &given)?));
    let shared = budget.clone();
    environment.add_function("dict", move |given: Kwargs| {
        let pair = |name: &str| given.get::<Value>(name).map(|value| (name.to_owned(), value));
        shared.made(Value::from(given.args().map(pair).collect::<Result<BTreeMap<_, _>, Error>>()?))
    });
    let shared = budget.clone();
    environment.add_function(IN, move |state: &State, item: Value, all: Value| {
        shared.measure(&item)?;
        shared.measure(&all)?;
        minijinja::tests::is_in(state, &item, &all)
    });
    let shared = budget.clone();
    environment.add_function(MADE, move |value: Value| shared.made(value));
    let shared = budget.clone();
    environment.add_function(MEASURE, move |value: Value| shared.measure(&value).map(|()| value));
    let shared = budget.clone();
    environment.add_function("range", move |lower: isize, upper: Option<isize>, step: Option<isize>| {
        shared.made(minijinja::functions::range(lower, upper, step)?)
    });
}

fn fault(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text.into())
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

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn add(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let (a, b) = two(values)?;
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        budget.take_bytes((a.len() + b.len()) as u64)?;
        return Ok([a, b].concat().into());
    }
    if is_list(a) && is_list(b) {
        budget.measure(a)?;
        budget.measure(b)?;
        return Ok(a.try_iter()?.chain(b.try_iter()?).collect::<Vec<_>>().into());
    }
    arithmetic(a, b, i64::checked_add, |a, b| a + b).ok_or_else(|| fault(format!("{} + {}", a.kind(), b.kind())))
}

fn multiply(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let (a, b) = two(values)?;
    let (text, n) = if a.as_str().is_some() { (a, b) } else { (b, a) };
    if let (Some(text), Some(n)) = (text.as_str(), n.as_i64()) {
        let n = usize::try_from(n).unwrap_or(0);
        budget.take_bytes((text.len() as u64).saturating_mul(n as u64))?;
        return Ok(text.repeat(n).into());
    }
    arithmetic(a, b, i64::checked_mul, |a, b| a * b).ok_or_else(|| fault(format!("{} * {}", a.kind(), b.kind())))
}

fn arithmetic(a: &Value, b: &Value, whole: fn(i64, i64) -> Option<i64>, float: fn(f64, f64) -> f64) -> Option<Value> {
    if a.kind() != ValueKind::Number || b.kind() != ValueKind::Number {
        return None;
    }
    if a.is_integer() && b.is_integer() {
        return whole(a.as_i64()?, b.as_i64()?).map(Value::from);
    }
    Some(float(f64::try_from(a.clone()).ok()?, f64::try_from(b.clone()).ok()?).into())
}

/// Python's slice of a text or list: `value[start:stop:step]`.
fn slice(budget: &Budget, values: &[Value]) -> Result<Value, Error> {
    let [value, start, stop, step] = values else { return Err(fault("a slice without its bounds")) };
    if value.is_undefined() || value.is_none() {
        return Ok(Value::from(Vec::<Value>::new()));
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
            Ok(places(chars.len(), start, stop, step).map(|at| chars[at]).collect::<String>().into())
        }
        None if is_list(value) => {
            let items: Vec<Value> = value.try_iter()?.collect();
            Ok(places(items.len(), start, stop, step).map(|at| items[at].clone()).collect::<Vec<_>>().into())
        }
        None => Err(fault(format!("a slice of a {}", value.kind()))),
    }
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

fn namespace(budget: &Budget, given: &Kwargs) -> Result<Value, Error> {
    let namespace = Namespace::default();
    for name in given.args() {
        put(&namespace, name, &given.get::<Value>(name)?, budget)?;
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

fn compare(budget: &Budget, values: &[Value], holds: fn(&Value, &Value) -> bool) -> Result<Value, Error> {
    let (a, b) = two(values)?;
    budget.measure(a)?;
    budget.measure(b)?;
    Ok(holds(a, b).into())
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
